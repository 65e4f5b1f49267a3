"""The OpenAI backend against a real server, ``transformers serve`` with the probe model, where its packages are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.transformers_server import is_here, transformers_server

pytestmark = [pytest.mark.torch, pytest.mark.transformers]
if not is_here():
    pytest.skip("needs transformers[serving]", allow_module_level=True)

from pytest_trtcheck._suites.probe_llm import sets  # noqa: E402
from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL  # noqa: E402
from pytest_trtcheck._suites.probe_llm.providers.openai import OpenAi  # noqa: E402
from pytest_trtcheck._suites.probe_llm.tasks import encode  # noqa: E402
from pytest_trtcheck.providers import LlmCase, LlmSession, Model, Request, Setup, Where  # noqa: E402

FOLDERS = Model(MODEL, MODEL / "lora", MODEL / "draft")
HERE = Where("cpu")


@pytest.fixture(autouse=True)
def sockets_denied() -> None:
    """These tests do talk, to loopback alone: the package's own fixture of this name steps aside."""


@pytest.fixture(scope="module")
def opened() -> Iterator[LlmSession]:
    with transformers_server(MODEL) as server:
        yield OpenAi(server, str(MODEL)).open(Setup("bf16"), FOLDERS, HERE)


def test_it_answers_as_it_should(opened: LlmSession) -> None:
    questions = [question for name in ("copy", "sort", "add") for question in sets.easy_questions(name, 2, 1)]
    for streaming in (False, True):
        answers = opened.generate(
            [Request(tuple(question.prompt_ids), 32, streaming=streaming) for question in questions]
        )
        assert [list(answer.tokens) for answer in answers] == [question.answer_ids for question in questions]
        assert all(sum(answer.pieces) == len(answer.tokens) * streaming for answer in answers)


def test_a_script_plays_on_it(opened: LlmSession) -> None:
    question = sets.easy_questions("copy", 1, 1)[0]
    prompt, text = tuple(question.prompt_ids), question.answer
    cut, late, short, stopped, empty = opened.generate(
        [
            Request(prompt, 32, cancel_after=3),
            Request(prompt, 32, after=0),
            Request(prompt, 4),
            Request(prompt, 32, stop=(text[4:6],)),
            Request(()),
        ]
    )
    assert (cut.tokens, cut.finish) == (tuple(encode(text[:3])), "cancelled")
    assert (list(late.tokens), late.finish) == (question.answer_ids, "end")
    assert (short.tokens, short.finish) == (tuple(encode(text[:4])), "length")
    assert (stopped.tokens, stopped.finish) == (tuple(encode(text[:4])), "stop")
    assert empty.finish == "refused"


def test_it_is_not_asked_for_log_probabilities_that_it_does_not_tell(opened: LlmSession) -> None:
    backend = OpenAi(opened.server, str(MODEL))  # type: ignore[attr-defined] # this backend's own session
    assert backend.why_not(LlmCase("x", Setup("bf16"), (Request((1,), log_probs=1),)), HERE) == "no log_probs"
