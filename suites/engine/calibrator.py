"""A calibrator for TensorRT's implicit INT8, which releases up to 10.x have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.engine.int8 import read_cache
from pytest_trtcheck._suites.support.tensorrt import TensorRTError, TensorRTRefusal
from pytest_trtcheck._suites.support.words import first_line
from pytest_trtcheck.providers.engine import Calibration

if TYPE_CHECKING:
    import numpy as np

    from pytest_trtcheck._suites.support.gpu_memory import GpuArray, GpuMemory
    from pytest_trtcheck._suites.support.tensorrt import Draft, TensorRT
    from pytest_trtcheck.providers.engine import BuildRequest

_CLASS = "IInt8EntropyCalibrator2"
_MOST_WORDS = 300


class Calibrating:
    """What a calibrator hands to TensorRT while it builds, and what it is handed.

    TensorRT first asks for a cache, without one for batch after batch, and hands a cache back at the end.
    """

    def __init__(self, api: TensorRT, memory: GpuMemory, request: BuildRequest) -> None:
        """Take the batches, or the cache of an earlier calibration; TensorRTRefusal where there are no calibrators."""
        self._base = getattr(api.module, _CLASS, None)
        if self._base is None:
            raise TensorRTRefusal(f"TensorRT {api.release} has no {_CLASS}")
        self.api, self.memory = api, memory
        self.batches: Sequence[Mapping[str, np.ndarray]] = request.batches
        self.cache = request.calibration_cache
        self.taken = 0
        self.problems: list[str] = []
        self._there: list[GpuArray] = []
        self._calibrator: Any = None

    def plan(self, draft: Draft) -> Any:
        """Build with a calibrator, the builder preferring what layers are told; what went wrong in it comes first."""
        self._calibrator = _make(self._base, self)
        draft.config.set_flag(self.api.module.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)
        draft.config.int8_calibrator = self._calibrator
        try:
            return draft.plan()
        finally:
            self.free()
            if self.problems:
                raise TensorRTError(f"the calibrator failed: {'; '.join(self.problems)}")

    def next_batch(self, names: Sequence[str]) -> list[int] | None:
        """Return where the next batch of these inputs lies on the GPU; None after the last one."""
        self.free()
        if self.taken == len(self.batches):
            return None
        batch = self.batches[self.taken]
        self.taken += 1
        for name in names:
            self._there.append(self.memory.put(batch[name]))
        return [one.data_ptr() for one in self._there]

    def free(self) -> None:
        """Give the memory of the last batch back."""
        while self._there:
            self.memory.free(self._there.pop())

    def result(self) -> Calibration:
        """Return what was found; TensorRTError where the cache is none."""
        try:
            return Calibration(self.taken, self.cache, read_cache(self.cache) if self.cache else {})
        except ValueError as error:
            raise TensorRTError(f"TensorRT {self.api.release}: {error}") from error


def _make(base: Any, calibrating: Calibrating) -> Any:
    """Return a calibrator of the installed class, which is known at run time only; no call of it raises."""

    class Calibrator(base):  # type: ignore[misc]
        def get_batch_size(self) -> int:
            """Return 1: where the batch is a dimension like any other, nothing is multiplied by it."""
            return 1

        def get_batch(self, names: Sequence[str]) -> list[int] | None:
            """Return addresses in the order of the names."""
            try:
                return calibrating.next_batch(names)
            except Exception as error:  # noqa: BLE001 - an exception must not run into C++
                calibrating.problems.append(f"{type(error).__name__}: {first_line(error, _MOST_WORDS)}")
                return None

        def read_calibration_cache(self) -> bytes | None:
            """Return the cache of an earlier calibration."""
            return calibrating.cache or None

        def write_calibration_cache(self, cache: Any) -> None:
            """Keep what was found."""
            calibrating.cache = bytes(cache)

    return Calibrator()
