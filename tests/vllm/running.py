"""``pytest --trtcheck`` on chosen checks, and what became of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

IMPORT = "TRC-IMP-001-"
"""Begins the name of a check of the suite ``stack``, without one of which no run is accepted."""
_ID = len("TRC-XXX-000-")


@dataclass(frozen=True)
class Ran:
    """How a run ended."""

    verdict: str
    status: int
    results: dict[str, dict[str, Any]]
    """What was planned and selected, by name."""

    def outcomes(self) -> dict[str, str]:
        """Return each check's outcome, with what was said of those that did not pass."""
        return {name: f"{result['outcome']} {result['message']}".strip() for name, result in self.results.items()}


def run(pytester: pytest.Pytester, level: str, names: Sequence[str], *options: str) -> Ran:
    """Run the checks of these names."""
    items = [name if name.startswith(IMPORT) else name[_ID:] for name in names]
    chosen = " or ".join(f"[{item}]" for item in items)
    done = pytester.runpytest_subprocess("--trtcheck", f"--trtcheck-level={level}", "-k", chosen, *options)
    report = json.loads((pytester.path / "trtcheck-report" / "report.json").read_text(encoding="utf-8"))
    results = {result["name"]: result for result in report["results"] if result["reason"] != "filtered"}
    return Ran(report["verdict"], int(done.ret), results)


def passed(names: Sequence[str]) -> dict[str, str]:
    """Return the outcomes of a run in which each check ran and passed."""
    return dict.fromkeys(names, "passed")
