"""The TensorRT-LLM backends on releases whose arguments are recorded: a stand-in refuses every other name."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
from pytest_trtcheck._suites.probe_llm.providers.tensorrt_llm import BACKENDS
from pytest_trtcheck._suites.probe_llm.tasks import EOS, encode
from pytest_trtcheck.providers import LlmCase, Model, Refused, Request, Setup, Where
from pytest_trtcheck.providers.llm import LlmBackend
from tests.attention.libraries import module
from tests.contracts.llm_api_standin import LlmApi, is_loaded
from tests.contracts.toy_llm import CONTEXT, SCRIPT, check, prompt_of

TORCH, ENGINE = BACKENDS
FOLDERS = Model(MODEL, MODEL / "lora", MODEL / "draft")
SMALL = Setup("bf16", length_limit=CONTEXT, slots=3)
ON_TORCH = ("1.0.0", "1.2.1", "1.3.0rc20", "1.3.0rc27")
WITH_ENGINES = ("0.16.0", "0.19.0", "1.0.0", "1.2.1", "1.3.0rc20")


def where(release: str, capability: str = "9.0") -> Where:
    return Where("cuda", capability, {"tensorrt_llm": release})


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing a session frees the GPU's memory through torch, which need not be here."""
    module(monkeypatch, "torch", cuda=SimpleNamespace(empty_cache=lambda: None))


def case_of(setup: Setup) -> LlmCase:
    return LlmCase("script", setup, tuple(request for request, _ in SCRIPT))


TORCH_SETUPS = (
    SMALL,
    replace(SMALL, kv_tokens=256, prefix_reuse=True, chunk=16),
    replace(SMALL, adapter=True, kv_dtype="fp8_e4m3", tensor_parallel=2),
    replace(SMALL, speculation="ngram"),
    replace(SMALL, speculation="draft"),
)
ENGINE_SETUPS = (
    SMALL,
    replace(SMALL, dtype="fp32", kv_tokens=256, prefix_reuse=True, chunk=16, page_size=32),
    replace(SMALL, quantization="int8_weight_only"),
    replace(SMALL, quantization="int4_weight_only", tensor_parallel=2),
)


@pytest.mark.parametrize("release", ON_TORCH)
@pytest.mark.parametrize("setup", TORCH_SETUPS, ids=lambda setup: setup.name)
def test_the_script_plays_on_the_pytorch_backend(release: str, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    case = case_of(setup)
    assert TORCH.why_not(case, where(release)) == ""
    api = LlmApi(release).install(monkeypatch)
    session = TORCH.open(setup, FOLDERS, where(release))
    check(session.generate(case.requests))
    session.close()
    assert api.uses["shutdown"] == 1
    assert api.aborted == 1
    assert api.given["kv_cache_config"].given["enable_block_reuse"] is setup.prefix_reuse
    if setup.speculation == "draft":
        given = api.given["speculative_config"].given
        assert str(FOLDERS.draft) in (given.get("speculative_model"), given.get("speculative_model_dir"))


@pytest.mark.parametrize("release", WITH_ENGINES)
@pytest.mark.parametrize("setup", ENGINE_SETUPS, ids=lambda setup: setup.name)
@pytest.mark.parametrize("tells_end_mark", [True, False], ids=["end_mark_told", "end_mark_left_out"])
def test_the_script_plays_on_the_engine_backend(
    release: str, setup: Setup, tells_end_mark: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [request for request, _ in SCRIPT]
    case = LlmCase("script", setup, tuple(requests))
    assert ENGINE.why_not(case, where(release)) == ""
    api = LlmApi(release, tells_end_mark=tells_end_mark).install(monkeypatch)
    session = ENGINE.open(setup, FOLDERS, where(release))
    answers = session.generate(requests)
    if tells_end_mark:
        check(answers)
    else:
        assert [(answer.tokens, answer.finish) for answer in answers] == [
            (expected["tokens"], expected["finish"]) for _, expected in SCRIPT
        ]
    session.close()
    build = api.given["build_config"]
    assert build.given["max_seq_len"] == CONTEXT
    assert build.given["max_batch_size"] == 3
    if setup.chunk:
        assert build.plugin_config.use_paged_context_fmha
        assert build.plugin_config.tokens_per_block == 32
    if setup.quantization:
        assert api.given["quant_config"].quant_algo == {"int8": "W8A16", "int4": "W4A16"}[setup.quantization[:4]]


@pytest.mark.parametrize(("backend", "release"), [(TORCH, "1.2.1"), (ENGINE, "0.19.0"), (ENGINE, "1.0.0")])
def test_what_a_request_asks_for_has_a_name(backend: LlmBackend, release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    api = LlmApi(release).install(monkeypatch)
    session = backend.open(replace(SMALL, adapter=backend is TORCH), FOLDERS, where(release))
    session.generate(
        [
            Request(prompt_of("ab")),
            Request(prompt_of("ab"), temperature=0.5),
            Request(
                prompt_of("ab"), temperature=0.5, top_k=3, top_p=0.9, seed=7, repetition_penalty=1.5, bad_words=("x",)
            ),
            Request(prompt_of("ab"), regex="[a-z]+"),
            Request(prompt_of("ab"), json_schema="{}"),
        ]
    )
    greedy, warm, rich, regex, schema = api.params
    assert (greedy["top_k"], greedy["end_id"]) == (1, EOS)
    assert (warm["top_p"], warm["top_k"]) == (1.0, 0), "what is left out is 0 to the runtime, which is greedy"
    assert (rich["seed"], rich["bad"], rich["repetition_penalty"]) == (7, ["x"], 1.5)
    assert regex["guided_decoding"].regex == "[a-z]+"
    assert schema["guided_decoding"].json == "{}"


def test_beams_are_told_with_their_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    api = LlmApi("1.0.0").install(monkeypatch)
    session = ENGINE.open(SMALL, FOLDERS, where("1.0.0"))
    (answer,) = session.generate([Request(prompt_of("ab"), beams=2, length_penalty=0.5)])
    tokens = (*encode("ba"), EOS)
    assert answer.beams == ((tokens, -0.0), (tokens, -1.0))
    assert (api.params[0]["use_beam_search"], api.params[0]["n"], api.params[0]["best_of"]) == (True, 2, 2)
    assert "top_k" not in api.params[0]


def test_the_adapter_goes_with_the_requests_that_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    api = LlmApi("1.2.1").install(monkeypatch)
    session = TORCH.open(replace(SMALL, adapter=True), FOLDERS, where("1.2.1"))
    answers = session.generate([Request(prompt_of("ab")), Request(prompt_of("ab"), adapter=True)])
    assert [answer.tokens for answer in answers] == [(*encode("ba"), EOS), (*encode("BA"), EOS)]
    assert api.given["lora_config"].given["max_lora_rank"] == 8


def test_another_attention_backend_than_the_one_named_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    api = LlmApi("1.2.1", attention="VanillaAttention").install(monkeypatch)
    with pytest.raises(Refused, match="asked for the attention backend TRTLLM, TensorRT-LLM gave VanillaAttention"):
        TORCH.open(SMALL, FOLDERS, where("1.2.1"))
    assert api.uses["shutdown"] == 1


def test_a_name_that_the_release_lacks_is_refused_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    LlmApi("1.0.0").install(monkeypatch)
    setup = replace(SMALL, page_size=64)
    assert TORCH.why_not(LlmCase("x", setup, (Request((1,)),)), where("1.0.0")) == "no page_size"
    assert TORCH.why_not(LlmCase("x", setup, (Request((1,)),)), where("1.2.1")) == ""
    monkeypatch.delattr(sys.modules["tensorrt_llm.lora_helper"], "LoraConfig")
    with pytest.raises(Refused, match=r"no LoraConfig in tensorrt_llm\.lora_helper or"):
        TORCH.open(replace(SMALL, adapter=True), FOLDERS, where("1.0.0"))


@pytest.mark.parametrize(
    ("backend", "setup", "at", "words"),
    [
        (TORCH, SMALL, Where("cpu", versions={"tensorrt_llm": "1.0.0"}), "TensorRT-LLM runs on GPUs only"),
        (TORCH, SMALL, where("0.21.0"), "the PyTorch backend is its own default from 1.0 on"),
        (TORCH, replace(SMALL, dtype="fp32"), where("1.0.0"), "its attention takes fp16 and bf16"),
        (TORCH, replace(SMALL, kv_dtype="fp8_e4m3"), where("1.0.0", "8.6"), "no fp8_e4m3_kv"),
        (ENGINE, SMALL, where("0.15.0"), "the calls used here were read from 0.16 on"),
        (ENGINE, SMALL, where("1.3.0rc21"), "1.3.0rc20 is the last release with the engine backend"),
        (ENGINE, SMALL, where("1.3.0"), "1.3.0rc20 is the last release with the engine backend"),
        (ENGINE, replace(SMALL, adapter=True), where("1.0.0"), "no adapter"),
    ],
)
def test_what_is_out_of_reach_is_said_without_the_library(
    backend: LlmBackend, setup: Setup, at: Where, words: str
) -> None:
    assert backend.why_not(LlmCase("x", setup, (Request((1,)),)), at) == words
    assert not is_loaded()


def test_the_default_sampler_is_not_asked_for_what_it_ignores() -> None:
    case = LlmCase("x", SMALL, (Request((1,), seed=1, temperature=1.0, bad_words=("x",), repetition_penalty=1.2),))
    assert TORCH.why_not(case, where("1.2.1")) == "no bad_words, no repetition_penalty, no seed"
    assert ENGINE.why_not(case, where("1.2.1")) == ""


def test_the_stand_in_itself_refuses_what_a_release_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    LlmApi("1.0.0").install(monkeypatch)
    from tensorrt_llm import LLM
    from tensorrt_llm.llmapi import KvCacheConfig

    with pytest.raises(TypeError, match="tokens_per_block"):
        KvCacheConfig(tokens_per_block=64)
    with pytest.raises(TypeError, match="max_sequence"):
        LLM("x", max_sequence=1)
