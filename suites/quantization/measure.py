"""What a backend answers to questions and to the golden prompts, as figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch

from pytest_trtcheck._suites.probe_llm.checkpoint import Golden, golden
from pytest_trtcheck._suites.probe_llm.sets import easy_questions, hard_questions
from pytest_trtcheck._suites.probe_llm.tasks import VOCABULARY, Question
from pytest_trtcheck._suites.quantization.calibration import NEAR
from pytest_trtcheck._suites.support.reasons import on_one_line
from pytest_trtcheck.providers import Completion, LlmSession, Request

KINDS = ("easy", "hard")
STRAYS = 0.01
"""Share of the places, the most divergent ones, that a mean divergence leaves out. At a few of them the model itself
is of two minds, and any rounding may tip it: one such place of 472 made up 99 % of the mean, with one calibration of
forty and not with the others."""


class UnusableAnswerError(Exception):
    """An answer that no figure can be made of; the words say which and why."""


@dataclass
class Score:
    """Right answers to questions."""

    right: int = 0
    asked: int = 0
    by_set: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Right and asked by name of the set."""
    wrong: str = ""
    """The first wrong answer, in words."""


@dataclass(frozen=True)
class Distance:
    """How far log-probabilities are from the golden ones."""

    divergence: float
    """Mean KL divergence over the places but ``STRAYS``, nats; infinite where a number that has to be there is not."""
    noise: float | None
    """Half the mean variance over the vocabulary of the difference, nats; None where not all tokens were told."""
    places: int
    rows: dict[int, torch.Tensor]
    """fp64 ``[places, vocabulary]`` log-probabilities by number of the golden prompt; NaN for what was not told."""


def questions_of(kind: str, count: int, seed: int) -> dict[str, list[Question]]:
    """Return at least ``count`` questions of the hard set, or of the near easy ones, equally many of each."""
    if kind == "hard":
        return {"hard": hard_questions(count, seed)}
    return {name: easy_questions(name, -(-count // len(NEAR)), seed) for name in NEAR}


def requests_of(questions: dict[str, list[Question]]) -> list[Request]:
    """Return one greedy request for each question, with room for the right answer and no more."""
    return [Request(tuple(one.prompt_ids), len(one.answer_ids)) for found in questions.values() for one in found]


def score(session: LlmSession, questions: dict[str, list[Question]]) -> Score:
    """Ask questions and count the exact answers."""
    found = _answers(session, requests_of(questions))
    result = Score()
    for name, asked in questions.items():
        right = 0
        for question in asked:
            completion = found.pop(0)
            if completion.finish == "refused":
                raise UnusableAnswerError(f"refused a question of {name}: {completion.words or 'no words'}")
            is_right = list(completion.tokens) == question.answer_ids
            right += is_right
            if not is_right and not result.wrong:
                found_ids = list(completion.tokens)
                words = f"expected {question.answer_ids!r:.60}, found {found_ids!r:.60}"
                result.wrong = f"{name} {question.prompt!r:.60}: {words}"
        result.by_set[name] = (right, len(asked))
        result.right += right
        result.asked += len(asked)
    return result


@lru_cache(maxsize=1)
def golden_prompts() -> tuple[Golden, ...]:
    """Return the golden prompts, read and verified once."""
    return tuple(golden())


def golden_requests(longest: int) -> dict[int, Request]:
    """Return a request for each golden prompt of at most so many tokens, by its number.

    It asks for what comes after the first place, and on to the last one: where the answer is as it was, each token of
    it has the log-probabilities of a place.
    """
    return {
        number: Request(
            tuple(one.tokens[: one.places[0] + 1]), one.places[-1] - one.places[0] + 1, log_probs=VOCABULARY
        )
        for number, one in enumerate(golden_prompts())
        if len(one.tokens) <= longest
    }


def distance(session: LlmSession, longest: int) -> Distance:
    """Compare log-probabilities with the golden ones, at every place of the prompts of at most so many tokens.

    Places that come after a token that differs from the golden one are asked for by themselves.
    """
    first = golden_requests(longest)
    answers = dict(zip(first, _answers(session, list(first.values())), strict=True))
    found: dict[int, dict[int, torch.Tensor]] = {}
    missing: list[tuple[int, int]] = []
    for number, completion in answers.items():
        one = golden_prompts()[number]
        found[number] = _along(one, completion)
        missing += [(number, place) for place in one.places if place not in found[number]]
    alone = [Request(tuple(golden_prompts()[n].tokens[: p + 1]), 1, log_probs=VOCABULARY) for n, p in missing]
    for (number, place), completion in zip(missing, _answers(session, alone), strict=True):
        if not completion.log_probs:
            raise UnusableAnswerError(f"no log-probabilities for {_name(number)}: {_end_of(completion)}")
        found[number][place] = row_of(completion, 0)
    rows = {number: torch.stack([at[p] for p in golden_prompts()[number].places]) for number, at in found.items()}
    return distance_of(rows)


def _end_of(completion: Completion) -> str:
    words = on_one_line(completion.words)
    return f"finish {completion.finish!r:.20}" + (f", {words:.200}" if words else "")


def distance_of(rows: dict[int, torch.Tensor]) -> Distance:
    """Return how far rows of log-probabilities are from the golden ones."""
    ours = torch.cat(list(rows.values()))
    right = torch.cat([golden_prompts()[number].log_probs for number in rows]).double()
    divergence = _mean_but_strays(_divergences(right, ours))
    is_whole = not bool(ours.isnan().any())
    noise = float((ours - right).var(-1, unbiased=False).mean()) / 2 if is_whole else None
    return Distance(divergence, noise, len(ours), rows)


def _mean_but_strays(divergences: torch.Tensor) -> float:
    if not bool(divergences.isfinite().all()):
        return math.inf
    kept = divergences.sort().values[: len(divergences) - math.ceil(STRAYS * len(divergences))]
    return float(kept.mean())


def row_of(completion: Completion, index: int) -> torch.Tensor:
    """Return log-probabilities by token, fp64 ``[vocabulary]``; NaN for what was not told."""
    row = torch.full((VOCABULARY,), math.nan, dtype=torch.float64)
    for token, log in completion.log_probs[index].items():
        if not 0 <= token < VOCABULARY:
            raise UnusableAnswerError(
                f"log-probabilities of token {token!r:.20}: expected ids from 0 to {VOCABULARY - 1}"
            )
        if not log <= 1e-3:
            raise UnusableAnswerError(f"a log-probability of {log!r:.20}: expected a number of 0 at most")
        row[token] = log
    return row


def _along(one: Golden, completion: Completion) -> dict[int, torch.Tensor]:
    """Return rows by place, as far as the answer is the golden one."""
    rows = {}
    first = one.places[0]
    for index in range(min(len(completion.tokens), len(completion.log_probs))):
        if first + index in one.places:
            rows[first + index] = row_of(completion, index)
        if list(completion.tokens[index : index + 1]) != one.tokens[first + index + 1 : first + index + 2]:
            break
    return rows


def _divergences(right: torch.Tensor, ours: torch.Tensor) -> torch.Tensor:
    """Return KL(right || ours) for each place. What was not told counts as one token with what is left over."""
    told = ~ours.isnan()
    each = torch.where(told, right.exp() * (right - ours.nan_to_num(0.0, neginf=-math.inf)), 0.0).sum(-1)
    left = torch.where(told, 0.0, right.exp()).sum(-1)
    ours_left = (1 - torch.where(told, ours.exp(), 0.0).sum(-1)).clamp(min=1e-9)
    rest = torch.where(left > 0, left * (left.clamp(min=1e-300).log() - ours_left.log()), 0.0)
    # Log-probabilities of a dtype do not add up to one exactly: what is too much is no gain.
    return (each + torch.where(told.all(-1), torch.where(told, ours.exp(), 0.0).sum(-1).log(), rest)).clamp(min=0.0)


def _answers(session: LlmSession, requests: Sequence[Request]) -> list[Completion]:
    if not requests:
        return []
    with torch.inference_mode():
        answers = session.generate(requests)
    if len(answers) != len(requests) or not all(isinstance(one, Completion) for one in answers):
        raise UnusableAnswerError(f"expected {len(requests)} completions, found {len(answers)} answers")
    return list(answers)


def _name(number: int) -> str:
    one = golden_prompts()[number]
    return f"golden prompt {number} ({one.task} {one.size})"
