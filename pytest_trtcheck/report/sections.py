"""How a report is arranged for people: the same groups, in the same words and order, in every format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.difference import Effect
from pytest_trtcheck.model.finding import Severity, Verdict
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.report.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_trtcheck.model.difference import Change, Difference
    from pytest_trtcheck.model.finding import Finding, Source
    from pytest_trtcheck.model.report import Isolation, MatrixIdentity, Result, RunReport, StackRow, SupportCell

REASON_WORDS = {
    Reason.MISSING_COMPONENT: "a component is missing",
    Reason.NO_GPU: "no GPU",
    Reason.TOO_LITTLE_MEMORY: "too little memory",
    Reason.FILTERED: "filtered out",
    Reason.STOPPED: "the run ended before its turn",
    Reason.WAIVED: "waived",
    Reason.TIME_BUDGET: "beyond the time budget",
    Reason.LEVEL: "left out by the level",
    Reason.NOT_APPLICABLE: "does not apply to this stack",
    Reason.REFUSED: "refused by the library",
    Reason.UNDECIDED: "facts or matrix cannot tell",
    Reason.SKIPPED: "skipped",
}

STATE_WORDS = {"passed": "passed", "failed": "failed", "error": "error", "waived": "waived", "not_run": "not run"}
"""What became of a check, in the order of the columns."""


@dataclass(frozen=True)
class FindingGroups:
    """Findings by what a reader has to do about them, each in the order of the report; what is waived is in none."""

    incompatible: tuple[Finding, ...]
    unknown: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    """Compatible, on a condition or with a reservation."""
    compatible: tuple[Finding, ...]


def group_findings(report: RunReport) -> FindingGroups:
    """Return the findings in their groups; each is in one, unless the check that stands for it is waived."""
    groups: dict[str, list[Finding]] = {"incompatible": [], "unknown": [], "warnings": [], "compatible": []}
    waived = {result.name for result in waived_results(report)}
    for finding in report.findings:
        if finding.key in waived:
            continue
        is_warning = finding.verdict is Verdict.COMPATIBLE and finding.severity is Severity.WARNING
        groups["warnings" if is_warning else finding.verdict.value].append(finding)
    return FindingGroups(**{name: tuple(members) for name, members in groups.items()})


def split_table(table: Sequence[StackRow]) -> tuple[list[StackRow], list[str]]:
    """Return the rows worth a line, and the titles of what is absent and missed by nothing."""
    shown = [row for row in table if not _is_merely_absent(row)]
    return shown, [title_of(row.component) for row in table if _is_merely_absent(row)]


def _is_merely_absent(row: StackRow) -> bool:
    return row.version == "absent" and row.state in ("", "compatible")


def count_states(results: Iterable[Result]) -> dict[str, dict[str, int]]:
    """Return how many checks of each suite are in each state, suites in the order of the report.

    Where nothing is waived, that state is left out.
    """
    results = list(results)
    states = [state for state in STATE_WORDS if state != "waived" or any(result.waiver for result in results)]
    counts: dict[str, dict[str, int]] = {}
    for result in results:
        of_suite = counts.setdefault(result.suite, dict.fromkeys(states, 0))
        of_suite[result.state] += 1
    return counts


def not_run_by_reason(results: Iterable[Result]) -> list[tuple[Reason, list[Result]]]:
    """Return what did not run, by reason, in the order in which the model lists the reasons."""
    by_reason: dict[Reason, list[Result]] = {}
    for result in results:
        if result.reason is not None:
            by_reason.setdefault(result.reason, []).append(result)
    return [(reason, by_reason[reason]) for reason in Reason if reason in by_reason]


def broken_results(report: RunReport) -> list[Result]:
    """Return the failed and the broken checks that no finding tells of already."""
    told = {finding.key for finding in report.findings}
    return [result for result in report.results if result.is_broken and result.name not in told]


def waived_results(report: RunReport) -> list[Result]:
    """Return the failures that somebody answers for."""
    return [result for result in report.results if result.waiver is not None]


def describe_waived(result: Result) -> str:
    """Return how a waived check ended, and who answers for that, on one line."""
    waiver = result.waiver
    words = f"{result.outcome.value}{f': {result.message}' if result.message else ''}"
    return f"{words}; waived: {waiver.describe()}" if waiver else words


EFFECT_TITLES = {
    Effect.REGRESSION: "Regressions",
    Effect.IMPROVEMENT: "Improvements",
    Effect.CHANGE: "Other changes",
}
"""In the order in which they are told."""


def describe_change(change: Change) -> str:
    """Return before and after of a change on one line, without its name."""
    words = f" ({change.words})" if change.words else ""
    return f"{change.before or 'nothing'} → {change.after or 'nothing'}{words}"


def describe_difference(difference: Difference) -> str:
    """Return what was compared and what came of it in one sentence."""
    counts = [
        counted(sum(change.effect is effect for change in difference.changes), title.lower())
        for effect, title in EFFECT_TITLES.items()
    ]
    compared = counted(difference.compared, "checks")
    return f"{difference.before} → {difference.after}: {compared} compared, {', '.join(counts)}"


SUPPORT_SIGNS = {
    "works": "✅",
    "fails": "❌",
    "refused": "⛔",
    "not run": "❔",
    "not supported here": "·",
}
"""In the order in which a reader wants them told."""


def support_of_suites(report: RunReport) -> dict[str, dict[str, list[SupportCell]]]:
    """Return the cells of each provider, for each suite that runs on providers."""
    suites: dict[str, dict[str, list[SupportCell]]] = {}
    for cell in report.support:
        suites.setdefault(cell.suite, {}).setdefault(cell.provider, []).append(cell)
    return suites


@dataclass(frozen=True)
class Measured:
    """All figures of one name that one check measured: a single one, or a curve."""

    check: str
    name: str
    unit: str
    axis: str
    points: tuple[tuple[float | None, float], ...]
    """Place on the axis (None for a figure on its own) and value, in the check's order."""

    def describe(self) -> str:
        """Return the figures on one line: ``1: 310, 2: 540 tokens/s, by batch size``."""
        figures = ", ".join(f"{value:.4g}" if at is None else f"{at:g}: {value:.4g}" for at, value in self.points)
        return f"{figures}{f' {self.unit}' if self.unit else ''}{f', by {self.axis}' if self.axis else ''}"


def measured_figures(report: RunReport) -> list[Measured]:
    """Return what checks measured, in the order of the report."""
    curves: dict[tuple[str, str, str, str], list[tuple[float | None, float]]] = {}
    for result in report.results:
        for figure in result.measurements:
            key = (result.name, figure.name, figure.unit, figure.axis)
            curves.setdefault(key, []).append((figure.at, figure.value))
    return [Measured(*key, points=tuple(points)) for key, points in curves.items()]


def describe_source(source: Source) -> str:
    """Return document, row, day and confidence in one phrase."""
    notes = [
        f"row {source.row}" if source.row else "",
        f"read {source.date}" if source.date else "",
        source.confidence,
    ]
    return f"{source.document} ({', '.join(filter(None, notes))})"


def describe_matrix(matrix: MatrixIdentity) -> str:
    """Return which matrix judged the run in one phrase."""
    overlays = f", overlays: {'; '.join(matrix.overlays)}" if matrix.overlays else ", no overlays"
    return f"{matrix.date}, digest {matrix.digest}, {matrix.rows} rows{overlays}"


def describe_isolation(isolation: Isolation) -> str:
    """Return where checks ran in one phrase."""
    if isolation.mode == "workers":
        workers = ", ".join(isolation.workers) or "unknown"
        return f"on workers ({workers}), {counted(isolation.restarts, 'restarts')}"
    return "in pytest's own process" + ("" if isolation.mode == "in_process" else ", none of them native")


def describe_faults(finding: Finding) -> str:
    """Return the names of the components at fault."""
    return ", ".join(title_of(key) for key in finding.components)
