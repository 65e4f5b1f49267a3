"""What ``pytest --trtcheck`` prints at the end: the stack, the findings, what was left out, the verdict, the files.

The lines are complete, colours included, and end in no line end; a heading above them is the caller's.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.difference import Effect
from pytest_trtcheck.model.report import RunVerdict
from pytest_trtcheck.report.columns import GAP, Column, fit, shorten
from pytest_trtcheck.report.sections import (
    EFFECT_TITLES,
    REASON_WORDS,
    STATE_WORDS,
    SUPPORT_SIGNS,
    broken_results,
    count_states,
    describe_change,
    describe_difference,
    describe_faults,
    describe_isolation,
    describe_matrix,
    describe_source,
    describe_waived,
    group_findings,
    measured_figures,
    not_run_by_reason,
    split_table,
    support_of_suites,
    waived_results,
)
from pytest_trtcheck.report.text import one_line, truncate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_trtcheck.model.difference import Difference
    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.model.report import RunReport, StackRow, SupportCell

MIN_WIDTH = 40
MAX_LISTED = 30
"""Entries of one list; the written reports hold more."""
MAX_NAME_WIDTH = 60
MAX_REMEDY_BYTES = 2048
MAX_REMEDY_LINES = 12

_CODES = {"red": 31, "green": 32, "yellow": 33, "bold": 1, "dim": 2}
_STATE_STYLE = {"compatible": "green", "incompatible": "red", "unknown": "yellow", "warning": "yellow"}
_VERDICT_STYLE = {RunVerdict.ACCEPTED: "green", RunVerdict.REJECTED: "red", RunVerdict.INCONCLUSIVE: "yellow"}
_COLUMNS = (
    Column("component", 12),
    Column("version", 14),
    Column("state", 12),
    Column("expected", 12),
    Column("where", 14, is_path=True),
)
_STATE = 2
_FIELD_INDENT = "      "


def render_terminal(
    report: RunReport, *, width: int, color: bool, verbosity: int = 0, files: Sequence[Path] = ()
) -> list[str]:
    """Return the lines to print; the last tells the files, the one before it the verdict.

    With verbosity below 0 there are only the incompatible findings and the verdict; above 0 also the compatible
    findings, the sources, and the absent components one by one.
    """
    printer = _Printer(max(width, MIN_WIDTH), color)
    groups = group_findings(report)
    if verbosity >= 0:
        _stack(printer, report.table, verbosity)
    _findings(printer, "incompatible", groups.incompatible, verbosity)
    if verbosity >= 0:
        _findings(printer, "unknown", groups.unknown, verbosity)
        _findings(printer, "warning", groups.warnings, verbosity)
        _compatible(printer, groups.compatible, verbosity)
        _checks(printer, report)
        _waived(printer, report)
        _support(printer, report)
        _measured(printer, report, verbosity)
        _difference(printer, report.difference)
        _list(printer, "not looked at", report.not_looked_at)
        _identity(printer, report)
    _verdict(printer, report, verbosity)
    if verbosity >= 0 and files:
        printer.line(f"reports: {one_line(_paths(files), 4096)}")
    return printer.lines


class _Printer:
    """Collects lines; knows the width and whether colours may be used."""

    def __init__(self, width: int, color: bool) -> None:
        self.width = width
        self.color = color
        self.lines: list[str] = []

    def styled(self, text: str, *styles: str) -> str:
        codes = ";".join(str(_CODES[style]) for style in styles if style)
        return f"\x1b[{codes}m{text}\x1b[0m" if self.color and codes and text else text

    def line(self, text: str = "", *styles: str) -> None:
        self.lines.append(self.styled(text, *styles))

    def heading(self, text: str, style: str = "") -> None:
        """Start a section with one empty line before it."""
        if self.lines:
            self.line()
        self.line(text, "bold", style)

    def wrapped(self, text: str, indent: str, label: str = "", *styles: str) -> None:
        """Add a text over as many lines as it needs; the label stands before the first, the others hang under it.

        Words are never broken: a path that is longer than a line can still be copied.
        """
        first = indent + label
        lines = textwrap.wrap(
            text,
            self.width,
            initial_indent=first,
            subsequent_indent=" " * (len(first) if len(first) < self.width // 2 else len(indent) + 2),
            break_on_hyphens=False,
            break_long_words=False,
        )
        if lines:
            self.lines.append(indent + self.styled(label, *styles) + lines[0][len(first) :])
            self.lines += lines[1:]


def _stack(printer: _Printer, table: Sequence[StackRow], verbosity: int) -> None:
    shown, absent = split_table(table)
    if verbosity > 0:
        shown, absent = list(table), []
    cells = [
        [one_line(text) for text in (title_of(row.component), row.version, row.state, row.expected, row.where)]
        for row in shown
    ]
    header, *lines = fit(_COLUMNS, cells, printer.width)
    printer.line(GAP.join(header).rstrip(), "bold")
    for row, line in zip(shown, lines, strict=True):
        line[_STATE] = printer.styled(line[_STATE], _STATE_STYLE.get(row.state, ""))
        printer.line(GAP.join(line).rstrip())
    printer.wrapped(one_line(", ".join(absent), 2000), "", "not found: ", "dim")


def _findings(printer: _Printer, title: str, findings: Sequence[Finding], verbosity: int) -> None:
    if not findings:
        return
    printer.heading(f"{title} ({len(findings)})", _STATE_STYLE[title])
    for finding in findings[:MAX_LISTED]:
        _finding(printer, finding, verbosity)
    _more(printer, findings)


def _finding(printer: _Printer, finding: Finding, verbosity: int) -> None:
    printer.wrapped(one_line(finding.title) or "without a title", "  ", f"{_name(finding.key)}  ", "bold")
    fields = {
        "found": finding.found,
        "expected": finding.expected,
        "at fault": describe_faults(finding),
        "detail": finding.detail,
        "source": describe_source(finding.source) if verbosity > 0 else "",
    }
    for name, value in fields.items():
        printer.wrapped(one_line(value), _FIELD_INDENT, f"{name:<10}", "dim")
    remedy = truncate(finding.remedy, MAX_REMEDY_BYTES, MAX_REMEDY_LINES).strip("\n").expandtabs(4)
    for number, line in enumerate(remedy.split("\n") if remedy else ()):
        printer.wrapped(line, _FIELD_INDENT, f"{'' if number else 'remedy':<10}", "dim")


def _name(text: str) -> str:
    return shorten(one_line(text), MAX_NAME_WIDTH)


def _more(printer: _Printer, entries: Sequence[object]) -> None:
    if len(entries) > MAX_LISTED:
        printer.line(f"  … and {len(entries) - MAX_LISTED} more in the written report")


def _compatible(printer: _Printer, findings: Sequence[Finding], verbosity: int) -> None:
    if not findings:
        return
    hint = "" if verbosity > 0 else ", listed with -v"
    printer.heading(f"compatible ({len(findings)}{hint})", "green")
    for finding in findings if verbosity > 0 else ():
        printer.wrapped(one_line(f"{finding.title}: {finding.found}"), "  ", f"{_name(finding.key)}  ")


def _checks(printer: _Printer, report: RunReport) -> None:
    printer.heading("checks")
    if not report.results:
        printer.line("  none was planned")
    for suite, counts in count_states(report.results).items():
        told = [f"{count} {STATE_WORDS[state]}" for state, count in counts.items() if count]
        printer.wrapped(", ".join(told), "  ", f"{_name(suite)}: ")
    not_run = [f"{REASON_WORDS[reason]} ({len(of)})" for reason, of in not_run_by_reason(report.results)]
    printer.wrapped(", ".join(not_run), "  ", "not run: ", "dim")
    broken = broken_results(report)
    for result in broken[:MAX_LISTED]:
        printer.wrapped(
            one_line(result.message) or "without a message",
            "  ",
            f"{result.outcome.value}: {_name(result.name)}  ",
            "red",
        )
    _more(printer, broken)


def _waived(printer: _Printer, report: RunReport) -> None:
    """Tell of the failures that somebody answers for."""
    waived = waived_results(report)
    if waived:
        printer.heading(f"waived ({len(waived)})", "yellow")
    for result in waived[:MAX_LISTED]:
        printer.wrapped(one_line(describe_waived(result), 1000), "  ", f"{_name(result.name)}  ", "bold")
    _more(printer, waived)


def _difference(printer: _Printer, difference: Difference | None) -> None:
    """Tell what changed since the baseline."""
    if difference is None:
        return
    printer.heading("since the baseline")
    printer.wrapped(one_line(describe_difference(difference)), "  ")
    printer.lines += difference_lines(difference, printer.width, color=printer.color)


def difference_lines(difference: Difference, width: int, *, color: bool) -> list[str]:
    """Return the lines that tell of each change, worst first, and of what keeps the comparison from being whole."""
    printer = _Printer(max(width, MIN_WIDTH), color)
    styles = {Effect.REGRESSION: "red", Effect.IMPROVEMENT: "green"}
    for effect, title in EFFECT_TITLES.items():
        members = [change for change in difference.changes if change.effect is effect]
        if members:
            printer.line(f"  {title.lower()} ({len(members)})", "bold", styles.get(effect, ""))
        for change in members[:MAX_LISTED]:
            label = f"{change.aspect.value} {_name(change.name)}: "
            printer.wrapped(one_line(describe_change(change)), "    ", label)
        _more(printer, members)
    for note in difference.notes[:MAX_LISTED]:
        printer.wrapped(one_line(note), "  ", "note: ", "dim")
    return printer.lines


def _support(printer: _Printer, report: RunReport) -> None:
    """Tell for each provider which features work, fail, are refused or out of reach."""
    for suite, providers in support_of_suites(report).items():
        printer.heading(f"{_name(suite)}, by provider")
        for provider in list(providers)[:MAX_LISTED]:
            printer.line(f"  {_name(provider)}", "bold")
            for state in SUPPORT_SIGNS:
                told = ", ".join(_feature(cell) for cell in providers[provider] if cell.state == state)
                style = {"works": "green", "fails": "red", "refused": "yellow"}.get(state, "dim")
                printer.wrapped(one_line(told, 2000), "    ", f"{state:<18}  ", style)
        _more(printer, list(providers))


def _measured(printer: _Printer, report: RunReport, verbosity: int) -> None:
    """Tell what checks measured: curves, and with verbosity above 0 single figures too."""
    figures = [figure for figure in measured_figures(report) if figure.axis or verbosity > 0]
    if figures:
        printer.heading("measured")
        for figure in figures[:MAX_LISTED]:
            words = f"{figure.check}  {figure.name} {figure.describe()}"
            printer.wrapped(one_line(words, 2000), "  ", "", "dim")
        _more(printer, figures)


def _feature(cell: SupportCell) -> str:
    """Return a feature, with numbers where not all of its cases passed."""
    total = cell.passed + cell.failed + cell.refused
    return cell.feature if cell.passed == total else f"{cell.feature} ({cell.passed} of {total})"


def _list(printer: _Printer, title: str, entries: Sequence[str]) -> None:
    if entries:
        printer.heading(title)
    for entry in entries[:MAX_LISTED]:
        printer.wrapped(one_line(entry), "  ", "- ")
    _more(printer, entries)


def _identity(printer: _Printer, report: RunReport) -> None:
    printer.line()
    run = f"profile {report.profile}, level {report.level}, fails on {report.fail_on}, {report.seconds:.1f} s"
    run += f", seed {report.seed}" if report.seed is not None else ""
    printer.wrapped(one_line(f"pytest-trtcheck {report.tool_version}, {run}"), "")
    if report.stack.kind == "image":
        printer.wrapped(one_line(report.stack.name), "", "image: ")
    printer.wrapped(one_line(describe_matrix(report.matrix)), "", "matrix: ")
    printer.wrapped(one_line(describe_isolation(report.isolation)), "", "checks ran: ")


def _verdict(printer: _Printer, report: RunReport, verbosity: int) -> None:
    """Add the verdict with its first reason on one line; the others stand above it."""
    reasons = [one_line(reason) for reason in report.verdict_reasons]
    head = f"verdict: {report.verdict.value.upper()}"
    line = shorten(": ".join([head, *reasons[:1]]), printer.width)
    if verbosity >= 0 and (len(reasons) > 1 or line.endswith("…")):
        _list(printer, "why", reasons)
    if printer.lines:
        printer.line()
    printer.line(line, "bold", _VERDICT_STYLE[report.verdict])


def _paths(files: Sequence[Path]) -> str:
    """Return the paths, the folder told once when they share it."""
    folders = {file.parent for file in files}
    if len(files) < 2 or len(folders) > 1:
        return ", ".join(str(file) for file in files)
    return f"{folders.pop()}/ ({', '.join(file.name for file in files)})"
