"""From pytest's reports to results: every planned check ends in exactly one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_trtcheck.model.report import Outcome, Reason, Result
from pytest_trtcheck.session.collect import suite_of

if TYPE_CHECKING:
    from collections.abc import Iterable

NOT_RUN_REASON: pytest.StashKey[Reason] = pytest.StashKey()
"""Set on an item by a check that knows why it does not run."""

OWN_TESTS = "tests"
"""Suite name of what the user collected beside the bundled suites."""


def not_run(request: pytest.FixtureRequest, reason: Reason, message: str) -> NoReturn:
    """End a check as not run, with the reason that every report shows."""
    request.node.stash[NOT_RUN_REASON] = reason
    pytest.skip(message)


@dataclass(frozen=True)
class Planned:
    """A check that this run means to execute."""

    nodeid: str
    name: str
    check_id: str
    suite: str


def planned_of(item: pytest.Item) -> Planned:
    """Return the plan's entry for an item."""
    suite = suite_of(item)
    marker = item.get_closest_marker("trtcheck_check")
    check_id = str(marker.args[0]) if marker and marker.args else ""
    if suite is None:
        return Planned(item.nodeid, item.nodeid, check_id, OWN_TESTS)
    callspec = getattr(item, "callspec", None)
    name = callspec.id if callspec else item.name
    return Planned(item.nodeid, name if name.startswith(check_id) else f"{check_id}-{name}", check_id, suite)


class Results:
    """Collects reports by node id, in the process that writes the run's report."""

    def __init__(self) -> None:
        self.planned: dict[str, Planned] = {}
        self._results: dict[str, Result] = {}
        self.deselected: set[str] = set()

    def plan(self, planned: Iterable[Planned]) -> None:
        """Add checks to the plan."""
        self.planned.update({entry.nodeid: entry for entry in planned})

    def add(self, report: pytest.TestReport) -> None:
        """Take a report of one phase; a failing phase is never overwritten by a later one that went well."""
        planned = self.planned.get(report.nodeid) or Planned(report.nodeid, report.nodeid, "", OWN_TESTS)
        before = self._results.get(report.nodeid)
        result = _result(planned, report)
        if result is None or (before and before.outcome in {Outcome.FAILED, Outcome.ERROR}):
            return
        self._results[report.nodeid] = result

    def all(self) -> tuple[Result, ...]:
        """Return one result for every check that was planned or ran, in the order of the plan."""
        unplanned = [nodeid for nodeid in self._results if nodeid not in self.planned]
        return tuple(
            self._results.get(nodeid) or self._not_started(self.planned[nodeid])
            for nodeid in (*self.planned, *unplanned)
        )

    def _not_started(self, planned: Planned) -> Result:
        filtered = planned.nodeid in self.deselected
        return Result(
            name=planned.name,
            check_id=planned.check_id,
            suite=planned.suite,
            nodeid=planned.nodeid,
            outcome=Outcome.NOT_RUN,
            reason=Reason.FILTERED if filtered else Reason.STOPPED,
            message="left out by the selection" if filtered else "the run ended before its turn",
        )


def _result(planned: Planned, report: pytest.TestReport) -> Result | None:
    outcome = _outcome(report)
    if outcome is None:
        return None
    note: dict[str, Any] = json.loads(getattr(report, "trtcheck", "{}"))
    reason = Reason(note.get("reason") or Reason.SKIPPED.value) if outcome is Outcome.NOT_RUN else None
    return Result(
        name=planned.name,
        check_id=planned.check_id,
        suite=planned.suite,
        nodeid=planned.nodeid,
        outcome=outcome,
        reason=reason,
        message=_message(report),
        text=report.longreprtext if outcome in {Outcome.FAILED, Outcome.ERROR} else "",
        seconds=round(report.duration, 6),
        started=datetime.fromtimestamp(report.start, tz=timezone.utc).isoformat() if report.start else "",
        worker=getattr(report, "worker_id", ""),
    )


def _outcome(report: pytest.TestReport) -> Outcome | None:
    """Return the outcome that this phase decides, None when it decides nothing."""
    if report.skipped:
        return Outcome.NOT_RUN
    if report.failed:
        return Outcome.FAILED if report.when == "call" else Outcome.ERROR
    return Outcome.PASSED if report.when == "call" else None


def _message(report: pytest.TestReport) -> str:
    """Return the first line that says why."""
    if report.skipped and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message) if crash else report.longreprtext
    return text.strip().splitlines()[0].removeprefix("Failed: ") if text.strip() else ""
