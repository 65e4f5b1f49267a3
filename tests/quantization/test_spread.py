"""Spread over sound variants: two effects that add up are told apart."""

from __future__ import annotations

import math

import pytest

from training.spread import FamilyLogs, spread


def family(ways: list[float], calibrations: list[float]) -> FamilyLogs:
    logs = FamilyLogs()
    for value in ways:
        logs.add(math.exp(value), recalibrated=False)
    for value in calibrations:
        logs.add(math.exp(value), recalibrated=True)
    return logs


def test_a_family_lies_at_the_mean_of_its_ways_on_the_mean_calibration() -> None:
    # The calibration that all ways have is 2 below the mean one.
    one = family([1.0, 1.2, 1.4], [3.0, 5.0])
    assert one.center == pytest.approx(1.2 + 2.0)
    assert family([1.0, 1.2], []).center == pytest.approx(1.1)


def test_deviations_between_ways_and_between_calibrations_are_told_apart() -> None:
    found = spread([family([1.0, 1.2], [2.0, 3.0]), family([5.0, 5.4], [])])
    assert found["low"] == pytest.approx(1.1 + 1.0)
    assert found["high"] == pytest.approx(5.2)
    assert found["sd"] == pytest.approx(math.sqrt((0.02 + 0.08) / 2))
    assert found["calibration_sd"] == pytest.approx(1.0)


def test_one_value_of_each_has_no_spread() -> None:
    assert spread([family([1.0], [])]) == pytest.approx({"low": 1.0, "high": 1.0, "sd": 0.0, "calibration_sd": 0.0})
