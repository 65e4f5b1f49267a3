"""Beam search by hand, and against all sequences there are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.probe_llm.beams import Search, beam_search, score
from pytest_trtcheck._suites.probe_llm.tasks import EOS

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = pytest.mark.torch


def table(seed: int, vocabulary: int = 5) -> dict[tuple[int, ...], Tensor]:
    """Return made-up log-probabilities after every answer of up to three tokens."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    answers = [answer for length in range(4) for answer in itertools.product(range(vocabulary), repeat=length)]
    rows = torch.randn(len(answers), vocabulary, generator=generator, dtype=torch.float64).mul(2).log_softmax(-1)
    return dict(zip(answers, rows, strict=True))


def total(rows: dict[tuple[int, ...], Tensor], tokens: Sequence[int]) -> float:
    return sum(float(rows[tuple(tokens[:place])][token]) for place, token in enumerate(tokens))


@pytest.mark.parametrize("seed", range(10))
def test_wide_enough_a_beam_finds_the_best_of_all(seed: int) -> None:
    rows = table(seed)
    found = beam_search(lambda answers: [rows[answer] for answer in answers], width=125, limit=3)
    every = [tokens for tokens in itertools.product(range(5), repeat=3) if EOS not in tokens[:-1]]
    every += [tokens for length in (1, 2) for tokens in itertools.product(range(5), repeat=length) if tokens[-1] == EOS]
    every = [tokens for tokens in every if tokens.count(EOS) <= 1]
    best = max(every, key=lambda tokens: score((tokens, total(rows, tokens)), 1.0))
    assert found[0][0] == best
    assert found[0][1] == pytest.approx(total(rows, best))


@pytest.mark.parametrize("seed", range(10))
def test_beams_are_distinct_ordered_and_told_with_their_own_sum(seed: int) -> None:
    rows = table(seed)
    for penalty in (0.5, 1.0, 2.0):
        found = beam_search(lambda answers: [rows[answer] for answer in answers], 3, 3, penalty)
        assert len({tokens for tokens, _ in found}) == 3
        scores = [score(beam, penalty) for beam in found]
        assert scores == sorted(scores, reverse=True)
        assert all(value == pytest.approx(total(rows, tokens)) for tokens, value in found)


def test_one_beam_is_greedy() -> None:
    rows = table(4)
    answer: tuple[int, ...] = ()
    while len(answer) < 3 and EOS not in answer:
        answer = (*answer, int(rows[answer].argmax()))
    assert beam_search(lambda answers: [rows[known] for known in answers], 1, 3)[0][0] == answer


def test_a_search_ends_when_nothing_that_goes_on_can_win() -> None:
    import torch

    sure = torch.full((5,), -30.0, dtype=torch.float64)
    sure[EOS] = 0.0
    search = Search(1, limit=50)
    search.step([sure])
    assert search.is_over
    assert search.best() == [((EOS,), 0.0)]
