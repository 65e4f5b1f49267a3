"""The engine provider that goes through Polygraphy, on the real Polygraphy, as far as it goes without TensorRT.

Loaders, configuration, profiles, calibrator and runner are Polygraphy's own. Where they would call TensorRT, NumPy
builds and runs what they were given, and every call is bound to the signatures recorded of older releases.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.torch
np = pytest.importorskip("numpy")
polygraphy = pytest.importorskip("polygraphy")

from pytest_trtcheck._suites.engine.cases import cases  # noqa: E402
from pytest_trtcheck._suites.engine.int8 import largest_of, read_cache, write_cache  # noqa: E402
from pytest_trtcheck._suites.engine.judge import Bench  # noqa: E402
from pytest_trtcheck._suites.engine.onnx_model import onnx_model  # noqa: E402
from pytest_trtcheck._suites.engine.providers import tensorrt_polygraphy  # noqa: E402
from pytest_trtcheck._suites.engine.providers.tensorrt_polygraphy import PolygraphyEngines  # noqa: E402
from pytest_trtcheck._suites.engine.standin import Session, Standin  # noqa: E402
from pytest_trtcheck.model.level import Level  # noqa: E402
from pytest_trtcheck.providers import Where  # noqa: E402
from pytest_trtcheck.providers.engine import BuildRequest, EngineCase  # noqa: E402
from tests.contracts import tables  # noqa: E402
from tests.contracts.tensorrt_standin import Standin as TensorRTStandin  # noqa: E402

CASES = {case.name: case for case in cases(Level.STANDARD)}
OLD, NEW = "8.6.1", "10.9.0.34"
ASPECTS = ("numbers", "outside", "repeat", "timing_cache", "contexts", "version_compatible", "weight_streaming")


class Library:
    """What stands in for TensorRT below Polygraphy: one case at a time, built and run by NumPy."""

    def __init__(self, release: str) -> None:
        self.module = TensorRTStandin(release)
        self.case = CASES["gemm_bias-fp16"]
        self.weights: dict[str, Any] = {}
        self.configs: list[Any] = []
        self.networks: list[Any] = []
        self.runners: list[Any] = []
        self.memory: dict[int, Any] = {}

    def build(self, loader: Any) -> bytes:
        """Build what a loader of Polygraphy's was given."""
        network, config = loader._network, loader._config
        self.networks.append(network)
        self.configs.append(config)
        assert network._model_bytes == onnx_model(self.case, self.weights)
        for name, shapes in config.profiles[0].items():
            wanted = [self.case.shapes(self.case.sizes(which))[name] for which in range(3)]
            assert [shapes.min, shapes.opt, shapes.max] == wanted
        assert bool(config.profiles[0]) == self.case.is_dynamic
        if loader.timing_cache_path:
            before = Path(config.timing_cache_path).read_bytes() if config.timing_cache_path else b""
            Path(loader.timing_cache_path).write_bytes(before + b"timed")
        cache = self._calibrate(config.calibrator) if self.case.calibrated else b""
        return Standin().build(self.case, self.weights, BuildRequest(calibration_cache=cache)).plan

    def _calibrate(self, calibrator: Any) -> bytes:
        names = [one.name for one in self.case.graph.inputs]
        cache: bytes | None = calibrator.read_calibration_cache()
        batches = []
        while cache is None and (addresses := calibrator.get_batch(names)) is not None:
            batches.append({name: self.memory[at] for name, at in zip(names, addresses, strict=True)})
        cache = cache or write_cache(largest_of(self.case, self.weights, batches), "TRT-0-EntropyCalibration2")
        calibrator.write_calibration_cache(memoryview(cache))
        return cache

    def put(self, array: Any, *_: Any) -> int:
        """Stand in for memory on the GPU."""
        self.memory[len(self.memory)] = array
        return len(self.memory) - 1


def backend() -> Any:
    return importlib.import_module("polygraphy.backend.trt")


def infer(runner: Any, feed: dict[str, Any], **_: Any) -> dict[str, Any]:
    session: Session = runner._engine_or_context
    session.check(feed)
    return {name: array.astype(np.float32) for name, array in session.arithmetic.run(session.weights, feed).items()}


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Library]:
    """Return what stands in for TensorRT of a release, put where Polygraphy would call it."""
    trt = backend()
    calibrator, util = (importlib.import_module(f"{trt.__name__}.{name}") for name in ("calibrator", "util"))
    there = Library(getattr(request, "param", NEW))

    def metadata(_: Any) -> Any:
        found = importlib.import_module("polygraphy.common").TensorMetadata()
        for one in there.case.graph.inputs:
            shape = tuple(None if isinstance(part, str) else part for part in one.shape)
            found.add(one.name, np.dtype({"fp32": "float32", "int32": "int32"}[one.dtype]), shape)
        return found

    def build(loader: Any) -> bytes:
        return there.build(loader)

    def activate(runner: Any) -> None:
        there.runners.append(runner)

    def deactivate(runner: Any) -> None:
        there.runners.remove(runner)

    monkeypatch.setattr(trt.EngineBytesFromNetwork, "call_impl", build)
    monkeypatch.setattr(trt.EngineFromBytes, "call_impl", lambda loader: Standin().load(loader._serialized_engine))
    monkeypatch.setattr(trt.TrtRunner, "activate_impl", activate)
    monkeypatch.setattr(trt.TrtRunner, "deactivate_impl", deactivate)
    monkeypatch.setattr(trt.TrtRunner, "get_input_metadata_impl", metadata)
    monkeypatch.setattr(trt.TrtRunner, "infer_impl", infer)
    monkeypatch.setattr(calibrator, "trt", there.module)
    monkeypatch.setattr(util, "_get_array_on_gpu", there.put)
    yield there
    assert not there.runners


def where(release: str, capability: str = "9.0", polygraphy: str = "0.53.6", numpy: str = "2.4.0") -> Where:
    return Where("cuda", capability, {"tensorrt": release, "polygraphy": polygraphy, "numpy": numpy})


def judged(library: Library, case: EngineCase, aspect: str) -> Any:
    bench = Bench(case, PolygraphyEngines(library.module), 5)
    library.case, library.weights = case, bench.drawn.weights
    return bench.judge(aspect)


@pytest.mark.parametrize("aspect", ASPECTS)
def test_a_case_goes_through_polygraphy_and_is_right(library: Library, aspect: str) -> None:
    found = judged(library, CASES["gemm_bias-fp16"], aspect)
    assert found.state == "passed", found.text
    network, config = library.networks[0], library.configs[0]
    assert network.strongly_typed
    assert [name for name in ("fp16", "bf16", "int8", "fp8", "tf32") if getattr(config, name)] == []
    assert [member.name for member in config.memory_pool_limits] == ["WORKSPACE"]
    assert bool(config.version_compatible) == (aspect == "version_compatible")
    assert bool(getattr(config, "weight_streaming", False)) == (aspect == "weight_streaming")
    if aspect == "timing_cache":
        assert [bool(one.timing_cache_path) for one in library.configs] == [False, True]


@pytest.mark.parametrize("name", ["decoder-fp16", "loop-fp16", "int4_weights-fp16", "int8_qdq-fp32"])
def test_inputs_profiles_and_static_shapes_reach_the_library(library: Library, name: str) -> None:
    found = judged(library, CASES[name], "numbers")
    assert found.state == "passed", found.text


@pytest.mark.parametrize("library", [OLD, NEW], indirect=True)
def test_polygraphys_calibrator_feeds_every_batch_and_takes_a_cache(library: Library) -> None:
    found = judged(library, CASES["int8_calibrated-fp32"], "calibration")
    assert found.state == "passed", found.text
    assert not library.networks[0].strongly_typed
    assert [config.int8 for config in library.configs] == [True, True]
    assert len(library.memory) == 4 * 2
    assert read_cache(library.configs[0].calibrator.cache_contents).keys() >= {"narrow", "broad"}


@pytest.mark.parametrize("library", [OLD], indirect=True)
def test_before_strong_typing_int8_is_allowed_by_a_flag(library: Library) -> None:
    assert judged(library, CASES["int8_qdq-fp32"], "numbers").state == "passed"
    assert (library.networks[0].strongly_typed, library.configs[0].int8) == (False, True)
    assert judged(library, CASES["gemm_bias-fp32"], "numbers").state == "passed"
    assert library.configs[-1].int8 is False


def test_what_polygraphy_raises_is_told(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = importlib.import_module("polygraphy.logger").G_LOGGER
    monkeypatch.setattr(backend().EngineBytesFromNetwork, "call_impl", lambda _: logger.critical("Invalid Engine."))
    found = judged(library, CASES["gemm_bias-fp16"], "numbers")
    assert (found.state, found.message) == ("failed", "PolygraphyException: Invalid Engine.")


def test_every_call_fits_the_signatures_of_all_recorded_releases(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = backend()
    recorded = tables.contracts()["polygraphy"]
    bound: set[str] = set()

    class Bound:
        def __getattr__(self, name: str) -> Any:
            entry = recorded.get(f"polygraphy.backend.trt.{name}")

            def call(*args: Any, **kwargs: Any) -> Any:
                if entry is not None:
                    tables.bind([tables.signature(entry["signature"])], name, *args, **kwargs)
                    bound.add(name)
                return getattr(trt, name)(*args, **kwargs)

            return call

    monkeypatch.setattr(tensorrt_polygraphy, "_backend", Bound)
    for name, aspect in (("gemm_bias-fp16", "weight_streaming"), ("int8_calibrated-fp32", "calibration")):
        assert judged(library, CASES[name], aspect).state == "passed"
    assert bound == {"EngineBytesFromNetwork", "EngineFromBytes", "CreateConfig", "TrtRunner"}
    known = recorded["polygraphy.backend.trt.CreateConfig"]["notes"]
    used = ("profiles", "load_timing_cache", "memory_pool_limits", "builder_optimization_level", "version_compatible")
    assert all(word in known for word in (*used, "hardware_compatibility_level", "0.49.9 strip_plan"))


@pytest.mark.parametrize(
    ("case", "versions", "words"),
    [
        ("gemm_bias-fp16", where("8.6.1"), "types of an ONNX model hold in strongly typed networks alone"),
        ("gemm_bias-fp16", where("10.9.0", polygraphy="0.47.1"), "the provider knows Polygraphy from 0.48 on"),
        ("gemm_bias-fp16", where("10.9.0", polygraphy="0.49.9"), "Polygraphy before 0.49.14 wants a NumPy before 2.0"),
        ("gemm_bias-fp16", where("10.9.0", polygraphy="0.49.9", numpy="1.26.4"), ""),
        ("int8_calibrated-fp32", where("11.0.0.114"), "calibrators and implicit INT8 left with TensorRT 11.0"),
        ("fp8_qdq-fp16", where("10.9.0", "8.6"), "FP8 needs compute capability 8.9"),
        ("gemm_bias-fp16", Where("cpu"), "TensorRT runs on GPUs only"),
        ("int8_qdq-fp32", where("8.6.1"), ""),
        ("gemm_bias-bf16", where("11.4.0.106"), ""),
    ],
)
def test_what_is_out_of_reach_is_said_before(case: str, versions: Where, words: str) -> None:
    said = PolygraphyEngines().why_not(CASES[case], versions)
    assert words in said
    assert bool(words) == bool(said)


def test_abilities_follow_polygraphy_tensorrt_and_the_gpu() -> None:
    abilities = PolygraphyEngines().abilities
    assert abilities(where("10.9.0")) == {
        "timing_cache", "contexts", "version_compatible", "hardware_compatible", "weight_streaming", "calibration",
    }  # fmt: skip
    assert "weight_streaming" not in abilities(where("10.9.0", polygraphy="0.49.0"))
    assert "hardware_compatible" not in abilities(where("8.6.1", "7.5"))
    assert "calibration" not in abilities(where("11.0.0.114"))
