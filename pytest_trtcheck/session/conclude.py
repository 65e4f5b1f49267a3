"""The end of a run: results and findings become the report, the files, the exit status and what the terminal shows."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck import __version__
from pytest_trtcheck.model.codec import decode
from pytest_trtcheck.model.facts import ImportOutcome
from pytest_trtcheck.model.report import Outcome, Reason, RunReport, RunVerdict
from pytest_trtcheck.session.outcome import OWN_TESTS, Planned, Results, planned_of
from pytest_trtcheck.verdict.run import conclude, stack_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_trtcheck.model.report import Result
    from pytest_trtcheck.session.run import Run
    from pytest_trtcheck.session.settings import Settings

INCONCLUSIVE_STATUS = 10

# Statuses that say how the tests went; all others (interrupt, internal error, usage) are pytest's to report.
_ABOUT_TESTS = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED}


class Conclusion:
    """Active in the controller, or in the only process of a run without xdist."""

    def __init__(self, run: Run, settings: Settings) -> None:
        self.run = run
        self.settings = settings
        self.results = Results()
        self.started = datetime.now(timezone.utc)
        self._clock = time.monotonic()
        self.report: RunReport | None = None
        self.files: dict[str, Path] = {}
        self.write_error = ""

    def pytest_report_header(self) -> str:
        """Say what is judged by what."""
        matrix = self.run.matrix.identity
        overlays = f", {len(matrix.overlays)} overlay(s)" if matrix.overlays else ""
        return (
            f"trtcheck: {__version__}, profile {self.settings.profile.name}, level {self.settings.level.value}, "
            f"matrix {matrix.date} ({matrix.digest}{overlays})"
        )

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note the user's own tests; the bundled ones are noted when they are planned."""
        self.results.plan(entry for entry in map(planned_of, items) if entry.suite == OWN_TESTS)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Note what the selection left out."""
        self.results.deselected.update(item.nodeid for item in items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Note what workers selected: the rest of the plan was left out by the selection."""
        planned = self.run.planned
        self.results.deselected.update(planned.keys() - set(ids))
        self.results.plan(Planned(nodeid, nodeid, "", OWN_TESTS) for nodeid in ids if nodeid not in planned)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the result of one phase and the facts that came with it."""
        self.results.plan(self.run.planned.values())
        self.results.add(report)
        note: dict[str, Any] = json.loads(getattr(report, "trtcheck", "{}"))
        for component, outcome in note.get("imports", {}).items():
            self.run.imports[component] = decode(ImportOutcome, outcome)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Conclude before other reporters write, so that pytest's own JUnit file carries the stack's identity."""
        if session.config.option.collectonly:
            return
        self.report = self._conclude(exitstatus)
        session.exitstatus = self.report.exit_status
        _add_junit_properties(session.config, self.report)
        self._write(self.report)

    def _conclude(self, exitstatus: int) -> RunReport:
        self.results.plan(self.run.planned.values())
        results = self.results.all()
        evaluation = self.run.evaluate()
        executed = {result.name for result in results if _was_answered(result)}
        findings = tuple(finding for finding in evaluation.findings if finding.key in executed)
        interrupted = exitstatus not in _ABOUT_TESTS
        conclusion = conclude(self.run.stack, results, self.settings.profile, interrupted=interrupted)
        return RunReport(
            tool_version=__version__,
            started=self.started.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self._clock, 3),
            profile=self.settings.profile.name,
            level=self.settings.level.value,
            fail_on=self.settings.fail_on.value,
            matrix=self.run.matrix.identity,
            stack=replace(self.run.stack, imports=tuple(self.run.imports[key] for key in sorted(self.run.imports))),
            table=stack_table(self.run.stack, findings),
            findings=findings,
            results=results,
            verdict=conclusion.verdict,
            verdict_reasons=conclusion.reasons,
            not_looked_at=conclusion.not_looked_at,
            exit_status=exitstatus if interrupted else _status(conclusion.verdict),
        )

    def _write(self, report: RunReport) -> None:
        from pytest_trtcheck.report.write import WriteError, write_reports

        try:
            self.files = write_reports(report, self.settings.report_folder)
        except WriteError as error:
            # Told in the summary; a vanished folder must not take the verdict with it.
            self.files, self.write_error = error.written, str(error)
        self.run.config.hook.pytest_trtcheck_report_written(
            config=self.run.config,
            report=report,
            files={name: str(path) for name, path in self.files.items()},
        )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show stack, findings and verdict."""
        if self.report is None:
            return
        from pytest_trtcheck.report.terminal import render_terminal

        screen = terminalreporter._tw  # noqa: SLF001 - the only way to learn width and colour
        terminalreporter.section("trtcheck")
        for line in render_terminal(
            self.report,
            width=min(screen.fullwidth, 160),
            color=screen.hasmarkup,
            verbosity=terminalreporter.config.get_verbosity(),
            files=tuple(self.files.values()),
        ):
            terminalreporter.write_line(line)
        if self.write_error:
            terminalreporter.write_line(self.write_error, red=True, bold=True)


def _was_answered(result: Result) -> bool:
    return result.outcome is not Outcome.NOT_RUN or result.reason is Reason.UNDECIDED


def _status(verdict: RunVerdict) -> int:
    statuses = {RunVerdict.ACCEPTED: 0, RunVerdict.REJECTED: 1, RunVerdict.INCONCLUSIVE: INCONCLUSIVE_STATUS}
    return statuses[verdict]


def _add_junit_properties(config: pytest.Config, report: RunReport) -> None:
    """Add the stack's identity to pytest's own --junitxml.

    No public way exists: record_testsuite_property is lost under xdist. Should the private key move, the file is
    written as ever, without these properties.
    """
    try:
        from _pytest.junitxml import xml_key
    except ImportError:
        return
    xml = config.stash.get(xml_key, None)
    if xml is None:
        return
    from pytest_trtcheck.report.junit import suite_properties

    for name, value in suite_properties(report):
        xml.add_global_property(name, value)
