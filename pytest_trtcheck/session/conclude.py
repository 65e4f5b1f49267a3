"""The end of a run: results and findings become the report, the files, the exit status and what the terminal shows."""

from __future__ import annotations

import json
import signal
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_trtcheck import __version__
from pytest_trtcheck.model.codec import decode, encode
from pytest_trtcheck.model.facts import ImportOutcome
from pytest_trtcheck.model.report import Isolation, Outcome, Result
from pytest_trtcheck.report.identity import identity_of_here
from pytest_trtcheck.report.json_report import result_to_dict, stack_to_dict
from pytest_trtcheck.report.redact import Redactor
from pytest_trtcheck.report.write import remove_reports
from pytest_trtcheck.session.assemble import RunFacts, assemble
from pytest_trtcheck.session.collect import ROOT
from pytest_trtcheck.session.deliver import annotation_lines, deliver
from pytest_trtcheck.session.journal import Journal
from pytest_trtcheck.session.outcome import OWN_TESTS, Planned, Results, planned_of
from pytest_trtcheck.session.run import now
from pytest_trtcheck.verdict.run import ABOUT_TESTS
from pytest_trtcheck.verdict.waivers import in_force, waiver_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_trtcheck.model.report import RunReport, Waiver
    from pytest_trtcheck.session.controller import Controller
    from pytest_trtcheck.session.isolate import Arrangement
    from pytest_trtcheck.session.run import Run


class Conclusion:
    """Active in the controller, or in the only process of a run without workers."""

    def __init__(self, run: Run, arrangement: Arrangement, controller: Controller | None) -> None:
        self.run = run
        self.arrangement = arrangement
        self.controller = controller
        self.results = Results()
        self.report: RunReport | None = None
        self.files: dict[str, Path] = {}
        self.complaints: list[str] = []
        self.redactor = Redactor(identity_of_here()) if run.settings.redact else None
        self._journal: Journal | None = None
        if not run.config.option.collectonly:
            mask = self.redactor.value if self.redactor else lambda value: value
            self._journal = Journal(run.settings.report_folder, self._complain, mask)
            remove_reports(run.settings.report_folder)
        self._journalled_plan = False
        self._old_handler: Any = None

    def pytest_report_header(self) -> str:
        """Say what is judged by what."""
        matrix, settings = self.run.matrix.identity, self.run.settings
        overlays = f", {len(matrix.overlays)} overlay(s)" if matrix.overlays else ""
        workers = f", workers: {' '.join(place.name for place in self.arrangement.places)}"
        return (
            f"trtcheck: {__version__}, profile {settings.profile.name}, level {settings.level.value}, "
            f"matrix {matrix.date} ({matrix.digest}{overlays}){workers if self.arrangement.places else ''}"
        )

    # The beginning.

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Open the journal, and turn SIGTERM into an orderly end."""
        if self._journal is None:
            return
        settings = self.run.settings
        self._journal.write(
            "run",
            tool_version=__version__,
            started=self.run.started,
            level=settings.level.value,
            profile=encode(settings.profile),
            fail_on=settings.fail_on.value,
            overlays=[str(folder) for folder in settings.overlays],
            locations=encode(settings.locations),
            waivers=encode(settings.waivers),
            baseline=settings.baseline.name if settings.baseline else "",
            stack=stack_to_dict(self.run.stack),
            isolation=encode(self._isolation()),
        )
        if threading.current_thread() is threading.main_thread():
            self._old_handler = signal.signal(signal.SIGTERM, _end_orderly)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note the user's own tests; the bundled ones are noted when they are planned."""
        self.results.plan(entry for entry in map(planned_of, items) if entry.suite == OWN_TESTS)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Note what the selection left out."""
        self.results.deselected.update(item.nodeid for item in items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Note what workers selected, and what their selection left out."""
        planned = self.run.planned
        if self.controller is not None:
            self.results.deselected.update(self.controller.deselected)
        self.results.plan(Planned(nodeid, nodeid, "", OWN_TESTS) for nodeid in ids if nodeid not in planned)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Make a result of a file that cannot be collected: nobody knows which checks were in it."""
        if report.skipped and report.nodeid.startswith(f"{ROOT}/"):
            words = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else report.longreprtext
            self.lost_file(report.nodeid, f"a bundled suite was skipped as a whole: {words}", report.longreprtext)
        if report.failed:
            lines = [line for line in report.longreprtext.strip().splitlines() if line.strip()]
            self.lost_file(report.nodeid or "collection", lines[-1] if lines else "", report.longreprtext)

    def lost_file(self, nodeid: str, message: str, text: str) -> None:
        """Note what could not even be collected."""
        result = Result(
            nodeid, "", OWN_TESTS, nodeid, Outcome.ERROR, message=message.removeprefix("E   ").strip(), text=text
        )
        self.results.restore(result)
        if self._journal:
            self._journal.write("result", result=result_to_dict(result), imports={})

    # The course.

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Journal the beginning of a check."""
        self._note_plan()
        time = now()
        self.results.begin(nodeid, time)
        if self._journal:
            self._journal.write("start", nodeid=nodeid, time=time)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the result of one phase and the facts that came with it."""
        self._note_plan()
        result = self.results.add(report)
        note: dict[str, Any] = json.loads(getattr(report, "trtcheck", "{}"))
        imports = note.get("imports", {})
        self.run.imports.update({key: decode(ImportOutcome, outcome) for key, outcome in imports.items()})
        if self._journal and (result or imports):
            self._journal.write("result", result=result_to_dict(result) if result else None, imports=imports)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Let the terminal show a failure that is waived as what it is."""
        planned = self.results.planned.get(report.nodeid)
        if not report.failed or planned is None:
            return None
        waiver = waiver_of(self._waivers, planned.name, planned.check_id, planned.provider)
        return ("waived", "w", "WAIVED") if waiver else None

    @cached_property
    def _waivers(self) -> tuple[Waiver, ...]:
        return in_force(self.run.settings.waivers, self.run.stack, self.run.started)

    def _note_plan(self) -> None:
        if self._journalled_plan:
            return
        self._journalled_plan = True
        self.results.plan(self.run.planned.values())
        if self._journal:
            self._journal.write(
                "plan",
                planned=encode(self.results.planned),
                deselected=sorted(self.results.deselected),
                seed=self.run.seed,
                unsupported=encode(self.run.unsupported),
                left_out=self.run.left_out,
            )

    def _complain(self, words: str) -> None:
        """Tell at once what went wrong with the files, and again at the end."""
        self.complaints.append(words)
        terminal = self.run.config.pluginmanager.getplugin("terminalreporter")
        if terminal is not None:
            terminal.write_line(f"\ntrtcheck: {words}", red=True)

    # The end.

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Conclude before other reporters write, so that pytest's own JUnit file carries the stack's identity."""
        if session.config.option.collectonly:
            return
        if self.controller is not None:
            exitstatus = self.controller.status_of(exitstatus)
            if exitstatus not in ABOUT_TESTS:
                self.controller.kill_workers()
        report = self._conclude(exitstatus)
        self.report = self.redactor.report(report) if self.redactor else report
        session.exitstatus = self.report.exit_status
        _add_junit_properties(session.config, self.report)
        self._write(self.report)

    def _conclude(self, exitstatus: int) -> RunReport:
        run = self.run
        self._note_plan()
        restarts_spent = self.controller is not None and self.controller.restarts_spent
        return assemble(
            RunFacts(
                run.started,
                run.settings.level,
                run.settings.profile,
                run.settings.fail_on,
                run.stack,
                seed=run.seed,
                unsupported=tuple(run.unsupported),
                left_out=tuple(run.left_out),
                locations=run.settings.locations,
                waivers=run.settings.waivers,
                baseline=run.settings.baseline,
            ),
            run.matrix,
            run.catalogue,
            results=self.results.all("workers died more often than is allowed" if restarts_spent else ""),
            imports=run.imports,
            isolation=self._isolation(),
            seconds=time.monotonic() - run.clock,
            exit_status=int(exitstatus),
        )

    def _isolation(self) -> Isolation:
        if self.controller is not None:
            return self.controller.isolation
        return Isolation(mode=self.arrangement.mode, notes=self.arrangement.notes)

    def _write(self, report: RunReport) -> None:
        from pytest_trtcheck.report.write import WriteError, write_reports

        try:
            self.files = write_reports(report, self.run.settings.report_folder, self.run.settings.formats)
        except WriteError as error:
            # Told in the summary; a vanished folder must not take the verdict with it.
            self.files = error.written
            self.complaints.append(str(error))
        if self.run.settings.image is not None:
            from pytest_trtcheck.session.image import freeze

            self.complaints += freeze(self.run, report)
        if self._journal:
            self._journal.write("end", exit_status=report.exit_status, seconds=report.seconds)
            self._journal.close()
        self.complaints += deliver(report)
        files = {name: str(path) for name, path in self.files.items()}
        try:
            self.run.config.hook.pytest_trtcheck_report_written(config=self.run.config, report=report, files=files)
        except Exception as error:  # noqa: BLE001 - a site's hook must not take the verdict with it
            self.complaints.append(f"pytest_trtcheck_report_written: {type(error).__name__}: {error}")

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
        for words in self.complaints:
            terminalreporter.write_line(words, red=True, bold=True)
        for command in annotation_lines(self.report):
            terminalreporter.write_line(command)

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind."""
        if self._old_handler is not None:
            signal.signal(signal.SIGTERM, self._old_handler)
        if self._journal:
            self._journal.close()
        if self.controller is not None:
            self.controller.close()


def _end_orderly(number: int, frame: object) -> NoReturn:  # noqa: ARG001
    signal.signal(number, signal.SIG_IGN)
    pytest.exit(f"ended by {signal.Signals(number).name}", returncode=int(pytest.ExitCode.INTERRUPTED))


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
