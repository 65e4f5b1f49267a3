"""The engine's parts, and its answers against the plain reference, which takes one sequence at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck.providers import Refused, Request, Setup, Where
from pytest_trtcheck.providers.llm import LlmCase

if TYPE_CHECKING:
    from pytest_trtcheck._suites.probe_llm.engine.session import Session

pytestmark = pytest.mark.torch

KINDS = (("copy", 20), ("reverse", 14), ("close_draw", 32), ("lookup", 5), ("count", 12), ("add", 6), ("repeat", 16))


def opened(**named: Any) -> Session:
    from pytest_trtcheck._suites.probe_llm.bench import PROBE_MODEL
    from pytest_trtcheck._suites.probe_llm.engine.session import Session

    return Session(Setup(**named), PROBE_MODEL, "cpu")


@pytest.fixture(scope="module")
def asked() -> list[tuple[Request, tuple[int, ...]]]:
    """Requests and their greedy answers by the plain reference."""
    from pytest_trtcheck._suites.probe_llm.checkpoint import load
    from pytest_trtcheck._suites.probe_llm.tasks import questions

    reference = load()
    prompts = [question.prompt_ids for task, size in KINDS for question in questions(task, size, 2, seed=3)]
    return [(Request(tuple(ids), max_tokens=24), tuple(reference.generate(ids, 24).tokens)) for ids in prompts]


@pytest.mark.parametrize(
    "setup",
    [
        {},
        {"slots": 3},
        {"page_size": 5, "chunk": 7},
        {"slots": 6, "length_limit": 96, "kv_tokens": 128},
        {"prefix_reuse": True},
        {"slots": 6, "length_limit": 96, "kv_tokens": 160, "prefix_reuse": True, "chunk": 16, "page_size": 4},
    ],
    ids=str,
)
def test_answers_are_those_of_the_reference_however_requests_share_the_engine(
    setup: dict[str, Any], asked: list[tuple[Request, tuple[int, ...]]]
) -> None:
    session = opened(**setup)
    for _ in range(2 if setup.get("prefix_reuse") else 1):
        answers = session.generate([request for request, _ in asked])
        assert [answer.tokens for answer in answers] == [expected for _, expected in asked]
    told = session.statistics()
    assert told["kv_blocks_used"] == 0
    assert (told["reused_tokens"] > 0) is bool(setup.get("prefix_reuse"))
    assert (told["preemptions"] > 0) is ("kv_tokens" in setup)
    assert told["largest_batch"] <= setup.get("slots", 8)


def test_what_cannot_be_run_is_refused_in_words_and_the_rest_is_answered() -> None:
    answers = opened(length_limit=32).generate(
        [
            Request(()),
            Request((1,) * 32),
            Request((1, 200)),
            Request((1,), max_tokens=0),
            Request((1,), after=9),
            Request((1,), after=6),
            Request((1,), after=5),
            Request((1, 67), max_tokens=3),
        ]
    )
    assert [answer.finish for answer in answers] == ["refused"] * 7 + ["length"]
    assert [answer.words for answer in answers[:7]] == [
        "the prompt is empty: expected one token at least",
        "the prompt has 32 tokens: expected 31 at most",
        "the prompt has token ids beyond 0 to 127",
        "max_tokens is 0: expected 1 at least",
        "comes after request 9, which is not there",
        "waits for request 6, which never delivers a token",
        "waits for request 5, which never delivers a token",
    ]


def test_a_cache_that_holds_no_request_of_the_limit_is_refused() -> None:
    with pytest.raises(Refused, match="a KV cache of 64 tokens holds no request of 128"):
        opened(length_limit=128, kv_tokens=64)


def test_streaming_tells_pieces_and_cancelling_ends_early(asked: list[tuple[Request, tuple[int, ...]]]) -> None:
    prompt, expected = asked[0][0].prompt, asked[0][1]
    session = opened()
    streamed, cancelled = session.generate([Request(prompt, 24, streaming=True), Request(prompt, 24, cancel_after=5)])
    assert (streamed.tokens, streamed.pieces) == (expected, (1,) * len(expected))
    assert (cancelled.tokens, cancelled.finish) == (expected[:5], "cancelled")
    assert session.statistics()["kv_blocks_used"] == 0


def steps_of(session: Session) -> list[int]:
    """Return a list to which every later step adds how many requests took part in it."""
    steps: list[int] = []
    forward = session.forward

    def noted(parts: Any) -> Any:
        steps.append(len(parts))
        return forward(parts)

    session.forward = noted  # type: ignore[method-assign]
    return steps


def test_a_request_waits_for_the_one_that_it_comes_after(asked: list[tuple[Request, tuple[int, ...]]]) -> None:
    from dataclasses import replace

    first, second = asked[0][0], replace(asked[1][0], after=0)
    session = opened()
    steps = steps_of(session)
    session.generate([first, second])
    assert steps[:2] == [1, 2]


def test_proposals_that_are_wrong_change_nothing_and_right_ones_save_steps(
    asked: list[tuple[Request, tuple[int, ...]]],
) -> None:
    request, expected = asked[0]

    class Half:
        """Proposes the right tokens and then a wrong one."""

        def propose(self, tokens: Any, most: int) -> list[int]:
            at = len(tokens) - len(request.prompt)
            return [*expected[at : at + 2], 3][:most]

    session = opened(page_size=4)
    steps, make_job = steps_of(session), session.make_job

    def making(number: int, request: Request) -> Any:
        job = make_job(number, request)
        job.proposer = Half()
        return job

    session.make_job = making  # type: ignore[method-assign]
    [answer] = session.generate([request])
    assert answer.tokens == expected
    assert len(steps) < len(expected) * 2 / 3
    assert session.statistics()["kv_blocks_used"] == 0


def test_a_fork_shares_full_blocks_and_copies_the_last_one() -> None:
    from pytest_trtcheck._suites.probe_llm.engine.job import Sequence

    scheduler = opened(page_size=4, kv_tokens=64, length_limit=32).scheduler
    sequence = Sequence([1, 2, 3, 4, 5, 6, 7])
    sequence.blocks = [scheduler.pool.take(), scheduler.pool.take()]
    sequence.cached = 6
    scheduler.store.numbers[:, :, 4:6] = 7.0
    twin = scheduler.fork(sequence)
    assert twin.blocks[0] == sequence.blocks[0]
    assert scheduler.pool.users[twin.blocks[0]] == 2
    assert twin.blocks[1] != sequence.blocks[1]
    start = twin.blocks[1] * 4
    assert (scheduler.store.numbers[:, :, start : start + 2] == 7.0).all()
    scheduler.forget(sequence)
    assert scheduler.pool.users[twin.blocks[0]] == 1


def test_a_block_that_was_given_away_is_not_found_any_more() -> None:
    from pytest_trtcheck._suites.probe_llm.engine.kv import Pool

    pool = Pool(2, reuse=True)
    first, second = pool.take(), pool.take()
    pool.publish(first, (False, 1, 2))
    pool.publish(second, (False, 1, 2))
    assert pool.find((False, 1, 2)) == first
    pool.release(second)
    pool.release(first)
    assert pool.available == 2
    assert [pool.take(), pool.find((False, 1, 2))] == [second, first]
    assert [pool.take(), pool.find((False, 1, 2))] == [first, None]


def test_the_backend_says_what_it_lacks() -> None:
    from pytest_trtcheck._suites.probe_llm.providers.torch_engine import BACKENDS

    [backend] = BACKENDS
    assert backend.why_not(LlmCase("x", Setup(chunk=4), (Request((1,), streaming=True),)), Where("cpu")) == ""
    assert backend.why_not(LlmCase("x", Setup(tensor_parallel=4), ()), Where("cpu")) == "no tensor_parallel4"


def test_more_gpus_than_there_are_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from pytest_trtcheck._suites.probe_llm.engine.parallel import devices_for

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert devices_for("cpu", 2) == ["cpu", "cpu"]
    with pytest.raises(Refused, match="tensor parallelism over 2 GPUs: torch sees 1"):
        devices_for("cuda", 2)
