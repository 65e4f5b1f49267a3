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
    """Return what beams are ordered by: the sum divided by the length to the power of the penalty."""
    tokens, total = beam
    return total / len(tokens) ** length_penalty


def beam_search(
    next_log_probs: Callable[[Sequence[tuple[int, ...]]], Tensor], width: int, limit: int, length_penalty: float = 1.0
) -> list[Beam]:
    """Return the ``width`` best beams found, the best first.

    ``next_log_probs`` gives [beams, vocabulary] for answers so far. Each step keeps the ``width`` best that go on;
    those that end are set aside. It stops when all have ended or hold ``limit`` tokens, or ``width`` have ended and none
    that goes on is better than the worst of them.
    """
    going: list[Beam] = [((), 0.0)]
    ended: list[Beam] = []
    for _ in range(limit):
        rows = next_log_probs([tokens for tokens, _ in going])
        found = [
            ((*tokens, int(token)), total + float(value))
            for (tokens, total), row in zip(going, rows, strict=True)
            for value, token in zip(*row.topk(min(2 * width, row.shape[-1])), strict=True)
        ]
        found.sort(key=lambda beam: -beam[1])
        going = []
        for rank, beam in enumerate(found[: 2 * width]):
            if beam[0][-1] != EOS:
                going.append(beam)
            elif rank < width:
                ended.append(beam)
        going = going[:width]
        ended = sorted(ended, key=lambda beam: -score(beam, length_penalty))[:width]
        if not going or (len(ended) == width and score(going[0], length_penalty) <= score(ended[-1], length_penalty)):
            break
    else:
        ended += going
    return sorted(ended, key=lambda beam: -score(beam, length_penalty))[:width]
