"""The OpenAI backend against a real HTTP server on loopback, a stand-in for what serves a model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
from pytest_trtcheck._suites.probe_llm.providers.openai import OpenAi
from pytest_trtcheck._suites.probe_llm.providers.wire import Bounds, ServerError
from pytest_trtcheck._suites.probe_llm.tasks import EOS, encode
from pytest_trtcheck.providers import LlmCase, LlmSession, Model, Request, Setup, Where
from pytest_trtcheck.providers.servers import Server
from tests.contracts.toy_llm import SCRIPT, check, prompt_of
from tests.openai_server import Manners, OpenAiServer, reference, toy
from tests.openai_wrong import WRONG, WRONG_STREAMS

FOLDERS = Model(MODEL, MODEL / "lora", MODEL / "draft")
HERE = Where("cpu")
BF16 = Setup("bf16")
TIGHT = Bounds(connect_seconds=0.5, answer_seconds=1.0, most_bytes=300_000, line_bytes=100_000)
TRIALS = 2
"""Requests of a session that comes up on a server that takes ids: one with ids, one with log-probabilities."""


@pytest.fixture(autouse=True)
def sockets_denied() -> None:
    """These tests do talk, to loopback alone: the package's own fixture of this name steps aside."""


def session(server: OpenAiServer, bounds: Bounds | None = None) -> LlmSession:
    return OpenAi(server.address, bounds=bounds).open(BF16, FOLDERS, HERE)


MANNERS = {
    "plain": Manners(),
    "vllm": Manners(owner="vllm"),
    "transformers": Manners(takes_ids=False, has_log_probs=False),
    "ignores_stream": Manners(ignores_stream=True),
    "no_stop_reason": Manners(names_stops=False),
    "end_mark_untold": Manners(tells_end_mark=False),
}


@pytest.mark.parametrize("name", MANNERS)
def test_the_script_plays_on_servers_of_all_manners(name: str) -> None:
    manners = MANNERS[name]
    whole = not manners.ignores_stream
    knows_log_probs = manners.has_log_probs and manners.tells_end_mark
    with OpenAiServer(manners=manners) as server:
        backend = OpenAi(server.address)
        case = LlmCase("x", BF16, (Request((1,), log_probs=1),))
        assert backend.why_not(case, HERE) == ("" if knows_log_probs else "no log_probs")
        opened = backend.open(BF16, FOLDERS, HERE)
        requests = [request if knows_log_probs else replace(request, log_probs=0) for request, _ in SCRIPT]
        # The toy's context is the server's, not the short one of the stand-ins of libraries.
        requests[3] = Request((1, *encode("a" * 3000)))
        answers = opened.generate(requests)
        opened.close()
    if knows_log_probs and whole:
        check(answers)
    elif whole:
        for answer, (_, expected) in zip(answers, SCRIPT, strict=True):
            assert (answer.tokens, answer.finish) == (expected["tokens"], expected["finish"])
    else:
        # The whole answer is there when the first token is: too late to cancel it after two.
        assert [answer.finish for answer in answers[4:7]] == ["stop", "end", "end"]
        assert answers[5].pieces == (7,)


def test_a_cancelled_request_closes_its_connection() -> None:
    with OpenAiServer(manners=Manners(pause=0.02)) as server:
        (answer,) = session(server).generate([Request(prompt_of("abcdefgh" * 20), max_tokens=160, cancel_after=2)])
        assert (answer.tokens, answer.finish) == (tuple(encode("hg")), "cancelled")
        assert server.closed_early.wait(5.0)


def test_requests_run_side_by_side() -> None:
    everyone = threading.Barrier(8)

    def together(prompt: Sequence[int], fields: dict[str, Any]) -> Iterator[tuple[int, dict[int, float]]]:
        if fields["max_tokens"] == 9:
            everyone.wait(30)
        yield from toy(prompt, fields)

    with OpenAiServer(together) as server:
        answers = session(server).generate([Request(prompt_of("abcd"), 9) for _ in range(8)])
    assert {answer.tokens for answer in answers} == {(*encode("dcba"), EOS)}


def test_pieces_are_told_as_they_came() -> None:
    with OpenAiServer(manners=Manners(piece=3)) as server:
        (answer,) = session(server).generate([Request(prompt_of("abcdefg"), streaming=True)])
    assert answer.pieces == (3, 3, 2)


def test_what_a_request_asks_for_is_sent_and_nothing_else() -> None:
    with OpenAiServer() as server:
        rich = Request(prompt_of("ab"), 5, temperature=0.5, top_p=0.9, seed=7, stop=("x", "y"), log_probs=3)
        session(server).generate([Request(prompt_of("ab"), 5), rich])
        plain, full = sorted(server.asked[TRIALS:], key=len)
    ids = list(prompt_of("ab"))
    assert plain == {"model": "probe", "prompt": ids, "max_tokens": 5, "temperature": 0.0, "stream": False}
    assert full == {
        "model": "probe", "prompt": ids, "max_tokens": 5, "temperature": 0.5, "stream": False, "top_p": 0.9, "seed": 7,
        "stop": ["x", "y"], "logprobs": 3,
    }  # fmt: skip


def test_tokens_that_no_text_stands_for_are_refused_where_only_text_is_taken() -> None:
    with OpenAiServer(manners=Manners(takes_ids=False)) as server:
        requests = [Request(tuple(encode("ab"))), Request((1, 1, 97)), Request(prompt_of("ab"))]
        without_mark, two_marks, good = session(server).generate(requests)
    assert (without_mark.finish, two_marks.finish, good.finish) == ("refused", "refused", "end")
    assert without_mark.words == "the server takes text only, and no text has these tokens"


@pytest.mark.parametrize("how", WRONG)
def test_a_whole_answer_that_is_wrong_is_an_error_of_one_line(how: str) -> None:
    with OpenAiServer(manners=Manners(wrong=how, after=TRIALS)) as server:
        opened = session(server, TIGHT)
        start = time.monotonic()
        with pytest.raises(ServerError) as caught:
            opened.generate([Request(prompt_of("abc"), max_tokens=8, log_probs=1)])
        assert time.monotonic() - start < 10
    words = str(caught.value)
    assert words.startswith(f"http://127.0.0.1:{server.address.port}/v1/completions: ")
    assert WRONG[how] in words
    assert "\n" not in words
    assert len(words) < 400


@pytest.mark.parametrize("how", WRONG_STREAMS)
def test_a_stream_that_is_wrong_is_an_error_of_one_line(how: str) -> None:
    with OpenAiServer(manners=Manners(wrong=how, after=TRIALS)) as server:
        opened = session(server, TIGHT)
        with pytest.raises(ServerError) as caught:
            opened.generate([Request(prompt_of("abc"), max_tokens=8, streaming=True)])
    assert WRONG_STREAMS[how] in str(caught.value)
    assert "\n" not in str(caught.value)


FROM_THE_START = ("html", "not_json", "silent", "drip", "huge", "closed", "not_http", "error500", "no_models")


@pytest.mark.parametrize("how", FROM_THE_START)
def test_a_server_that_is_wrong_from_the_start_does_not_come_up(how: str) -> None:
    with OpenAiServer(manners=Manners(wrong=how)) as server, pytest.raises(ServerError, match=r"/v1/models: "):
        session(server, TIGHT)


def test_a_port_where_nobody_listens() -> None:
    with OpenAiServer() as server:
        address = server.address
    backend = OpenAi(address, bounds=TIGHT)
    assert backend.why_not(LlmCase("x", BF16, (Request((1,)),)), HERE) == "", "planned, so that it fails in words"
    with pytest.raises(
        ServerError, match=r"^http://127\.0\.0\.1:\d+/v1/models: no connection: .*; is the server up\?$"
    ):
        backend.open(BF16, FOLDERS, HERE)


def test_a_port_that_accepts_nobody() -> None:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        # A backlog that others fill: the kernel drops the next ones without a word.
        listener.listen(0)
        others = [socket.socket() for _ in range(4)]
        for other in others:
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        try:
            address = Server("127.0.0.1", listener.getsockname()[1], "/v1")
            with pytest.raises(
                ServerError, match=r"no connection within 0\.5 s; is the server up\?|no complete answer"
            ):
                OpenAi(address, bounds=TIGHT).open(BF16, FOLDERS, HERE)
        finally:
            for other in others:
                other.close()


def test_another_model_than_the_one_served() -> None:
    words = r"completions: model 'gpt' answers no prompt: HTTP 400: The model `gpt` does not exist\."
    with OpenAiServer() as server, pytest.raises(ServerError, match=words):
        OpenAi(server.address, "gpt").open(BF16, FOLDERS, HERE)


def test_a_server_that_lists_no_model_may_have_the_one_that_is_named() -> None:
    with OpenAiServer(manners=Manners(wrong="no_models", after=9)) as server:
        (answer,) = OpenAi(server.address, "probe").open(BF16, FOLDERS, HERE).generate([Request(prompt_of("ab"))])
        assert answer.finish == "end"
        with pytest.raises(ServerError, match=r"lists no model; name the probe model by --trtcheck-openai-model"):
            session(server, TIGHT)


def test_one_answer_that_fails_ends_the_others_soon() -> None:
    before = threading.active_count()
    manners = Manners(wrong="cut", after=TRIALS + 1, pause=0.01)
    with OpenAiServer(manners=manners) as server, pytest.raises(ServerError):
        session(server, TIGHT).generate([Request(prompt_of("abc" * 9)), Request(prompt_of("ab"), after=0)])
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.05)
    assert threading.active_count() <= before


@pytest.fixture(scope="module")
def serving_reference() -> Iterator[OpenAiServer]:
    pytest.importorskip("torch")
    with OpenAiServer(reference()) as server:
        yield server


@pytest.mark.torch
def test_the_reference_answers_alike_through_the_protocol(serving_reference: OpenAiServer) -> None:
    from pytest_trtcheck._suites.probe_llm import checkpoint, sets

    model = checkpoint.load()
    questions = [*sets.easy_questions("sort", 2, 5), *sets.easy_questions("add", 2, 5)]
    requests = [Request(tuple(question.prompt_ids), 32, log_probs=2, streaming=True) for question in questions]
    for question, answer in zip(questions, session(serving_reference).generate(requests), strict=True):
        expected = model.generate(question.prompt_ids, 32)
        assert list(answer.tokens) == expected.tokens == question.answer_ids
        for row, told in zip(expected.log_probs, answer.log_probs, strict=True):
            assert told == pytest.approx({token: float(row[token]) for token in told}, abs=1e-5)


@pytest.mark.torch
def test_a_seed_makes_sampling_repeatable(serving_reference: OpenAiServer) -> None:
    from pytest_trtcheck._suites.probe_llm import sets

    prompt = tuple(sets.hard_questions(1, 3)[0].prompt_ids)
    requests = [Request(prompt, 12, temperature=1.0, seed=seed) for seed in (1, 2, 1)]
    first, other, again = session(serving_reference).generate(requests)
    assert first.tokens == again.tokens != other.tokens
