"""The backend for Triton's generate endpoints against a real HTTP server on loopback, a stand-in for Triton."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
from pytest_trtcheck._suites.probe_llm.providers.triton_generate import TritonGenerate
from pytest_trtcheck._suites.probe_llm.providers.wire import ServerError
from pytest_trtcheck._suites.probe_llm.tasks import EOS, encode
from pytest_trtcheck.providers import LlmCase, LlmSession, Model, Request, Setup, Where
from pytest_trtcheck.providers.servers import Server
from tests.contracts.toy_llm import SCRIPT, prompt_of
from tests.triton_generate_server import TritonServer

FOLDERS = Model(MODEL, MODEL / "lora", MODEL / "draft")
HERE = Where("cpu")
BF16 = Setup("bf16")


@pytest.fixture(autouse=True)
def sockets_denied() -> None:
    """These tests do talk, to loopback alone: the package's own fixture of this name steps aside."""


def session(server: TritonServer) -> LlmSession:
    return TritonGenerate(server.address).open(BF16, FOLDERS, HERE)


@pytest.mark.parametrize("echoes", [False, True], ids=["answer_only", "prompt_before_answer"])
def test_the_script_plays(echoes: bool) -> None:
    requests = [replace(request, log_probs=0) for request, _ in SCRIPT]
    with TritonServer(echoes=echoes) as server:
        answers = session(server).generate(requests)
    for answer, (request, expected) in zip(answers, SCRIPT, strict=True):
        found = {name: getattr(answer, name) for name in expected if name != "log_probs"}
        assert found == {name: value for name, value in expected.items() if name != "log_probs"}, request


def test_inputs_have_the_names_of_the_ensemble() -> None:
    asked = Request(prompt_of("cd"), 5, temperature=0.5, seed=7, stop=("x",), bad_words=("y",), repetition_penalty=1.5)
    with TritonServer() as server:
        session(server).generate([Request(prompt_of("ab"), 5), asked])
        plain, rich = sorted(server.asked, key=len)
    assert plain == {
        "text_input": "ab", "max_tokens": 5, "stop_words": "", "bad_words": "", "top_k": 1, "stream": False,
    }  # fmt: skip
    assert rich == {
        "text_input": "cd", "max_tokens": 5, "stop_words": ["x"], "bad_words": ["y"], "temperature": 0.5, "top_p": 1.0,
        "top_k": 0, "random_seed": 7, "repetition_penalty": 1.5, "stream": False,
    }  # fmt: skip


@pytest.mark.parametrize("streaming", [False, True])
def test_an_error_inside_a_good_status_is_a_refusal_in_words(streaming: bool) -> None:
    with TritonServer(wrong="error") as server:
        (answer,) = session(server).generate([Request(prompt_of("ab"), streaming=streaming)])
    assert (answer.finish, answer.words) == ("refused", "no slot is left")


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("wrong", ["no_text", "number"])
def test_an_answer_without_text_is_an_error(wrong: str, streaming: bool) -> None:
    with TritonServer(wrong=wrong) as server, pytest.raises(ServerError, match="expected text_output, found"):
        session(server).generate([Request(prompt_of("ab"), streaming=streaming)])


def test_an_ensemble_that_is_not_ready_does_not_come_up() -> None:
    with TritonServer(is_ready=False) as server, pytest.raises(ServerError, match="HTTP 400: the model is not ready"):
        session(server)


def test_a_server_that_is_gone_does_not_come_up() -> None:
    with TritonServer() as server:
        address = server.address
    with pytest.raises(ServerError, match=r"no connection: .*; is the server up\?"):
        TritonGenerate(address).open(BF16, FOLDERS, HERE)


def test_prompts_that_no_text_stands_for_are_refused() -> None:
    with TritonServer() as server:
        answers = session(server).generate([Request(tuple(encode("ab"))), Request((1,)), Request(prompt_of("ab"))])
    assert [answer.finish for answer in answers] == ["refused", "refused", "end"]
    assert answers[2].tokens == (*encode("ba"), EOS)


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (TritonServer(), ""),
        (TritonServer(is_ready=False), "the server has no model ensemble"),
        (TritonServer(copies=False), "ensemble is not the probe model: asked to copy 'ab', it gave '=baC'"),
        (TritonServer(wrong="error"), "ensemble is not the probe model: asked to copy 'ab', it gave no slot is left"),
        (TritonServer(wrong="number"), ""),
    ],
    ids=["probe", "no_ensemble", "other_model", "refusing", "wrong"],
)
def test_another_model_than_the_probe_is_left_alone(server: TritonServer, words: str) -> None:
    with server:
        assert TritonGenerate(server.address).why_not(LlmCase("x", BF16, (Request((1,)),)), HERE) == words


def test_what_has_no_input_is_said() -> None:
    backend = TritonGenerate(Server("127.0.0.1", 8000))
    case = LlmCase("x", Setup("bf16", adapter=True), (Request((1,), log_probs=1, beams=2),))
    assert backend.why_not(case, HERE) == "no adapter, no beam_search, no log_probs"
