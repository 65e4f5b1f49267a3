"""From pytest's reports to results: every planned check ends in exactly one."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_trtcheck.model.codec import decode
from pytest_trtcheck.model.report import Comparison, Measurement, Outcome, Reason, Result
from pytest_trtcheck.session.collect import suite_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NOT_RUN_REASON: pytest.StashKey[Reason] = pytest.StashKey()
"""Set on an item by a check that knows why it does not run."""

MESSAGE: pytest.StashKey[str] = pytest.StashKey()
"""Set on an item by a check: why it failed, or what it noted though it passed, in one line."""

COMPARISON: pytest.StashKey[Comparison] = pytest.StashKey()
"""Set on an item by a check that held an answer against a reference."""

MEASURED: pytest.StashKey[tuple[Measurement, ...]] = pytest.StashKey()
"""Set on an item by a check that measured something."""

OWN_TESTS = "tests"
"""Suite name of what the user collected beside the bundled suites."""


def leave_out(item: pytest.Item, reason: Reason, message: str) -> NoReturn:
    """Do the same to an item that is about to run."""
    item.stash[NOT_RUN_REASON] = reason
    pytest.skip(message)


def not_run(request: pytest.FixtureRequest, reason: Reason, message: str) -> NoReturn:
    """End a check as not run, with the reason that every report shows."""
    leave_out(request.node, reason, message)


def fail(request: pytest.FixtureRequest, message: str, text: str) -> NoReturn:
    """End a check as failed: one line for reports, a longer text for the terminal, no traceback."""
    request.node.stash[MESSAGE] = message
    pytest.fail(text, pytrace=False)


def noted(request: pytest.FixtureRequest, message: str) -> None:
    """Note, in one line, what a reader should know of a check that passes."""
    request.node.stash[MESSAGE] = message


def compared(request: pytest.FixtureRequest, comparison: Comparison) -> None:
    """Note how near an answer came to its reference; every report shows it, passed or failed."""
    request.node.stash[COMPARISON] = comparison


def measured(request: pytest.FixtureRequest, *measurements: Measurement) -> None:
    """Note figures, after those noted before; every report shows them, whatever becomes of the check."""
    stash = request.node.stash
    stash[MEASURED] = (*stash.get(MEASURED, ()), *measurements)


@dataclass(frozen=True)
class Planned:
    """A check that this run means to execute."""

    nodeid: str
    name: str
    check_id: str
    suite: str
    provider: str = ""
    features: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    """Components that must import, or the check does not run."""


def planned_of(item: pytest.Item) -> Planned:
    """Return the plan's entry for an item."""
    suite = suite_of(item)
    marker = item.get_closest_marker("trtcheck_check")
    check_id = str(marker.args[0]) if marker and marker.args else ""
    if suite is None:
        return Planned(item.nodeid, item.nodeid, check_id, OWN_TESTS)
    callspec = getattr(item, "callspec", None)
    name = callspec.id if callspec else item.name.removeprefix("test_")
    provider = item.get_closest_marker("trtcheck_provider")
    needs = item.get_closest_marker("trtcheck_needs")
    return Planned(
        item.nodeid,
        name if name.startswith(check_id) else f"{check_id}-{name}",
        check_id,
        suite,
        provider=str(provider.args[0]) if provider else "",
        features=tuple(map(str, provider.args[1:])) if provider else (),
        needs=tuple(map(str, needs.args)) if needs else (),
    )


class Results:
    """Collects reports by node id, in the process that writes the run's report."""

    def __init__(self) -> None:
        self.planned: dict[str, Planned] = {}
        self._results: dict[str, Result] = {}
        self.deselected: set[str] = set()
        self._begun: dict[str, str] = {}

    def plan(self, planned: Iterable[Planned]) -> None:
        """Add checks to the plan."""
        self.planned.update({entry.nodeid: entry for entry in planned})

    def begin(self, nodeid: str, time: str) -> None:
        """Note that a check has begun, ISO time with zone."""
        self._begun[nodeid] = time

    def add(self, report: pytest.TestReport) -> Result | None:
        """Take a report of one phase and return the result if this phase decided it.

        A failing phase is never overwritten by a later one that went well.
        """
        planned = self.planned.get(report.nodeid) or Planned(report.nodeid, report.nodeid, "", OWN_TESTS)
        note: dict[str, Any] = json.loads(getattr(report, "trtcheck", "{}"))
        before = self._results.get(report.nodeid)
        result = _result(planned, report, note)
        if result is not None and not result.started:
            result = self._timed(result)
        if result is None or (before and before.outcome in {Outcome.FAILED, Outcome.ERROR}):
            if before is None or not note.get("memory"):
                return None
            # Memory is measured after teardown, when the outcome has been decided.
            result = replace(before, **note["memory"])
        self._results[report.nodeid] = result
        return result

    def _timed(self, result: Result) -> Result:
        """Return the result of a check whose worker died, which nobody else could time, with beginning and length."""
        begun = self._begun.get(result.nodeid, "")
        if not begun:
            return result
        length = datetime.now(timezone.utc) - datetime.fromisoformat(begun)
        return replace(result, started=begun, seconds=round(max(length.total_seconds(), 0.0), 6))

    def restore(self, result: Result) -> None:
        """Take a result that was journalled."""
        self._results[result.nodeid] = result

    def all(self, why_stopped: str = "") -> tuple[Result, ...]:
        """Return one result for every check that was planned or ran, in the order of the plan."""
        nodeids = dict.fromkeys((*self.planned, *self._results))
        return tuple(self._results.get(nodeid) or self._without_result(nodeid, why_stopped) for nodeid in nodeids)

    def _without_result(self, nodeid: str, why_stopped: str) -> Result:
        planned = self.planned[nodeid]
        outcome: Outcome = Outcome.NOT_RUN
        reason: Reason | None = Reason.STOPPED
        message = why_stopped or "the run ended before its turn"
        if nodeid in self.deselected:
            reason, message = Reason.FILTERED, "left out by the selection"
        elif nodeid in self._begun:
            outcome, reason, message = Outcome.ERROR, None, "run killed: the run ended while this check was running"
        return Result(
            name=planned.name,
            check_id=planned.check_id,
            suite=planned.suite,
            nodeid=nodeid,
            outcome=outcome,
            reason=reason,
            message=message,
            started=self._begun.get(nodeid, ""),
            provider=planned.provider,
            features=planned.features,
        )


def _result(planned: Planned, report: pytest.TestReport, note: Mapping[str, Any]) -> Result | None:
    outcome = Outcome(note["outcome"]) if "outcome" in note else _outcome(report)
    if outcome is Outcome.NOT_RUN and planned.suite != OWN_TESTS and hasattr(report, "wasxfail"):
        # An expected failure is the site's business in its own tests; a bundled check that fails has failed.
        outcome = Outcome.FAILED
    if outcome is None:
        return None
    reason = Reason(note.get("reason") or Reason.SKIPPED.value) if outcome is Outcome.NOT_RUN else None
    # A report that xdist makes for a dead worker has no times.
    start = getattr(report, "start", None)
    return Result(
        name=planned.name,
        check_id=planned.check_id,
        suite=planned.suite,
        nodeid=planned.nodeid,
        outcome=outcome,
        reason=reason,
        message=note.get("message") or _message(report),
        text=_text(report) if outcome in {Outcome.FAILED, Outcome.ERROR} else "",
        seconds=round(getattr(report, "duration", 0.0), 6),
        started=datetime.fromtimestamp(start, tz=timezone.utc).isoformat() if start else "",
        worker=getattr(report, "worker_id", ""),
        provider=planned.provider,
        features=planned.features,
        comparison=decode(Comparison, note["comparison"]) if note.get("comparison") else None,
        measurements=tuple(decode(Measurement, figure) for figure in note.get("measurements", ())),
    )


def _text(report: pytest.TestReport) -> str:
    captured = [f"{title}\n{text}" for title, text in report.sections]
    return "\n\n".join([report.longreprtext, *captured])


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
    if report.passed:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message) if crash else report.longreprtext
    # xdist puts the worker's name before the text.
    lines = [line for line in text.strip().splitlines() if line.strip() and not line.startswith("[gw")]
    return lines[0].strip().removeprefix("Failed: ") if lines else ""
