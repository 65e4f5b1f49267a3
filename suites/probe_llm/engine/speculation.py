"""What proposes tokens ahead. Whatever is proposed, the engine keeps only what it would have chosen itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch

from pytest_trtcheck._suites.probe_llm.reference import Cache, Reference

LONGEST_GRAM = 3


class Proposer(Protocol):
    """Proposes tokens that are checked in one step; one for each request."""

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:
        """Return at most so many tokens that may follow prompt and answer so far."""


class NoProposals:
    """One token at a time."""

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:  # noqa: ARG002
        """Return none."""
        return []


class NGrams:
    """What followed when the last tokens came before: the longest match, the latest place."""

    def __init__(self, most: int) -> None:
        self.most = most

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:
        """Return what stands there."""
        tokens = list(tokens)
        for size in range(min(LONGEST_GRAM, len(tokens) - 1), 0, -1):
            last = tokens[-size:]
            for start in range(len(tokens) - size - 1, -1, -1):
                if tokens[start : start + size] == last:
                    return tokens[start + size : start + size + min(self.most, most)]
        return []


class DraftModel:
    """A smaller model's greedy tokens, through a cache of its own that goes back where the answer went another way."""

    def __init__(self, model: Reference, most: int) -> None:
        self.model, self.most = model, most
        self.cache = Cache()
        self.known: list[int] = []
        """Tokens in the cache."""

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, device: str) -> Reference:
        """Return the draft model, to be shared by all requests."""
        return Reference(folder, str(dtype).removeprefix("torch."), device=device)

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:
        """Return what the model would say."""
        self._go_back_to(tokens)
        proposed: list[int] = []
        new = list(tokens[len(self.known) :])
        while len(proposed) < min(self.most, most):
            proposed.append(int(self.model.logits(new, self.cache)[-1].argmax()))
            self.known += new
            new = proposed[-1:]
        return proposed

    def _go_back_to(self, tokens: Sequence[int]) -> None:
        """Keep what cache and tokens have in common, but for the last token: its logits are wanted anew."""
        pairs = zip(self.known, tokens[:-1], strict=False)
        same = next((place for place, (known, token) in enumerate(pairs) if known != token), None)
        kept = min(len(self.known), len(tokens) - 1) if same is None else same
        self.cache.pairs = [(k[:, :kept], v[:, :kept]) for k, v in self.cache.pairs]
        self.known = self.known[:kept]
