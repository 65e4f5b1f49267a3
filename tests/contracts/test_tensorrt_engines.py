"""The engine provider on every release of TensorRT of which a record exists.

Each attribute and call is held to the tables by a stand-in. Its networks compute, so the layers themselves are judged
against the suite's reference, with every check that needs no other process.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

pytestmark = pytest.mark.torch
np = pytest.importorskip("numpy")
pytest.importorskip("torch")

import tests.contracts.tensorrt_more_layers  # noqa: E402
import tests.contracts.tensorrt_onnx  # noqa: E402
import tests.contracts.tensorrt_running  # noqa: E402, F401 - they register what the stand-in does
from pytest_trtcheck._suites.engine.cases import cases  # noqa: E402
from pytest_trtcheck._suites.engine.judge import Bench  # noqa: E402
from pytest_trtcheck._suites.engine.plan import CASES_OF_ASPECT  # noqa: E402
from pytest_trtcheck._suites.engine.providers.tensorrt import TensorRTEngines  # noqa: E402
from pytest_trtcheck._suites.engine.standin import Standin as NumpyStandin  # noqa: E402
from pytest_trtcheck._suites.support.gpu_memory import GpuArray  # noqa: E402
from pytest_trtcheck._suites.support.tensorrt import TensorRTError  # noqa: E402
from pytest_trtcheck.model.level import Level  # noqa: E402
from pytest_trtcheck.providers import Where  # noqa: E402
from pytest_trtcheck.providers.base import Refused  # noqa: E402
from pytest_trtcheck.providers.engine import BuildRequest, EngineCase  # noqa: E402
from tests.contracts import tables  # noqa: E402
from tests.contracts.tensorrt_standin import Standin  # noqa: E402

RELEASES = tables.tensorrt_releases()
EVERY_PRECISION = ("8.6.1", "9.3.0", "10.0.1", "10.16.1.11", "11.4.0.106")
CASES = {case.name: case for case in cases(Level.STANDARD)}
QUICK = cases(Level.QUICK)
IN_PROCESS = (
    "repeat",
    "outside",
    "inspect",
    "timing_cache",
    "calibration",
    "refit",
    "contexts",
    "bad_input",
    "onnx",
    "bad_onnx",
)
OPTIONS = ("version_compatible", "hardware_compatible", "weight_streaming")


class HostMemory:
    """Stands in for memory on the GPU."""

    name = "host"
    cuda_stream = 7

    def __init__(self) -> None:
        self.held: dict[int, Any] = {}
        self.waits = 0

    def put(self, array: Any) -> GpuArray:
        copy = array.copy()
        self.held[copy.ctypes.data] = copy
        return GpuArray(copy.ctypes.data, array.shape, str(array.dtype), array.nbytes)

    def get(self, there: GpuArray, array: Any) -> None:
        array[...] = self.held[there.address]

    def free(self, there: GpuArray) -> None:
        del self.held[there.address]

    def synchronize(self) -> None:
        self.waits += 1

    def used_bytes(self) -> int:
        return sum(array.nbytes for array in self.held.values())

    def close(self) -> None:
        assert not self.held


def provider_of(release: str) -> TensorRTEngines:
    provider = TensorRTEngines(Standin(release), HostMemory())
    # No fresh process: there is no such library to import.
    provider.factory = ""
    return provider


def where(release: str, capability: str = "9.0", **distributions: str) -> Where:
    return Where("cuda", capability, {"tensorrt": release}, distributions)


@cache
def prepared(name: str) -> Bench:
    """Return a bench that keeps constants and references for all releases."""
    return Bench(CASES[name], NumpyStandin(), 11)


def judged(release: str, name: str, aspect: str, provider: TensorRTEngines | None = None) -> Any:
    return prepared(name).of(provider or provider_of(release)).judge(aspect)


def check(release: str, case: EngineCase, aspect: str, provider: TensorRTEngines | None = None) -> None:
    found = judged(release, case.name, aspect, provider)
    assert found.state == "passed", f"{release} {case.name} {aspect}: {found.message} {found.text}"


@pytest.mark.parametrize("release", RELEASES)
def test_every_graph_is_built_loaded_run_and_right_with_the_api_of_each_release(release: str) -> None:
    chosen = CASES.values() if release in EVERY_PRECISION else QUICK
    provider = provider_of(release)
    able = [case for case in chosen if not provider.why_not(case, where(release))]
    features = {feature for case in able for feature in case.features}
    assert {"gemm", "conv", "norm", "range", "attention", "kv_cache", "int8_qdq", "control_flow"} <= features
    assert ({"fp8_qdq", "int4_weights"} <= features) == (tables.number(release) >= (10,))
    assert ("int8_calibrated" in features) == (tables.number(release) < (11,))
    for case in able:
        check(release, case, "numbers", provider)
    assert provider.used_bytes() == 0


@pytest.mark.parametrize("release", EVERY_PRECISION)
@pytest.mark.parametrize("aspect", [*IN_PROCESS, *OPTIONS])
def test_every_check_passes_with_the_api_of_releases_old_and_new(release: str, aspect: str) -> None:
    provider = provider_of(release)
    needed = {"bad_onnx": "onnx"}.get(aspect, aspect)
    if aspect in {*OPTIONS, "onnx", "bad_onnx"} and needed not in provider.abilities(where(release)):
        assert (aspect, tables.number(release)[0] < 10) == ("weight_streaming", True)
        return
    if "onnx" in aspect:
        pytest.importorskip("onnx")
    for name in CASES_OF_ASPECT.get(aspect, ("gemm_bias-fp16",)):
        if aspect == "calibration" and provider.why_not(CASES[name], where(release)):
            assert tables.number(release) >= (11,)
            continue
        check(release, CASES[name], aspect, provider)


@pytest.mark.parametrize("release", ["8.6.1", "10.9.0.34", "11.4.0.106"])
def test_options_of_a_build_are_set_by_name_and_reach_the_builder(release: str) -> None:
    provider, bench = provider_of(release), prepared("gemm_bias-fp16")
    module = provider._module

    def state(*options: str) -> Mapping[str, Any]:
        module.networks.clear()
        provider.build(bench.case, bench.drawn.weights, BuildRequest(frozenset(options), b"", 1 << 20))
        config = module.networks[0]._state["config"]
        return {**config._state, **config._values}

    plain = state()
    is_weak = release == "8.6.1"
    assert plain["flags"] == ({"FP16", "OBEY_PRECISION_CONSTRAINTS"} if is_weak else set())
    assert (plain["cleared"], plain["workspace"]) == ({"TF32"}, 1 << 20)
    assert plain["cache"]._state["data"] == b"timed"
    assert {"REFIT", "VERSION_COMPATIBLE"} <= state("refit", "version_compatible")["flags"]
    assert state("hardware_compatible")["hardware_compatibility_level"].name == "AMPERE_PLUS"
    if not is_weak:
        assert "WEIGHT_STREAMING" in state("weight_streaming")["flags"]


@pytest.mark.parametrize("release", RELEASES)
def test_a_calibrator_is_made_where_the_release_has_one_and_gives_its_memory_back(release: str) -> None:
    provider = provider_of(release)
    case = CASES["int8_calibrated-fp32"]
    if provider.why_not(case, where(release)):
        with pytest.raises(Refused, match=f"^TensorRT {release} has no IInt8EntropyCalibrator2$"):
            provider.build(case, prepared(case.name).drawn.weights, BuildRequest())
        return
    built = prepared(case.name).of(provider).built()
    config = provider._module.networks[0]._state["config"]
    assert config._state["flags"] == {"INT8", "PREFER_PRECISION_CONSTRAINTS"}
    assert built.calibration is not None
    assert built.calibration.taken == 4
    assert {"narrow", "broad", "relu_1", "conv_2", "from_broad"} <= set(built.calibration.ranges)
    assert provider.used_bytes() == 0


def test_what_goes_wrong_in_a_calibrator_is_told() -> None:
    provider = provider_of("10.9.0.34")

    class Full(HostMemory):
        def put(self, array: Any) -> GpuArray:
            raise RuntimeError(f"no memory for {array.nbytes} bytes")

    provider._memory = Full()
    found = judged("10.9.0.34", "int8_calibrated-fp32", "calibration", provider)
    assert found.message == ("TensorRTError: the calibrator failed: RuntimeError: no memory for 30720 bytes")


def test_weights_are_streamed_within_a_budget_that_is_set_before_there_is_a_context() -> None:
    for release, name in (("10.0.1", "weight_streaming_budget"), ("10.9.0.34", "weight_streaming_budget_v2")):
        provider = provider_of(release)
        built = prepared("gemm_bias-fp16").of(provider).built("weight_streaming")
        session = provider.load(built.plan, frozenset({"weight_streaming"}))
        assert session.engine.engine._state["budget"] == {name: 1 << 19}
        session.close()


def test_a_version_compatible_plan_is_not_loaded_unless_asked_for() -> None:
    provider = provider_of("10.9.0.34")
    built = prepared("gemm_bias-fp16").of(provider).built("version_compatible")
    with pytest.raises(TensorRTError, match="failed to load the plan: the plan holds host code"):
        provider.load(built.plan)


@pytest.mark.parametrize(
    ("method", "returned", "aspect", "words"),
    [
        ("INetworkDefinition.add_convolution_nd", None, "numbers", "failed to add convolution_nd"),
        ("INetworkDefinition.set_weights_name", False, "numbers", "failed to name the constant"),
        ("Refitter.refit_cuda_engine", False, "refit", "failed to refit the engine"),
        ("Refitter.set_named_weights", False, "refit", "failed to set the constant"),
        ("Refitter.get_missing_weights", ["w"], "refit", "the refitter still wants w"),
        ("IBuilderConfig.set_timing_cache", False, "timing_cache", "failed to take the timing cache"),
        ("ICudaEngine.create_engine_inspector", None, "inspect", "failed to create an engine inspector"),
    ],
)
def test_a_failure_that_tensorrt_only_logs_is_told(method: str, returned: Any, aspect: str, words: str) -> None:
    provider = provider_of("10.9.0.34")
    provider._module.failing, provider._module.logged = {method: returned}, ["2: [x.cpp] what it logged"]
    name = "conv_residual-fp16" if "convolution" in method else "gemm_bias-fp16"
    found = judged("10.9.0.34", name, aspect, provider)
    assert found.state == "failed"
    assert words in found.message
    assert "what it logged" in found.message or "still wants" in found.message


def test_a_parsers_errors_name_node_operator_and_reason() -> None:
    pytest.importorskip("onnx")
    for release, named in (
        ("8.6.1", "node 0:"),
        ("9.1.0", "node 0 trtcheck_node"),
        ("11.4.0.106", "node 0 trtcheck_node"),
    ):
        found = judged(release, "gemm_bias-fp16", "bad_onnx")
        assert found.state == "passed", found.message
        assert named in found.message
        assert "TrtcheckNoSuchOperator" in found.message


def test_a_parser_that_takes_anything_is_told() -> None:
    provider = provider_of("10.9.0.34")
    provider._module.failing = {"OnnxParser.parse": True}
    found = judged("10.9.0.34", "gemm_bias-fp16", "bad_onnx", provider)
    assert (found.state, found.message) == ("failed", "an unknown ONNX operator was taken without a word")


def test_memory_is_given_back_when_a_run_fails() -> None:
    provider = provider_of("10.9.0.34")
    provider._module.failing = {"IExecutionContext.execute_async_v3": False}
    assert "failed to run the engine" in judged("10.9.0.34", "gemm_bias-fp16", "numbers", provider).message
    assert provider.used_bytes() == 0


@pytest.mark.parametrize(
    ("case", "release", "capability", "words"),
    [
        ("gemm_bias-bf16", "8.6.1", "9.0", "bf16 came with TensorRT 9.0"),
        ("gemm_bias-bf16", "10.0.1", "7.5", "bf16 needs compute capability 8.0"),
        ("fp8_qdq-fp16", "9.3.0", "9.0", "FP8 constants are taken from TensorRT 10.0 on"),
        ("fp8_qdq-fp16", "10.0.1", "8.6", "FP8 needs compute capability 8.9"),
        ("int4_weights-fp16", "9.3.0", "9.0", "INT4 came with TensorRT 10.0"),
        ("int8_calibrated-fp32", "11.0.0.114", "9.0", "calibrators and implicit INT8 left with TensorRT 11.0"),
        ("gemm_bias-fp16", "8.5.3", "9.0", "from 8.6 on"),
        ("gemm_bias-fp16", "12.0.0", "9.0", "not implemented for release 12.0.0: signature unknown"),
    ],
)
def test_what_is_out_of_reach_is_said_before(case: str, release: str, capability: str, words: str) -> None:
    assert words in TensorRTEngines().why_not(CASES[case], where(release, capability))


def test_abilities_follow_release_gpu_and_what_is_installed() -> None:
    abilities = TensorRTEngines().abilities
    assert "weight_streaming" not in abilities(where("9.3.0"))
    assert "weight_streaming" in abilities(where("10.0.1"))
    assert "hardware_compatible" not in abilities(where("10.0.1", "7.5"))
    assert "calibration" in abilities(where("10.16.1.11"))
    assert "calibration" not in abilities(where("11.0.0.114"))
    lean = {"tensorrt-lean-cu13": "11.4.0.106"}
    assert "lean_runtime" in abilities(where("11.4.0.106", **lean))
    assert "lean_runtime" in abilities(where("11.0.0.114", **lean))
    assert "lean_runtime" not in abilities(where("11.4.0.107", **lean))
    assert "lean_runtime" not in abilities(where("11.4.0.106"))
