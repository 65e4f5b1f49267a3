"""What every rank puts in, and what the sum over all ranks must be. Plain Python: no rank needs a library for it."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

LENGTH = 1025
"""Elements of a message: no multiple of anything, so that a rest is left over however it is split."""
INTEGERS = "int64"
SIGNIFICAND_BITS = {"fp64": 53, "fp32": 24, "fp16": 11, "bf16": 8}
"""Precision of each dtype: IEEE 754-2019 binary64, binary32, binary16, and bfloat16."""


def contribution(seed: int, rank: int, dtype: str) -> list[int] | list[float]:
    """Return what a rank puts in; floating-point numbers are exactly representable in ``dtype`` and below 2."""
    draw = random.Random(f"{seed}-{rank}-{dtype}")  # noqa: S311 - numbers to add up, no secret
    if dtype == INTEGERS:
        return [draw.randrange(-(2**40), 2**40) for _ in range(LENGTH)]
    bits = SIGNIFICAND_BITS[dtype]
    return [rounded(draw.uniform(-2, 2), bits) for _ in range(LENGTH)]


def rounded(value: float, bits: int) -> float:
    """Return the nearest number with so many significant bits, ties to even; the exponent has no limits."""
    fraction, exponent = math.frexp(value)
    return math.ldexp(round(math.ldexp(fraction, bits)), exponent - bits)


@dataclass(frozen=True)
class Sum:
    """What a sum over ranks must be."""

    exact: list[int] | list[float]
    """Correctly rounded to the dtype."""
    allowed: list[float]
    """By element: how far off it may be."""

    @classmethod
    def of(cls, seed: int, size: int, dtype: str) -> Sum:
        """Return the sum over ``size`` ranks.

        Integers, and two numbers of any dtype, have one right sum: one addition, rounded once. Of ``n`` numbers each
        of ``n - 1`` additions may round, in any order: the error is at most ``(n - 1) u`` times the sum of their
        magnitudes, to first order. Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., (4.4).
        """
        given = [contribution(seed, rank, dtype) for rank in range(size)]
        columns: Sequence[Sequence[float]] = list(zip(*given, strict=True))
        if dtype == INTEGERS:
            return cls([sum(column) for column in columns], [0.0] * LENGTH)
        bits = SIGNIFICAND_BITS[dtype]
        exact = [rounded(math.fsum(column), bits) for column in columns]
        roundings = 0 if size <= 2 else size - 1
        return cls(exact, [roundings * 2.0**-bits * sum(map(abs, column)) for column in columns])
