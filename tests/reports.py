"""Reports made by hand, for tests that merge and compare them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_trtcheck.model.facts import Stack
from pytest_trtcheck.model.report import MatrixIdentity, Outcome, Reason, Result, RunReport, RunVerdict
from pytest_trtcheck.report.json_report import to_json
from tests.stacks import stack

STARTED = "2026-11-20T10:00:00+00:00"
OUTCOMES: Mapping[str, tuple[Outcome, Reason | None]] = {
    **{outcome.value: (outcome, None) for outcome in Outcome if outcome is not Outcome.NOT_RUN},
    **{reason.value: (Outcome.NOT_RUN, reason) for reason in Reason},
}


def result(name: str, ended: str, **fields: Any) -> Result:
    """Return a check that ended so: an outcome, or the reason why it did not run."""
    outcome, reason = OUTCOMES[ended]
    given = {"message": f"{name} {ended}" if ended != "passed" else "", "started": STARTED, **fields}
    return Result(f"TRC-ATT-001-{name}", "TRC-ATT-001", "stack", f"n::{name}", outcome, reason, **given)


def report(
    given: Stack | None = None, *, started: str = STARTED, ended: Mapping[str, str] = {}, **fields: Any
) -> RunReport:
    """Return the report of a run on a stack, with a check for each name in ``ended``."""
    results = fields.pop("results", tuple(result(name, how) for name, how in ended.items()))
    is_bad = any(one.is_broken for one in results)
    verdict = fields.pop("verdict", RunVerdict.REJECTED if is_bad else RunVerdict.ACCEPTED)
    values = {
        "tool_version": "0.1.0", "seconds": 2.5, "profile": "auto", "level": "quick", "fail_on": "error",
        "matrix": MatrixIdentity("2026-11-18", "0a1b2c3d4e5f", 412), "table": (), "findings": (),
        "verdict_reasons": (f"{verdict.value} for a reason",), "not_looked_at": (), "redacted": True,
        "exit_status": {"accepted": 0, "rejected": 1, "inconclusive": 10}[verdict.value], **fields,
    }  # fmt: skip
    return RunReport(
        started=started,
        stack=given or stack(torch="2.13.0", python="3.12.3"),
        results=results,
        verdict=verdict,
        **values,
    )


def write(folder: Path, name: str, given: RunReport) -> Path:
    """Write a report into a folder of its own; return the file."""
    path = folder / name / "report.json"
    path.parent.mkdir(parents=True)
    path.write_text(to_json(given), encoding="utf-8")
    return path
