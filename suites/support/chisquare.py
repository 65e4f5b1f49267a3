"""Are numbers uniform? The chi-square test, with as many cells as make its tail exact to compute."""

from __future__ import annotations

import math
from collections.abc import Sequence

CELLS = 17
"""An odd number: with an even number of degrees of freedom the tail is a finite sum."""


def tail(statistic: float, freedom: int) -> float:
    """Return the probability that chi-square with an even number of degrees of freedom is above a statistic.

    ``exp(-x) * sum(x**i / i!, i < freedom / 2)`` with ``x`` half the statistic.
    """
    if freedom <= 0 or freedom % 2:
        raise ValueError(f"expected an even, positive number of degrees of freedom, found {freedom}")
    x = statistic / 2
    term = total = 1.0
    for i in range(1, freedom // 2):
        term *= x / i
        total += term
    return min(1.0, math.exp(-x) * total)


def uniformity(numbers: Sequence[float]) -> float:
    """Return the p-value of "these numbers are uniform on [0, 1]" by chi-square over ``CELLS`` equal cells.

    Wants five numbers or more for each cell.
    """
    if len(numbers) < 5 * CELLS:
        raise ValueError(f"expected at least {5 * CELLS} numbers, found {len(numbers)}")
    counts = [0] * CELLS
    for number in numbers:
        counts[min(int(number * CELLS), CELLS - 1)] += 1
    expected = len(numbers) / CELLS
    return tail(sum((count - expected) ** 2 for count in counts) / expected, CELLS - 1)
