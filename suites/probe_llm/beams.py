"""Beam search, plainly: the best continuations of a prompt by the sum of their log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.probe_llm.tasks import EOS

if TYPE_CHECKING:
    from torch import Tensor

Beam = tuple[tuple[int, ...], float]
"""Tokens, the end mark included if it came, and the sum of their natural log-probabilities."""


def score(beam: Beam, length_penalty: float) -> float:
    """Return what finished beams are ordered by: the sum divided by the length to the power of the penalty."""
    tokens, total = beam
    return total / float(len(tokens) ** length_penalty)


class Search:
    """Beams of one prompt. Each step keeps the ``width`` best that go on; those that end are set aside.

    It is over when all have ended or hold ``limit`` tokens, or when ``width`` have ended and none that goes on scores
    better than the worst of them.
    """

    def __init__(self, width: int, limit: int, length_penalty: float = 1.0) -> None:
        self.width, self.limit, self.length_penalty = width, limit, length_penalty
        self.going: list[Beam] = [((), 0.0)]
        self.ended: list[Beam] = []
        self.is_over = False

    def step(self, rows: Sequence[Tensor]) -> list[tuple[int, int]]:
        """Take log-probabilities [vocabulary] of each beam that goes on; return parent and token of what is kept."""
        found = [
            (total + float(value), parent, int(token))
            for parent, ((_, total), row) in enumerate(zip(self.going, rows, strict=True))
            for value, token in zip(*row.topk(min(2 * self.width, len(row))), strict=True)
        ]
        found.sort(key=lambda entry: -entry[0])
        kept: list[tuple[float, int, int]] = []
        for rank, (total, parent, token) in enumerate(found):
            if token == EOS:
                if rank < self.width:
                    self.ended.append(((*self.going[parent][0], token), total))
            elif len(kept) < self.width:
                kept.append((total, parent, token))
        self.going = [((*self.going[parent][0], token), total) for total, parent, token in kept]
        self.ended = self._ordered(self.ended)
        self.is_over = self._is_over()
        return [(parent, token) for _, parent, token in kept]

    def best(self) -> list[Beam]:
        """Return the ``width`` best beams, the best first: those that ended, and those cut at the limit."""
        cut = [beam for beam in self.going if len(beam[0]) >= self.limit]
        return self._ordered([*self.ended, *cut])

    def _ordered(self, beams: Sequence[Beam]) -> list[Beam]:
        return sorted(beams, key=lambda beam: -score(beam, self.length_penalty))[: self.width]

    def _is_over(self) -> bool:
        if not self.going or len(self.going[0][0]) >= self.limit:
            return True
        if len(self.ended) < self.width:
            return False
        return score(self.going[0], self.length_penalty) <= score(self.ended[-1], self.length_penalty)


def beam_search(
    next_log_probs: Callable[[Sequence[tuple[int, ...]]], Sequence[Tensor]],
    width: int,
    limit: int,
    length_penalty: float = 1.0,
) -> list[Beam]:
    """Return the ``width`` best beams found; ``next_log_probs`` gives [vocabulary] for each answer so far."""
    search = Search(width, limit, length_penalty)
    while not search.is_over:
        search.step(next_log_probs([tokens for tokens, _ in search.going]))
    return search.best()
