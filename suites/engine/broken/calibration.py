"""Calibration for INT8 gone wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from pytest_trtcheck._suites.engine.broken.base import Broken
from pytest_trtcheck._suites.engine.int8 import write_cache
from pytest_trtcheck._suites.engine.standin import Batches
from pytest_trtcheck.providers.base import Where
from pytest_trtcheck.providers.engine import BuildRequest, Calibration, EngineCase

Arrays = Mapping[str, np.ndarray]


class _Calibrated(Broken):
    feature = "int8_calibrated"

    def why_not(self, case: EngineCase, where: Where) -> str:  # noqa: ARG002
        """Shown by calibrated cases."""
        return "" if case.calibrated else "the mistake shows only with a calibrator"


class NeverAsked(_Calibrated):
    """The calibrator is ignored, and so are the batches: every range is 1."""

    name = "broken_calibrator_ignored"

    def calibrated(self, case: EngineCase, weights: Arrays, request: BuildRequest) -> Calibration:
        """Take no batch."""
        found = super().calibrated(case, weights, request)
        ranges = dict.fromkeys(found.ranges, 1.0)
        return Calibration(0, write_cache(ranges, "TRT-0-None"), ranges)


class FirstBatchOnly(_Calibrated):
    """The first batch is taken for all."""

    name = "broken_first_batch_only"

    def calibrated(self, case: EngineCase, weights: Arrays, request: BuildRequest) -> Calibration:
        """Take one batch."""
        return super().calibrated(case, weights, replace(request, batches=request.batches[:1]))


class BatchesForgotten(_Calibrated):
    """Batches are taken, and what they held is forgotten: every range is 1."""

    name = "broken_batches_forgotten"

    def ranges_of(self, case: EngineCase, weights: Arrays, batches: Batches) -> dict[str, float]:
        """Find the same for all tensors."""
        return dict.fromkeys(super().ranges_of(case, weights, batches), 1.0)


class BatchesOfOtherInput(_Calibrated):
    """Batches are fed to the wrong inputs."""

    name = "broken_batches_of_other_input"

    def ranges_of(self, case: EngineCase, weights: Arrays, batches: Batches) -> dict[str, float]:
        """Let inputs change places."""
        names = [one.name for one in case.graph.inputs]
        turned = [dict(zip(names, [batch[name] for name in reversed(names)], strict=True)) for batch in batches]
        return super().ranges_of(case, weights, turned)


class CacheOfOtherModel(_Calibrated):
    """The calibration cache of a model with the same names is taken in place of batches that were fed."""

    name = "broken_calibration_cache_of_other_model"

    def ranges_of(self, case: EngineCase, weights: Arrays, batches: Batches) -> dict[str, float]:
        """Find what a model with constants three times as large would give."""
        return super().ranges_of(case, {name: 3 * array for name, array in weights.items()}, batches)


class _Used(_Calibrated):
    """What is told is right, what is used is not."""

    factor: ClassVar[float] = 1.0

    def used(self, ranges: Mapping[str, float]) -> dict[str, float]:
        """Return other ranges."""
        return {name: largest * self.factor for name, largest in ranges.items()}


class ScaleOfOtherTensor(_Used):
    """Each tensor is quantized with the scale of the next one."""

    name = "broken_scale_of_other_tensor"

    def used(self, ranges: Mapping[str, float]) -> dict[str, float]:
        """Shift ranges by one tensor."""
        names = sorted(ranges)
        return {name: ranges[names[(at + 1) % len(names)]] for at, name in enumerate(names)}


class ScaleTimesFour(_Used):
    """Activations have two bits less than the calibration says."""

    name = "broken_two_bits_lost"
    factor = 4.0


class ScaleHalved(_Used):
    """Activations are cut off at half of their range."""

    name = "broken_cut_off_at_half"
    factor = 0.5


class RangesAnew(_Calibrated):
    """A calibration cache is put aside, and batches are asked for again."""

    name = "broken_calibration_cache_ignored"
    aspect = "calibration"

    def calibrated(self, case: EngineCase, weights: Arrays, request: BuildRequest) -> Calibration:
        """Forget the cache."""
        return super().calibrated(case, weights, replace(request, calibration_cache=b""))


class CacheReadWrongly(_Calibrated):
    """Ranges that come from a calibration cache are half as large again."""

    name = "broken_calibration_cache_misread"
    aspect = "calibration"

    def calibrated(self, case: EngineCase, weights: Arrays, request: BuildRequest) -> Calibration:
        """Widen what the cache tells."""
        found = super().calibrated(case, weights, request)
        if not request.calibration_cache:
            return found
        return replace(found, ranges={name: 1.5 * largest for name, largest in found.ranges.items()})


class NoCalibrationCache(_Calibrated):
    """No calibration cache is written."""

    name = "broken_no_calibration_cache"
    aspect = "calibration"

    def calibrated(self, case: EngineCase, weights: Arrays, request: BuildRequest) -> Calibration:
        """Write nothing."""
        return replace(super().calibrated(case, weights, request), cache=b"")


_KINDS = [kind for kind in globals().values() if isinstance(kind, type) and issubclass(kind, Broken)]
CALIBRATION: tuple[type[Broken], ...] = tuple(kind for kind in _KINDS if "name" in vars(kind))
