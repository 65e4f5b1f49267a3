"""The TensorRT adapter and its attention providers, on every release of which a record exists.

Each attribute that they touch and each call that they make is held to the tables by a stand-in; its networks compute,
so that the graph itself is judged against the reference as well.
"""

from __future__ import annotations

import gc
import sys
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

import tests.contracts.tensorrt_running  # noqa: E402, F401 - registers what layers compute and engines do
from pytest_trtcheck._suites.attention.inputs import make_inputs  # noqa: E402
from pytest_trtcheck._suites.attention.judge import judge  # noqa: E402
from pytest_trtcheck._suites.attention.providers.tensorrt import TensorRTAttention, TensorRTOperator  # noqa: E402
from pytest_trtcheck._suites.attention.reference import make_reference  # noqa: E402
from pytest_trtcheck._suites.support.judgement import PASSED, REFUSED  # noqa: E402
from pytest_trtcheck._suites.support.tensorrt import TensorRT, TensorRTError, TensorRTRefusal  # noqa: E402
from pytest_trtcheck.providers import AttentionCase, Where  # noqa: E402
from tests.contracts import tables  # noqa: E402
from tests.contracts.tensorrt_standin import Standin  # noqa: E402

RELEASES = tables.tensorrt_releases()
CASES = (
    AttentionCase("context", "full", "padded", (1, 2, 17), (1, 2, 17), 8, 2, 64, "fp16"),
    AttentionCase("context", "causal", "padded", (9, 17), (9, 17), 8, 2, 80, "bf16", soft_cap=10.0),
    AttentionCase("context", "sliding_window", "dense", (33, 33), (33, 33), 8, 1, 32, "fp32", window=4),
    AttentionCase("context", "causal", "dense", (33,), (33,), 8, 8, 32, "fp16", softmax_scale=0.2, nan_query=True),
    AttentionCase("context", "full", "dense", (33, 33), (33, 33), 8, 8, 32, "fp32"),
    AttentionCase("context", "full", "padded", (7, 33), (7, 33), 8, 2, 32, "bf16", alibi=True),
    AttentionCase("context", "causal", "dense", (33, 33), (33, 33), 8, 2, 32, "fp32", alibi=True),
)
PLAIN = CASES[4]


class Stream:
    """Stands in for torch's current stream."""

    cuda_stream = 7

    def __init__(self) -> None:
        self.waits = 0

    def synchronize(self) -> None:
        self.waits += 1


@pytest.fixture(autouse=True)
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    """No GPU here: a stream that only counts, and arrays as TensorRT before 10.0 takes them."""
    found = Stream()
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: found)
    numpy = SimpleNamespace(full=lambda shape, value, dtype: [value], float32="float32")
    monkeypatch.setitem(sys.modules, "numpy", numpy)
    return found


def where(release: str, **changes: Any) -> Where:
    return Where(**{"device": "cuda", "compute_capability": "9.0", "versions": {"tensorrt": release}, **changes})


def verdict(module: Any, kind: type[TensorRTAttention], case: AttentionCase) -> Any:
    provider = kind(module)
    reference = make_reference(case, make_inputs(case, 0, "cpu"))
    return judge(case, provider, make_inputs(case, 0, "cpu", provider.padding), reference)


@pytest.mark.parametrize("kind", [TensorRTAttention, TensorRTOperator])
@pytest.mark.parametrize("release", RELEASES)
def test_every_case_runs_and_is_right_with_the_api_of_each_release(release: str, kind: Any, stream: Stream) -> None:
    able = [case for case in CASES if not kind().why_not(case, where(release))]
    since = tables.number("10.14" if kind is TensorRTOperator else "8.6")
    assert bool(able) == (tables.number(release) >= since)
    for case in able:
        module = Standin(release)
        found = verdict(module, kind, case)
        assert found.state == PASSED, f"{case.name}: {found.message} {found.text}"
        assert module.uses["INetworkDefinition.add_input"] >= 3
        # The first form is deprecated once there is a second.
        uses_second = module.uses["INetworkDefinition.add_attention_v2"] > 0
        assert uses_second == (kind is TensorRTOperator and tables.number(release) >= (11,))
    assert stream.waits == len(able)


@pytest.mark.parametrize("release", RELEASES)
def test_flags_are_those_that_a_release_needs_and_has(release: str) -> None:
    module = Standin(release)
    with TensorRT(module).draft(precisions=["fp16"]) as draft:
        flags, config = draft.network._state["flags"], draft.config._state
        major = tables.number(release)[0]
        names = module.enums["NetworkDefinitionCreationFlag"]._members
        expected = {8: {"EXPLICIT_BATCH"}, 11: {"STRONGLY_TYPED"}}.get(major, {"EXPLICIT_BATCH", "STRONGLY_TYPED"})
        assert {name for name, member in names.items() if flags & (1 << int(member))} == expected
        assert config["cleared"] == {"TF32"}
        assert config["flags"] == ({"FP16"} if major == 8 else set())


def test_weak_typing_can_be_asked_for_where_it_exists() -> None:
    with TensorRT(Standin("10.9.0.34")).draft(strongly_typed=False, precisions=["bf16", "int8"]) as draft:
        assert draft.config._state["flags"] == {"BF16", "INT8"}
        assert not draft.strongly_typed
    with TensorRT(Standin("11.0.0.114")).draft(strongly_typed=False, precisions=["bf16"]) as draft:
        assert draft.strongly_typed


def test_types_that_a_release_lacks_are_refused_in_words() -> None:
    api = TensorRT(Standin("8.6.1"))
    with pytest.raises(TensorRTRefusal, match="no data type BF16"):
        api.dtype("bf16")
    with pytest.raises(TensorRTRefusal, match="no builder flag for bf16"):
        api.draft(precisions=["bf16"])


@pytest.mark.parametrize("release", ["8.6.1", "10.14.1.48.post1", "11.4.0.106"])
@pytest.mark.parametrize(
    ("method", "returned", "doing"),
    [
        ("Builder.create_network", None, "create a network"),
        ("Builder.build_serialized_network", None, "build the network"),
        ("INetworkDefinition.add_softmax", None, "add softmax"),
        ("Runtime.deserialize_cuda_engine", None, "load the plan"),
        ("ICudaEngine.create_execution_context", None, "create an execution context"),
        ("IExecutionContext.set_input_shape", False, "take input"),
        ("IExecutionContext.set_tensor_address", False, "bind tensor"),
        ("IExecutionContext.execute_async_v3", False, "run the engine"),
        ("IExecutionContext.infer_shapes", ["k"], "infer the shapes of k"),
    ],
)
def test_a_failure_that_tensorrt_only_logs_is_raised(release: str, method: str, returned: Any, doing: str) -> None:
    module = Standin(release)
    module.failing, module.logged = {method: returned}, ["first line", "2: [x.cpp] Error\n Code 2"]
    inputs = make_inputs(PLAIN, 0, "cpu", "finite")
    inputs.poison()
    with pytest.raises(
        TensorRTError, match=rf"TensorRT .* failed to {doing}.*: first line \| 2: \[x.cpp\] Error Code 2"
    ):
        TensorRTAttention(module).run(PLAIN, inputs)
    assert bool(inputs.out.isnan().all())


@pytest.mark.parametrize("factory", ["Builder", "Runtime"])
def test_a_null_factory_is_named_with_the_log(factory: str) -> None:
    module = Standin("8.6.1")
    module.failing, module.logged = {factory: None}, ["CUDA initialization failure with error: 35"]
    module.severity = "WARNING"
    with pytest.raises(TensorRTError, match=f"failed to make a {factory} .*nullptr.*: CUDA initialization failure"):
        TensorRTAttention(module).run(PLAIN, make_inputs(PLAIN, 0, "cpu"))


@pytest.mark.parametrize(
    "words",
    [
        "Error Code 10: Could not find any implementation for node {ForeignNode[q...]}",
        # 8.6.0 on an H200, asked for a version-compatible plan without the package tensorrt-lean.
        "6: [libLoader.cpp::Impl::293] Error Code 6: Internal Error (Unable to load library: libnvinfer_lean.so.8.6.0)",
    ],
)
def test_what_the_builder_has_nothing_for_is_a_refusal(words: str) -> None:
    module = Standin("11.4.0.106")
    module.failing = {"Builder.build_serialized_network": None}
    module.logged = [words]
    found = verdict(module, TensorRTOperator, PLAIN)
    assert found.state == REFUSED
    assert words in found.message


def test_without_numpy_old_releases_refuse_and_new_ones_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    old = verdict(Standin("9.3.0"), TensorRTAttention, PLAIN)
    assert old.state == REFUSED
    assert "numpy cannot be imported" in old.message
    assert verdict(Standin("10.0.1"), TensorRTAttention, PLAIN).state == PASSED


def test_nothing_outlives_a_case() -> None:
    module = Standin("10.14.1.48.post1")
    assert verdict(module, TensorRTAttention, PLAIN).state == PASSED
    module.networks.clear()
    module.plans.clear()
    gc.collect()
    assert not +module.alive


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"out": lambda t: t.double()}, "TensorRT has no data type for torch.float64"),
        ({"out": lambda t: t.half()}, "tensor out: the engine has DataType.FLOAT, given was torch.float16"),
        ({"out": lambda t: t[:, :5]}, "tensor out is not contiguous"),
        ({"out": lambda t: t[:1]}, "tensor out: the engine has shape"),
        ({"q": lambda t: t[:1]}, "failed to take input q"),
        ({"extra": lambda t: t}, "the engine has tensors"),
    ],
)
def test_tensors_that_do_not_fit_the_engine_are_refused(change: dict[str, Any], words: str) -> None:
    api = TensorRT(Standin("10.9.0.34"))
    inputs = make_inputs(PLAIN, 0, "cpu", "finite")
    inputs.poison()
    with api.draft() as draft:
        TensorRTAttention().define(draft, PLAIN)
        plan = draft.plan()
    tensors = {"q": inputs.q, "k": inputs.k, "v": inputs.v, "out": inputs.out}
    tensors.update({name: shrink(inputs.out if name != "q" else inputs.q) for name, shrink in change.items()})
    with api.load(plan) as engine, pytest.raises(TensorRTError, match=words.replace("(", r"\(")):
        engine.run(tensors)


def test_open_dimensions_get_a_profile() -> None:
    with TensorRT(Standin("8.6.1")).draft() as draft:
        draft.input("x", "fp32", (-1, 4))
        draft.profile(x=((1, 4), (2, 4), (8, 4)))
        with pytest.raises(TensorRTError, match="failed to add an optimization profile"):
            draft.profile()


@pytest.mark.parametrize(
    ("kind", "case", "release", "words"),
    [
        (TensorRTAttention, CASES[1], "8.6.1", "bf16 came with TensorRT 9.0"),
        (TensorRTAttention, PLAIN, "8.5.3", "from 8.6 on"),
        (TensorRTAttention, PLAIN, "12.0.0", "not implemented for release 12.0.0: signature unknown"),
        (TensorRTOperator, PLAIN, "10.13.3.9", "came with TensorRT 10.14"),
        (TensorRTOperator, CASES[1], "10.14.1", "no soft cap"),
    ],
)
def test_what_is_out_of_reach_is_said_before(kind: Any, case: AttentionCase, release: str, words: str) -> None:
    assert words in kind().why_not(case, where(release))


def test_no_gpu_means_no_run() -> None:
    assert TensorRTAttention().why_not(PLAIN, where("10.9.0", device="cpu")) == "TensorRT runs on GPUs only"


def test_the_stand_in_itself_refuses_what_a_release_lacks() -> None:
    old, new = Standin("8.6.1"), Standin("11.4.0.106")
    with pytest.raises(AttributeError, match="BF16"):
        _ = old.DataType.BF16
    with pytest.raises(AttributeError, match="EXPLICIT_BATCH"):
        _ = new.NetworkDefinitionCreationFlag.EXPLICIT_BATCH
    with TensorRT(new).draft() as draft:
        tensor = draft.input("x", "fp32", (1,))
        with pytest.raises(AttributeError, match="can't set attribute 'dtype'"):
            tensor.dtype = new.DataType.FLOAT
        with pytest.raises(TypeError, match="does not take"):
            draft.network.add_softmax(tensor, 1)
        with pytest.raises(AttributeError, match="add_rnn_v2"):
            _ = draft.network.add_rnn_v2
