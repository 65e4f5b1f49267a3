"""What turns logits into tokens, and what proposes tokens ahead; one of each for every request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch


class Chooser(Protocol):
    """Chooses the next token of one request."""

    def choose(self, row: torch.Tensor, prompt: Sequence[int], answer: Sequence[int]) -> int:
        """Return the token that follows prompt and answer, from logits ``[vocabulary]`` in fp32 or fp64.

        Called once for each token of the answer, in order, so it may keep what it needs of earlier ones.
        """


class Proposer(Protocol):
    """Proposes tokens that are checked in one step, for speculative decoding."""

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:
        """Return at most so many tokens that may follow prompt and answer so far."""


class Greedy:
    """The likeliest token."""

    def choose(self, row: torch.Tensor, prompt: Sequence[int], answer: Sequence[int]) -> int:  # noqa: ARG002
        """Return it."""
        return int(row.argmax())


class NoProposals:
    """One token at a time."""

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:  # noqa: ARG002
        """Return none."""
        return []
