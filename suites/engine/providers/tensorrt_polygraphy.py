"""The same cases through Polygraphy: what fails here too is TensorRT's, what fails through the adapter alone is ours.

Every graph goes through ONNX. Polygraphy has no words for refitting and for what layers became, so neither is asked.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.engine.providers.tensorrt import CALIBRATORS_UNTIL, OPTIMIZATION_LEVEL, TensorRTEngines
from pytest_trtcheck._suites.support.reasons import below, first_of, older
from pytest_trtcheck.providers.engine import BuildRequest, Built, Calibration

if TYPE_CHECKING:
    import numpy as np

    from pytest_trtcheck.providers import EngineCase, Where

_ALWAYS = frozenset({"timing_cache", "contexts", "version_compatible"})
_WEAK = frozenset({"fp32", "int32", "int8"})
"""Types that a weakly typed network keeps: it may compute in others only where a flag allows them."""
_PERCENT_ON_GPU = 50.0
"""Of weights, where they are streamed."""


class PolygraphyEngines:
    """Polygraphy's loaders and its runner, from 0.48 on."""

    name = "tensorrt_polygraphy"
    component = "tensorrt"
    beside = ("polygraphy",)
    needs_gpu = True
    factory = "pytest_trtcheck._suites.engine.providers.tensorrt_polygraphy:PolygraphyEngines"

    def __init__(self, module: Any = None) -> None:
        """Use another module in TensorRT's place, for names of its enumerations."""
        self._module = module

    def why_not(self, case: EngineCase, where: Where) -> str:
        """Return what Polygraphy, the release or the GPU lacks."""
        used = set(case.graph.dtypes.values())
        strongly = "types of an ONNX model hold in strongly typed networks alone, which came with TensorRT 9.0"
        return first_of((
            (older(where, "polygraphy", "0.48"), "the provider knows Polygraphy from 0.48 on"),
            (
                older(where, "polygraphy", "0.49.14") and not older(where, "numpy", "2.0"),
                "Polygraphy before 0.49.14 wants a NumPy before 2.0",
            ),
            (older(where, "tensorrt", "9.0") and not used <= _WEAK, strongly),
        )) or TensorRTEngines().why_not(case, where)  # fmt: skip

    def abilities(self, where: Where) -> frozenset[str]:
        """Return what Polygraphy, the release and the GPU can."""
        more = {
            "calibration": older(where, "tensorrt", CALIBRATORS_UNTIL),
            "hardware_compatible": not below(where, "8.0"),
            "weight_streaming": not (older(where, "tensorrt", "10.0") or older(where, "polygraphy", "0.49.9")),
        }
        return _ALWAYS | {name for name, is_here in more.items() if is_here}

    def build(self, case: EngineCase, weights: Mapping[str, np.ndarray], request: BuildRequest) -> Built:
        """Build a plan; PolygraphyException where that fails."""
        from pytest_trtcheck._suites.engine.onnx_model import onnx_model

        backend, trt = _backend(), self._module or importlib.import_module("tensorrt")
        is_strong = not case.calibrated and hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
        network = backend.NetworkFromOnnxBytes(onnx_model(case, weights), strongly_typed=is_strong)
        with tempfile.TemporaryDirectory(prefix="trtcheck-polygraphy-") as folder:
            files = _Files(Path(folder), request)
            settings = _settings(backend, trt, case, request)
            if not is_strong:
                settings["int8"] = case.calibrated or "int8" in case.graph.dtypes.values()
            if case.calibrated:
                settings["calibrator"] = backend.Calibrator(files.batches, cache=files.calibration)
            config = backend.CreateConfig(load_timing_cache=files.timing, **settings)
            plan = backend.EngineBytesFromNetwork(network, config=config, save_timing_cache=files.timed)()
            return Built(bytes(plan), files.timing_cache(), None, files.result() if case.calibrated else None)

    def load(self, plan: bytes, options: frozenset[str] = frozenset()) -> PolygraphySession:
        """Load a plan; Polygraphy lets every plan bring its own runtime."""
        backend = _backend()
        return PolygraphySession(backend, backend.EngineFromBytes(plan)(), "weight_streaming" in options)


class PolygraphySession:
    """A loaded engine with one runner for each execution context."""

    def __init__(self, backend: Any, engine: Any, is_streamed: bool) -> None:
        self._backend, self._engine = backend, engine
        self._settings = {"weight_streaming_percent": _PERCENT_ON_GPU} if is_streamed else {}
        self._runners: list[Any] = []
        self.add_context()

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray], context: int = 0) -> None:
        """Run, and copy what Polygraphy returns: outputs lie in its own memory until then."""
        found = self._runners[context].infer(dict(inputs))
        for name, array in outputs.items():
            if found[name].shape != array.shape:
                raise ValueError(f"output {name}: expected shape {array.shape}, found {found[name].shape}")
            array[...] = found[name]

    def add_context(self) -> int:
        """Return the number of one more runner."""
        runner = self._backend.TrtRunner(self._engine, **self._settings)
        runner.activate()
        self._runners.append(runner)
        return len(self._runners) - 1

    def refit(self, case: EngineCase, weights: Mapping[str, np.ndarray]) -> None:
        """Decline: Polygraphy refits nothing."""
        raise NotImplementedError("Polygraphy has no way to refit an engine")

    def close(self) -> None:
        """Free runners and engine."""
        while self._runners:
            self._runners.pop().deactivate()
        self._engine = None


class _Batches:
    """Batches that count how many were taken."""

    def __init__(self, batches: Sequence[Mapping[str, np.ndarray]]) -> None:
        self._batches, self.taken = batches, 0

    def __iter__(self) -> Iterator[Mapping[str, np.ndarray]]:
        """Yield one after the other."""
        for batch in self._batches:
            self.taken += 1
            yield batch


class _Files:
    """The caches of a build, which Polygraphy takes and gives back as files."""

    def __init__(self, folder: Path, request: BuildRequest) -> None:
        self._timed, self._calibration = folder / "timed", folder / "calibration"
        self.timed = None if request.timing_cache is None else str(self._timed)
        self.timing = str(folder / "timing") if request.timing_cache else None
        self.calibration, self.batches = str(self._calibration), _Batches(request.batches)
        if self.timing:
            Path(self.timing).write_bytes(request.timing_cache or b"")
        if request.calibration_cache:
            self._calibration.write_bytes(request.calibration_cache)

    def timing_cache(self) -> bytes:
        """Return what the build wrote; empty for nothing."""
        return _read(self._timed)

    def result(self) -> Calibration:
        """Return what the calibrator was asked for, and found."""
        from pytest_trtcheck._suites.engine.int8 import read_cache

        cache = _read(self._calibration)
        return Calibration(self.batches.taken, cache, read_cache(cache) if cache else {})


def _read(path: Path) -> bytes:
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def _settings(backend: Any, trt: Any, case: EngineCase, request: BuildRequest) -> dict[str, Any]:
    """Return what a configuration is made with, by keyword: their order has changed."""
    found: dict[str, Any] = {
        "memory_pool_limits": {trt.MemoryPoolType.WORKSPACE: request.workspace_bytes},
        "builder_optimization_level": OPTIMIZATION_LEVEL,
        **{name: True for name in ("version_compatible", "weight_streaming") if name in request.options},
    }
    if "hardware_compatible" in request.options:
        found["hardware_compatibility_level"] = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if case.is_dynamic:
        smallest, usual, largest = (case.shapes(case.sizes(which)) for which in (0, 1, 2))
        profile = backend.Profile()
        for one in case.graph.inputs:
            profile.add(one.name, min=smallest[one.name], opt=usual[one.name], max=largest[one.name])
        found["profiles"] = [profile]
    return found


def _backend() -> Any:
    return importlib.import_module("polygraphy.backend.trt")


PROVIDERS = (PolygraphyEngines(),)
