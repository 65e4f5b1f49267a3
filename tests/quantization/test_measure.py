"""Figures from answers: a perfect backend, one that tells little, and those that answer nonsense."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck.providers import Completion, Model, Request, Setup

if TYPE_CHECKING:
    import torch

    from pytest_trtcheck._suites.quantization.measure import Distance

pytestmark = pytest.mark.torch

LONGEST = 24


class Changed:
    """The built-in engine in fp32, each completion changed before it is handed out."""

    def __init__(self, model: Model, change: Callable[[Completion], Any]) -> None:
        from pytest_trtcheck._suites.probe_llm.engine.session import Session

        self.session, self.change, self.asked = Session(Setup(), model, "cpu"), change, 0

    def generate(self, requests: Sequence[Request]) -> list[Any]:
        self.asked += len(requests)
        return [self.change(one) for one in self.session.generate(requests)]

    def close(self) -> None:
        self.session.close()


def with_logs(completion: Completion, change: Callable[[dict[int, float]], dict[int, float]]) -> Completion:
    logs = tuple(change(dict(one)) for one in completion.log_probs)
    return Completion(completion.tokens, completion.finish, log_probs=logs)


def distance_of(model: Model, change: Callable[[Completion], Any]) -> Distance:
    from pytest_trtcheck._suites.quantization.measure import distance

    return distance(Changed(model, change), LONGEST)


def test_the_model_as_it_was_trained_is_at_no_distance(model: Model) -> None:
    from pytest_trtcheck._suites.quantization.measure import golden_prompts

    found = distance_of(model, lambda one: one)
    assert found.divergence < 1e-8
    assert found.noise is not None
    assert found.noise < 1e-10
    assert found.places == sum(len(one.places) for one in golden_prompts() if len(one.tokens) <= LONGEST)


def test_a_known_change_of_the_logits_has_the_noise_that_it_should_have(model: Model) -> None:
    def shift(logs: dict[int, float]) -> dict[int, float]:
        moved = {token: log + (0.02 if token % 2 else -0.02) for token, log in logs.items()}
        total = math.log(sum(map(math.exp, moved.values())))
        return {token: log - total for token, log in moved.items()}

    found = distance_of(model, lambda one: with_logs(one, shift))
    # Half the tokens up, half down: variance 0.02 ** 2.
    assert found.noise == pytest.approx(0.02**2 / 2, rel=1e-3)
    assert 0 < found.divergence < 0.02**2


def test_a_backend_that_tells_the_likeliest_tokens_alone_has_a_divergence_and_no_noise(model: Model) -> None:
    def few(logs: dict[int, float]) -> dict[int, float]:
        return dict(sorted(logs.items(), key=lambda item: -item[1])[:5])

    found = distance_of(model, lambda one: with_logs(one, few))
    assert found.noise is None
    assert found.divergence < 1e-5


def test_places_after_a_token_that_differs_are_asked_for_by_themselves(model: Model) -> None:
    from pytest_trtcheck._suites.quantization.measure import distance, golden_requests

    def other(one: Completion) -> Completion:
        tokens = one.tokens if len(one.tokens) < 4 else (*one.tokens[:2], 7, *one.tokens[3:])
        return Completion(tokens, one.finish, log_probs=one.log_probs)

    changed = Changed(model, other)
    found = distance(changed, LONGEST)
    assert changed.asked > len(golden_requests(LONGEST))
    assert found.divergence < 1e-8


def rows_with(places: int, change: float) -> dict[int, torch.Tensor]:
    """Return golden log-probabilities, at the first so many places with this added to the likeliest token."""
    from pytest_trtcheck._suites.quantization.measure import golden_prompts

    found = {}
    for number, one in enumerate(golden_prompts()[:40]):
        found[number] = one.log_probs.double().clone()
        for row in found[number][:places]:
            row[row.argmax()] += change
            row.sub_(row.logsumexp(0))
        places = max(0, places - len(found[number]))
    return found


def test_a_place_that_tips_over_does_not_move_the_divergence_and_many_do() -> None:
    from pytest_trtcheck._suites.quantization.measure import STRAYS, distance_of

    none, one, many = (distance_of(rows_with(places, -20.0)) for places in (0, 1, 100))
    assert math.ceil(STRAYS * none.places) < 10
    assert one.divergence == pytest.approx(none.divergence, abs=1e-8)
    assert many.divergence > 0.1
    assert one.noise is not None
    assert none.noise is not None
    assert one.noise > none.noise


def test_one_place_with_a_number_missing_makes_the_divergence_infinite() -> None:
    from pytest_trtcheck._suites.quantization.measure import distance_of

    assert distance_of(rows_with(1, -math.inf)).divergence == math.inf


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: None, "expected 19 completions, found 19 answers"),
        (lambda one: with_logs(one, lambda logs: {**logs, 999: -1.0}), "log-probabilities of token 999"),
        (lambda one: with_logs(one, lambda logs: dict.fromkeys(logs, math.nan)), "a log-probability of nan"),
        (lambda one: with_logs(one, lambda logs: dict.fromkeys(logs, 0.5)), "a log-probability of 0.5"),
        (
            lambda one: Completion(one.tokens, one.finish),
            "no log-probabilities for golden prompt 0 .copy 1.: finish '[a-z]+'$",
        ),
        (
            lambda one: Completion((), "refused", "20 at\nmost"),
            "no log-probabilities for .*: finish 'refused', 20 at most$",
        ),
    ],
)
def test_nonsense_is_told_in_words(change: Callable[[Completion], Any], words: str, model: Model) -> None:
    from pytest_trtcheck._suites.quantization.measure import UnusableAnswerError

    with pytest.raises(UnusableAnswerError, match=words):
        distance_of(model, change)


def test_answers_are_counted_by_set_and_the_first_wrong_one_is_told(model: Model) -> None:
    from pytest_trtcheck._suites.quantization.measure import questions_of, score

    def spoil(one: Completion) -> Completion:
        return Completion((90, *one.tokens[1:]), one.finish) if len(one.tokens) == 2 else one

    found = score(Changed(model, spoil), questions_of("easy", 18, 1))
    assert (found.right, found.asked) == (16, 18)
    assert found.by_set["majority"] == (0, 2)
    assert found.by_set["copy"] == (2, 2)
    assert found.wrong.startswith("majority 'M")
    assert "expected [" in found.wrong


def test_a_refused_question_is_told_with_the_backends_words(model: Model) -> None:
    from pytest_trtcheck._suites.quantization.measure import UnusableAnswerError, questions_of, score

    refused = Changed(model, lambda one: Completion((), "refused", words="too long for me"))
    with pytest.raises(UnusableAnswerError, match="refused a question of hard: too long for me"):
        score(refused, questions_of("hard", 2, 1))


def test_other_seeds_ask_other_questions() -> None:
    from pytest_trtcheck._suites.quantization.measure import questions_of

    first, second = (questions_of("hard", 8, seed)["hard"] for seed in (1, 2))
    assert first == questions_of("hard", 8, 1)["hard"]
    assert not set(first) & set(second)
