"""Were tokens drawn from the reference's distribution? Two tests over all draws of a case, and a look at each.

Every draw becomes a number that is uniform on [0, 1] if the distribution is right, whatever the prompt: the share of
the tokens likelier than the one that came, plus a random part of that one's own share. The chi-square test sees any
deviation; the mean log-probability, against its expectation, sees a wrong temperature best.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.support.chisquare import CELLS, uniformity

if TYPE_CHECKING:
    from torch import Tensor

SUSPICIOUS = 1e-3
"""Below this p-value a case is asked again, with other seeds and ``AGAIN`` times as many requests …"""
CERTAIN = 1e-5
"""… and is wrong if the second answers are below this one: a false alarm in about 1e8 cases."""
AGAIN = 4


@dataclass
class Draws:
    """What came of all draws of a case."""

    rng: random.Random
    uniforms: list[float] = field(default_factory=list)
    surplus: float = 0.0
    """Sum of log-probabilities beyond their expectation."""
    variance: float = 0.0

    def add(self, shares: Tensor, token: int) -> None:
        """Count a token drawn from probabilities [vocabulary]; one of probability 0 is not a matter of chance."""
        own = float(shares[token])
        self.uniforms.append(float(shares[shares > own].sum()) + self.rng.random() * own)
        logs = shares[shares > 0].log()
        kept = shares[shares > 0]
        expected = float((kept * logs).sum())
        self.surplus += math.log(own) - expected
        self.variance += float((kept * logs.square()).sum()) - expected**2

    def p_values(self) -> dict[str, float]:
        """Return what chance has to be taken to, for each test."""
        found = {"distribution": uniformity(self.uniforms)} if len(self.uniforms) >= 5 * CELLS else {}
        if self.variance > 0:
            found["temperature"] = math.erfc(abs(self.surplus) / math.sqrt(2 * self.variance))
        return found

    def describe(self) -> str:
        """Return the p-values and the direction on one line."""
        values = ", ".join(f"{name} p = {value:.2g}" for name, value in self.p_values().items())
        side = "likelier" if self.surplus > 0 else "less likely"
        return f"{len(self.uniforms)} draws: {values}; tokens are {side} than by the reference's distribution"


def most_by_chance(expected: float) -> int:
    """Return how many rare events may come where so many are expected: more come once in a million times (Poisson)."""
    term = below = math.exp(-expected)
    count = 0
    while 1 - below > 1e-6 and count < 10_000:
        count += 1
        term *= expected / count
        below += term
    return count
