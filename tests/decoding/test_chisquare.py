"""The chi-square test against published values, and its error rate by simulation."""

from __future__ import annotations

import random

import pytest

from pytest_trtcheck._suites.support.chisquare import CELLS, tail, uniformity


@pytest.mark.parametrize(
    ("statistic", "freedom", "expected"),
    [
        # NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.4: upper critical values.
        (26.296, 16, 0.05),
        (32.000, 16, 0.01),
        (39.252, 16, 0.001),
        (5.991, 2, 0.05),
        (18.307, 10, 0.05),
        (0.0, 16, 1.0),
    ],
)
def test_the_tail_is_as_published(statistic: float, freedom: int, expected: float) -> None:
    assert tail(statistic, freedom) == pytest.approx(expected, rel=2e-3)


def test_odd_degrees_of_freedom_are_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        tail(1.0, 3)


def test_uniform_numbers_are_doubted_as_often_as_the_p_value_says() -> None:
    rng = random.Random(7)
    values = [uniformity([rng.random() for _ in range(300)]) for _ in range(4000)]
    assert sum(value < 0.1 for value in values) / len(values) == pytest.approx(0.1, abs=0.02)
    assert sum(value < 0.01 for value in values) / len(values) == pytest.approx(0.01, abs=0.006)


def test_numbers_that_are_not_uniform_are_seen() -> None:
    rng = random.Random(7)
    assert uniformity([rng.random() ** 1.3 for _ in range(1000)]) < 1e-6
    assert uniformity([0.999999] * (5 * CELLS)) < 1e-30


def test_too_few_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=f"at least {5 * CELLS}"):
        uniformity([0.5] * 10)
