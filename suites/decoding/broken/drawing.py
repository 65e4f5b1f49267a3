"""Mistakes in sampling: seeds, temperature, top-k, top-p."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import torch

from pytest_trtcheck._suites.decoding.broken.base import BrokenEngine
from pytest_trtcheck._suites.probe_llm.choosing import Chooser

_SAMPLING = frozenset({"sampling"})


class _FreshEntropy(Chooser):
    def uniform(self) -> float:
        return float(torch.rand((), dtype=torch.float64, generator=_ANY))


_ANY = torch.Generator().manual_seed(20261120)


class SeedIgnored(BrokenEngine):
    """The request's seed is not used."""

    shows_in, chooser = _SAMPLING, _FreshEntropy


class _SameNumber(Chooser):
    @cached_property
    def number(self) -> float:
        return super().uniform()

    def uniform(self) -> float:
        return self.number


class OneNumberForAllTokens(BrokenEngine):
    """The generator is seeded again for each token, so that each draw takes the same number."""

    shows_in, chooser = _SAMPLING, _SameNumber


class _CoarseSeed(Chooser):
    def __init__(self, request):  # type: ignore[no-untyped-def]
        seed = request.seed
        super().__init__(request if seed is None else replace(request, seed=seed & 0xF))


class SeedCutToFourBits(BrokenEngine):
    """Of the seed four bits are used, so that many requests draw alike."""

    shows_in, chooser = _SAMPLING, _CoarseSeed


def _with(**changes: object) -> type[Chooser]:
    """Return a chooser that reads some demands of the request otherwise."""

    class Changed(Chooser):
        def distribution(self, logits: torch.Tensor, answer: Sequence[int]) -> torch.Tensor:
            if self.request.temperature == 0:
                return super().distribution(logits, answer)
            given = self.request
            values = {name: change(getattr(given, name)) for name, change in changes.items()}  # type: ignore[operator]
            return Chooser(replace(given, **values)).distribution(logits, answer)

    return Changed


class TemperatureIgnored(BrokenEngine):
    """Draws at temperature 1 whatever is asked."""

    shows_in, chooser = _SAMPLING, _with(temperature=lambda _: 1.0)


class TemperatureTwice(BrokenEngine):
    """Logits are divided by the temperature twice."""

    shows_in, chooser = _SAMPLING, _with(temperature=lambda value: value**2)


class TemperatureMultiplied(BrokenEngine):
    """Logits are multiplied by the temperature."""

    shows_in, chooser = _SAMPLING, _with(temperature=lambda value: 1 / value)


class TopKIgnored(BrokenEngine):
    """All tokens may come whatever top-k says."""

    shows_in, chooser = frozenset({"top_k"}), _with(top_k=lambda _: 0)


class TopKOneMore(BrokenEngine):
    """One token more than top-k may come."""

    shows_in, chooser = frozenset({"top_k"}), _with(top_k=lambda value: value + 1 if value else 0)


class TopKOneLess(BrokenEngine):
    """One token less than top-k may come."""

    shows_in, chooser = frozenset({"top_k"}), _with(top_k=lambda value: max(value - 1, 1) if value else 0)


class TopPIgnored(BrokenEngine):
    """All tokens may come whatever top-p says."""

    shows_in, chooser = frozenset({"top_p"}), _with(top_p=lambda _: 1.0)


class _WithoutTheCrossing(Chooser):
    def distribution(self, logits: torch.Tensor, answer: Sequence[int]) -> torch.Tensor:
        limit = self.request.top_p
        shares = Chooser(replace(self.request, top_p=1.0)).distribution(logits, answer)
        if limit == 1 or self.request.temperature == 0:
            return shares
        ordered, order = shares.sort(descending=True, stable=True)
        beyond = ordered.cumsum(0) > limit
        beyond[0] = False
        shares = shares.index_fill(0, order[beyond], 0.0)
        return shares / shares.sum()


class TopPWithoutTheCrossingToken(BrokenEngine):
    """The token with which the sum passes top-p is left out."""

    shows_in, chooser = frozenset({"top_p"}), _WithoutTheCrossing


class _AlwaysGreedy(Chooser):
    def choose(self, logits: torch.Tensor, answer: Sequence[int]) -> int:
        return int(self.adjusted(logits, answer).argmax())


class NeverDraws(BrokenEngine):
    """The likeliest token, whatever the temperature."""

    shows_in, chooser = _SAMPLING, _AlwaysGreedy


class _NeverGreedy(Chooser):
    def choose(self, logits: torch.Tensor, answer: Sequence[int]) -> int:
        asked = self.request
        drawing = Chooser(asked if asked.temperature else replace(asked, temperature=1.0))
        drawing.uniform = self.uniform  # type: ignore[method-assign]
        return drawing.choose(logits, answer)


class DrawsWhenGreedy(BrokenEngine):
    """Draws at temperature 1 where the likeliest token was asked for."""

    chooser = _NeverGreedy


class _Squared(Chooser):
    def distribution(self, logits: torch.Tensor, answer: Sequence[int]) -> torch.Tensor:
        shares = super().distribution(logits, answer)
        return torch.where(shares > 0, shares.clamp(min=0.02), shares) / shares.clamp(min=0.02).sum()


class RareTokensTooOften(BrokenEngine):
    """No token that may come has a share below two per cent."""

    shows_in, chooser = _SAMPLING, _Squared


BROKEN: tuple[type[BrokenEngine], ...] = (
    SeedIgnored, OneNumberForAllTokens, SeedCutToFourBits, TemperatureIgnored, TemperatureTwice, TemperatureMultiplied,
    TopKIgnored, TopKOneMore, TopKOneLess, TopPIgnored, TopPWithoutTheCrossingToken, NeverDraws, DrawsWhenGreedy,
    RareTokensTooOften,
)  # fmt: skip
