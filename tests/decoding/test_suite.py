"""``pytest --trtcheck`` with the decoding suite, as a user runs it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.torch

BACKENDS = """
from pytest_trtcheck._suites.decoding.broken.ending import StopWordKept
from pytest_trtcheck._suites.decoding.broken.drawing import SeedIgnored
from pytest_trtcheck.providers.llm import lacking

class GreedyOnly(StopWordKept):
    name = "greedy_only"
    def why_not(self, case, where):
        return lacking(case, frozenset({"fp32", "stop_words"}))

def pytest_trtcheck_llm_backends(config):
    return [GreedyOnly(), SeedIgnored()]
"""


def run(pytester: pytest.Pytester, *args: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    os.environ["OMP_NUM_THREADS"] = "1"
    result = pytester.runpytest_subprocess("--trtcheck", "-p", "no:cacheprovider", "-p", "no:randomly", *args)
    report: dict[str, Any] = json.loads(Path(pytester.path, "trtcheck-report", "report.json").read_text())
    return result, report


def test_each_backend_is_held_to_what_it_says_it_can(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(BACKENDS)
    chosen = "decoding and (stop_words or seeds or json_schema)"
    _, report = run(pytester, "-k", chosen, "--trtcheck-seed", "7")
    found = {entry["name"]: entry for entry in report["results"] if entry["suite"] == "decoding"}
    ours = {"torch", "greedy_only", "seed_ignored"}
    ran = {
        name: entry["outcome"]
        for name, entry in found.items()
        if entry["reason"] != "filtered" and entry["provider"] in ours
    }
    assert ran == {
        "TRC-DEC-001-torch-stop_words": "passed",
        "TRC-DEC-002-torch-seeds": "passed",
        "TRC-DEC-005-torch-json_schema": "passed",
        "TRC-DEC-001-greedy_only-stop_words": "failed",
        "TRC-DEC-001-seed_ignored-stop_words": "passed",
        "TRC-DEC-002-seed_ignored-seeds": "failed",
        "TRC-DEC-005-seed_ignored-json_schema": "passed",
    }
    stopped = found["TRC-DEC-001-greedy_only-stop_words"]
    assert "expected to stop before" in stopped["message"]
    assert "--trtcheck-seed 7" in stopped["text"]
    assert {"tokens", "wrong_tokens", "near_ties"} <= {figure["name"] for figure in stopped["measurements"]}
    told = {(cell["provider"], cell["feature"]): cell["state"] for cell in report["support"]}
    assert told["greedy_only", "stop_words"] == "fails"
    assert told["greedy_only", "json_schema"] == "not supported here"
    assert told["torch", "stop_words"] == "works"
