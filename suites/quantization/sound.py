"""Sound variants: what implementations do differently without being wrong. None may ever be flagged.

Each is judged twice: telling nothing of its layers, as a foreign backend, and telling of them.
"""

from __future__ import annotations

import copy

import torch

from pytest_trtcheck._suites.probe_llm.engine.model import Linear, plain_linear
from pytest_trtcheck._suites.quantization.broken import FP8_KV, INT8_KV, Variant
from pytest_trtcheck._suites.quantization.cases import SETUPS
from pytest_trtcheck._suites.quantization.fake import Convention, Quantizer
from pytest_trtcheck._suites.quantization.variants import calibrations_of
from pytest_trtcheck.providers import LlmSession, Model, Setup, Where

_BEYOND_THE_RECORDED = 1000
"""Calibrations from this seed on made no record."""
_INTEGERS = (("int8_weight_only", ""), ("int4_weight_only", ""))
_WITH_INTEGERS = (*_INTEGERS, ("int8_smooth_quant", ""), ("int4_awq", ""), ("w4a8_awq", ""))


class Sound(Variant):
    """The built-in engine with one thing done another way."""

    def telling(self) -> Sound:
        """Return the same, telling of its layers."""
        told = copy.copy(self)
        told.tells_layers = True
        return told


class Usual(Sound):
    """The built-in engine as it is."""

    name = "sound_usual"
    setups = SETUPS


class TiesAway(Sound):
    """Ties are rounded away from zero."""

    name = "sound_ties_away"
    setups = tuple(one for one in SETUPS if one[0])
    convention = Convention(ties="away")


class HalfScales(Sound):
    """Scales are kept in fp16."""

    name = "sound_scales_fp16"
    setups = _WITH_INTEGERS
    convention = Convention(scale_dtype="float16")


class FullRange(Sound):
    """The scale is taken so that the smallest integer is used too."""

    name = "sound_full_range"
    setups = _WITH_INTEGERS
    convention = Convention(full_range=1.0)


class HalfRange(Sound):
    """The scale is taken half way between the smallest and the largest integer."""

    name = "sound_half_range"
    setups = _WITH_INTEGERS
    convention = Convention(full_range=0.5)


class Groups128(Sound):
    """Weights share scales in groups of 128 along the input."""

    name = "sound_groups_128"
    setups = _INTEGERS
    convention = Convention(group_size=128)


class Groups64(Sound):
    """Weights share scales in groups of 64."""

    name = "sound_groups_64"
    setups = _INTEGERS
    convention = Convention(group_size=64)


class OtherActivationScales(Sound):
    """Activations have a scale for each token where calibration is usual, and the other way round."""

    name = "sound_token_scales"
    setups = (("fp8", ""),)
    convention = Convention(activation_granularity="token")


class TensorActivationScales(Sound):
    """Activations have one scale by calibration."""

    name = "sound_tensor_scales"
    setups = (("int8_smooth_quant", ""),)
    convention = Convention(activation_granularity="tensor")


class OtherCalibration(Sound):
    """Calibrated on other questions, with each seed on others again."""

    name = "sound_calibration"
    setups = tuple(one for one in SETUPS if calibrations_of(*one, 1))

    def with_seed(self, seed: int) -> OtherCalibration:
        """Return the same, calibrated on questions of this seed."""
        drawn = copy.copy(self)
        drawn.convention = Convention(calibration_seed=_BEYOND_THE_RECORDED + seed)
        return drawn


class UnitKvScale(Sound):
    """The fp8 cache has scales of 1."""

    name = "sound_kv_scale_1"
    setups = (("", FP8_KV), ("fp8", FP8_KV))
    convention = Convention(unit_kv_scale=True)


class _Summed(Quantizer):
    """Products are summed in parts along the input."""

    def layer(self, name: str, weight: torch.Tensor) -> Linear:
        """Return a layer that sums in steps of 64."""
        whole = super().layer(name, weight)
        if self.algorithm.activations or not self.is_quantized(name):
            return whole
        folded = whole(torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device))
        parts = folded.split(64)
        return lambda x: sum(
            (some @ part for some, part in zip(x.split(64, dim=-1), parts, strict=True)), torch.zeros(1, dtype=x.dtype)
        )


class SummedInParts(Sound):
    """Products are summed 64 channels at a time, as kernels with split-K do."""

    name = "sound_split_k"
    setups = (*_INTEGERS, ("int4_awq", ""), ("mxfp4_weight_only", ""))
    quantizer = _Summed


class _Wide(Quantizer):
    """Sums in fp64."""

    def layer(self, name: str, weight: torch.Tensor) -> Linear:
        """Return a layer that adds exactly."""
        if not self.is_quantized(name):
            return plain_linear(name, weight)
        layer = super().layer(name, weight.double())
        return lambda x: layer(x.double()).to(x.dtype)


class SummedWide(Sound):
    """Products are summed in fp64."""

    name = "sound_fp64_sums"
    setups = (*_WITH_INTEGERS, ("fp8", ""), ("nvfp4", ""), ("mxfp4", ""))
    quantizer = _Wide


class Threads(Sound):
    """Sums are split over sixteen threads."""

    name = "sound_16_threads"
    setups = (*_INTEGERS, ("fp8", ""), ("", INT8_KV))

    def open(self, setup: Setup, model: Model, where: Where) -> LlmSession:
        """Bring the engine up with more threads, until it is closed."""
        before = torch.get_num_threads()
        torch.set_num_threads(16)
        session = super().open(setup, model, where)
        close = session.close

        def restore() -> None:
            close()
            torch.set_num_threads(before)

        session.close = restore  # type: ignore[method-assign]
        return session


SOUND: tuple[type[Sound], ...] = (
    Usual, TiesAway, HalfScales, FullRange, HalfRange, Groups128, Groups64, OtherActivationScales,
    TensorActivationScales, OtherCalibration, UnitKvScale, SummedInParts, SummedWide, Threads,
)  # fmt: skip
