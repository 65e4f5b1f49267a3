"""What one figure comes to over sound variants: where families lie, and how far two variants of one are apart.

A variant differs from the first of its family by one thing: how it does the algorithm, or what it was calibrated on.
The two effects are estimated apart and taken to add up, in logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean


@dataclass
class FamilyLogs:
    """Natural logarithms of a figure over one family."""

    ways: list[float] = field(default_factory=list)
    """Of each way to do it, all on the same calibration; the first way comes first."""
    calibrations: list[float] = field(default_factory=list)
    """Of the first way on other calibrations."""

    def add(self, value: float, *, recalibrated: bool) -> None:
        """Add a figure."""
        (self.calibrations if recalibrated else self.ways).append(math.log(value))

    @property
    def first_way(self) -> list[float]:
        """Of the first way on every calibration."""
        return [self.ways[0], *self.calibrations]

    @property
    def center(self) -> float:
        """Mean over ways and over calibrations."""
        return mean(self.ways) + mean(self.first_way) - self.ways[0]


def spread(families: Sequence[FamilyLogs]) -> dict[str, float]:
    """Return the lowest and the highest center, and the standard deviations between ways and between calibrations."""
    centers = [family.center for family in families]
    return {
        "low": min(centers),
        "high": max(centers),
        "sd": _within([family.ways for family in families]),
        "calibration_sd": _within([family.first_way for family in families]),
    }


def _within(groups: Sequence[Sequence[float]]) -> float:
    """Return the standard deviation within groups; 0 where none has two values."""
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum((value - mean(group)) ** 2 for group in groups for value in group)
    return math.sqrt(squares / freedom) if freedom else 0.0
