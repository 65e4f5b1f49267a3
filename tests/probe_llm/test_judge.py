"""Completions held against the reference: what is wrong is told, what a dtype cannot tell apart is not."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck.providers import Completion, Request

if TYPE_CHECKING:
    from pytest_trtcheck._suites.probe_llm.truth import Oracle

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    from pytest_trtcheck._suites.probe_llm.bench import PROBE_MODEL
    from pytest_trtcheck._suites.probe_llm.truth import Oracle

    return Oracle(PROBE_MODEL, "fp32")


def requests_of(*kinds: tuple[str, int]) -> list[Request]:
    from pytest_trtcheck._suites.probe_llm.tasks import questions

    return [Request(tuple(questions(task, size, 1, seed=1)[0].prompt_ids), max_tokens=20) for task, size in kinds]


@pytest.fixture(scope="module")
def asked(oracle: Oracle) -> tuple[list[Request], list[Completion]]:
    requests = requests_of(("copy", 12), ("reverse", 12), ("copy", 30))
    answers = [oracle.answer(request.prompt, request.max_tokens) for request in requests]
    return requests, [Completion(answer, "end" if answer[-1] == 2 else "length") for answer in answers]


def words(oracle: Oracle, requests: list[Request], answers: list[Completion], number: int = 0, **named: Any) -> str:
    from pytest_trtcheck._suites.probe_llm.judge import judge

    return judge(oracle, number, requests, answers, **named).words


def test_the_references_own_answers_are_right(oracle: Oracle, asked: tuple[list[Request], list[Completion]]) -> None:
    from pytest_trtcheck._suites.probe_llm.judge import judge

    for number, answer in enumerate(asked[1]):
        judged = judge(oracle, number, *asked)
        assert (judged.words, judged.wrong_tokens, judged.near_ties) == ("", 0, 0)
        assert judged.tokens == len(answer.tokens)


def test_a_wrong_token_is_told_with_place_margin_and_what_was_expected(
    oracle: Oracle, asked: tuple[list[Request], list[Completion]]
) -> None:
    from pytest_trtcheck._suites.probe_llm.judge import judge

    requests, answers = asked
    tokens = answers[0].tokens
    wrong = replace(answers[0], tokens=(*tokens[:4], 126, *tokens[5:]))
    judged = judge(oracle, 0, requests, [wrong, *answers[1:]])
    assert judged.wrong_tokens >= 1
    assert judged.words.startswith(
        f"place 4 of {len(tokens)}: expected {chr(tokens[4])!r} ({tokens[4]}), which leads by "
    )
    assert judged.words.endswith("is a tie), found '~' (126)")


def test_rows_that_were_swapped_are_named(oracle: Oracle, asked: tuple[list[Request], list[Completion]]) -> None:
    requests, answers = asked
    swapped = [answers[1], answers[0], answers[2]]
    assert words(oracle, requests, swapped, 0).endswith(", as request 1 has it there")
    assert words(oracle, requests, swapped, 1).endswith(", as request 0 has it there")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"finish": "length"}, "finish: expected end, found 'length'"),
        ({"finish": "refused", "words": "no time"}, "refused, and should be answered: no time"),
        ({"tokens": ()}, "expected tokens, found none, finish 'end'"),
    ],
)
def test_an_answer_must_end_as_it_should(
    oracle: Oracle, asked: tuple[list[Request], list[Completion]], change: dict[str, Any], expected: str
) -> None:
    requests, answers = asked
    assert words(oracle, requests, [replace(answers[0], **change), *answers[1:]]) == expected


def test_an_answer_may_be_neither_shorter_nor_longer(
    oracle: Oracle, asked: tuple[list[Request], list[Completion]]
) -> None:
    requests, answers = asked
    short = replace(answers[2], tokens=answers[2].tokens[:-1])
    assert words(oracle, requests, [*answers[:2], short], 2) == (
        "expected 20 tokens or the end mark, found 19 tokens, finish 'length'"
    )
    limit = len(requests[2].prompt) + 10
    assert words(oracle, requests, answers, 2, length_limit=limit) == "expected 10 tokens at most, found 20"
    cut = replace(answers[2], tokens=answers[2].tokens[:10])
    assert words(oracle, requests, [*answers[:2], cut], 2, length_limit=limit) == ""


def test_a_cancelled_request_must_say_so_after_that_many_tokens(
    oracle: Oracle, asked: tuple[list[Request], list[Completion]]
) -> None:
    request, answer = replace(asked[0][2], cancel_after=4), asked[1][2]

    def told(tokens: int, finish: str) -> str:
        return words(oracle, [request], [replace(answer, tokens=answer.tokens[:tokens], finish=finish)])

    assert told(4, "cancelled") == told(6, "cancelled") == ""
    assert told(6, "end") == "finish: expected cancelled, found 'end'"
    assert told(20, "length") == "expected to be cancelled after 4 tokens, found all 20, finish 'length'"
    assert told(3, "cancelled") == "expected 20 tokens or the end mark, found 3 tokens, finish 'cancelled'"


def test_log_probabilities_are_held_to_what_the_dtype_resolves(
    oracle: Oracle, asked: tuple[list[Request], list[Completion]]
) -> None:
    request, answer = replace(asked[0][0], log_probs=2), asked[1][0]
    truth = oracle.truth(request.prompt, answer.tokens)
    other = 5
    rows = [
        {token: truth.rows[place][token], other: truth.rows[place][other]} for place, token in enumerate(answer.tokens)
    ]
    assert words(oracle, [request], [replace(answer, log_probs=tuple(rows))]) == ""
    rows[3] = {**rows[3], other: rows[3][other] + 2 * truth.allowed_error(3, other)}
    assert words(oracle, [request], [replace(answer, log_probs=tuple(rows))]).startswith(
        f"place 3 of {len(rows)}: log-probability of special (5): expected "
    )


def test_a_tie_in_the_dtype_is_counted_and_not_an_error() -> None:
    import torch

    from pytest_trtcheck._suites.probe_llm.truth import make_truth

    exact = torch.tensor([[5.0, 4.99, 0.0, -3.0]], dtype=torch.float64)
    for dtype, torch_type, is_tie in (("bf16", torch.bfloat16, True), ("fp32", torch.float32, False)):
        truth = make_truth(exact, exact.to(torch_type), 1, dtype, usual=0.0)
        assert (truth.behind(0, 1) <= truth.ties[0]) is is_tie, dtype
        assert truth.behind(0, 2) > truth.ties[0]
        assert truth.best(0) == 0


def test_the_bound_of_a_log_probability_holds_for_the_worst_that_the_resolution_allows() -> None:
    import torch

    from pytest_trtcheck._suites.probe_llm.truth import make_truth

    exact = torch.randn(1, 128, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 4
    truth = make_truth(exact, exact.bfloat16(), 1, "bf16", usual=0.0)
    for token in (int(exact.argmax()), int(exact.argmin())):
        # Every other logit goes up as far as two may part.
        worst = exact + truth.ties[0] * (torch.arange(128) != token)
        error = float(truth.log_probs[0, token] - worst.log_softmax(-1)[0, token])
        assert error == pytest.approx(truth.allowed_error(0, token), rel=1e-3, abs=2e-6)


def test_nothing_is_computed_twice(oracle: Oracle, asked: tuple[list[Request], list[Completion]]) -> None:
    request, answer = asked[0][0], asked[1][0]
    whole = oracle.truth(request.prompt, answer.tokens)
    part = oracle.truth(request.prompt, (*answer.tokens[:5], 99))
    assert len(part) == 6
    assert part.log_probs.data_ptr() == whole.log_probs.data_ptr()


GOOD: Any = Completion((65, 66), "length", log_probs=({65: -0.1}, {66: -0.2}), pieces=(2,))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "the backend returned no answers: expected a list of Completion, found NoneType"),
        ("text", "the backend returned no answers: expected a list of Completion, found str"),
        ([], "the backend lost count: expected 1 answers, found 0"),
        ([{"tokens": []}], "request 0: expected a Completion, found dict"),
        ([replace(GOOD, tokens=[65, 66])], "request 0: tokens: expected a tuple, found list"),
        ([replace(GOOD, tokens=(65, 400))], "request 0: tokens: expected whole numbers from 0 to 127, found 400"),
        ([replace(GOOD, tokens=(65, True))], "request 0: tokens: expected whole numbers from 0 to 127, found True"),
        ([replace(GOOD, pieces=(1,))], "request 0: pieces: expected 2 tokens in all, as in the answer, found 1"),
        ([replace(GOOD, pieces=(2, 0))], "request 0: pieces: expected numbers of tokens from 1, found (2, 0)"),
        ([replace(GOOD, log_probs=())], "request 0: log_probs: expected one entry for each of 2 tokens, found 0"),
        (
            [replace(GOOD, log_probs=({65: -0.1}, {65: -0.1}))],
            "request 0: log_probs at place 1: expected that of token 66 among them, found {65: -0.1}",
        ),
        (
            [replace(GOOD, log_probs=({65: -0.1}, {66: math.nan}))],
            "request 0: log_probs at place 1: expected numbers, found nan",
        ),
        ([GOOD], ""),
        ([Completion((), "refused", "no")], ""),
    ],
)  # fmt: skip
def test_answers_of_the_wrong_form_are_told(given: Any, expected: str) -> None:
    from pytest_trtcheck._suites.probe_llm.judge import wrong_form

    assert wrong_form(given, [Request((1,), streaming=True, log_probs=1)], 128) == expected


def test_a_refusal_needs_words() -> None:
    from pytest_trtcheck._suites.probe_llm.judge import judge_refusal

    assert judge_refusal(Completion((), "refused", "too long")).words == ""
    assert judge_refusal(Completion((), "refused", " ")).words == "refused without words: expected to be told why"
    assert judge_refusal(GOOD).words == "expected finish 'refused' with words, found 2 tokens, finish 'length'"


def test_an_answer_is_held_against_the_same_truth_whatever_else_the_prompt_was_answered(oracle: Oracle) -> None:
    from pytest_trtcheck._suites.probe_llm.bench import PROBE_MODEL
    from pytest_trtcheck._suites.probe_llm.reference import Reference

    exact = Reference(PROBE_MODEL.main, "float64")
    prompt = requests_of(("copy", 12))[0].prompt
    for answer in ((41, 42, 43), (51, 2), (70,), (41, 42, 44, 45)):
        found = oracle.truth(prompt, answer).log_probs
        whole = exact.log_probs([*prompt, *answer])[len(prompt) - 1 : -1]
        assert found.shape == (len(answer), 128)
        assert float((found - whole).abs().max()) < 1e-10


def test_prompts_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_trtcheck._suites.probe_llm import truth
    from pytest_trtcheck._suites.probe_llm.bench import PROBE_MODEL

    monkeypatch.setattr(truth, "MOST_KEPT", 20)
    oracle = truth.Oracle(PROBE_MODEL, "fp32")
    for number in range(5):
        oracle.truth((1, *(40 + number for _ in range(8))), (41,))
    assert sum(len(prompt) for prompt, _ in oracle._begun) == 18
