"""Figures that checks measure: from the check to every report."""

from __future__ import annotations

import json

import pytest

from pytest_trtcheck.model.report import Measurement
from pytest_trtcheck.report.sections import Measured
from pytest_trtcheck.session.outcome import MEASURED, Planned, Results, measured


def test_figures_of_one_name_are_told_as_a_curve() -> None:
    curve = Measured("TRC-LLM-001-x", "throughput", "tokens/s", "batch size", ((1, 310.0), (4, 1043.75)))
    assert curve.describe() == "1: 310, 4: 1044 tokens/s, by batch size"
    assert Measured("TRC-LLM-001-x", "near_ties", "tokens", "", ((None, 2.0),)).describe() == "2 tokens"


def test_a_check_may_measure_more_than_once(request: pytest.FixtureRequest) -> None:
    first, second = Measurement("a", 1.0, "s"), Measurement("b", 2.0, "s")
    measured(request, first)
    measured(request, second)
    assert request.node.stash[MEASURED] == (first, second)


def test_figures_travel_with_the_result_of_a_failed_check_too() -> None:
    results = Results()
    results.plan([Planned("suite::x", "TRC-LLM-001-x", "TRC-LLM-001", "batching")])
    report = pytest.TestReport("suite::x", ("", 0, ""), {}, "failed", "words", "call", duration=0.5)
    report.trtcheck = json.dumps({"measurements": [{"name": "wrong", "value": 3, "unit": "tokens"}]})  # type: ignore[attr-defined]
    result = results.add(report)
    assert result is not None
    assert result.measurements == (Measurement("wrong", 3, "tokens"),)
