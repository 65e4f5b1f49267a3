"""The run in a few words: a line for Nagios and its like, and the last words of a Kubernetes container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.model.report import Outcome, RunVerdict
from pytest_trtcheck.report.problems import problems_of
from pytest_trtcheck.report.text import one_line

if TYPE_CHECKING:
    from pytest_trtcheck.model.report import RunReport

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
TERMINATION_BYTES = 4096
"""Kubernetes keeps no more of /dev/termination-log."""

_NAMES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_ABOUT_CHECKS = {0, 1, 10}
"""Exit statuses of a run that came to its end."""


def nagios_status(report: RunReport) -> int:
    """Return 0 accepted, 1 accepted with something to warn of, 2 rejected, 3 inconclusive or interrupted."""
    if report.exit_status not in _ABOUT_CHECKS or report.verdict is RunVerdict.INCONCLUSIVE:
        return UNKNOWN
    if report.verdict is RunVerdict.REJECTED:
        return CRITICAL
    return WARNING if any(problem.level == "warning" for problem in problems_of(report)) else OK


def render_nagios(report: RunReport) -> str:
    """Return one line: the state, why, and counts as performance data after the bar."""
    counts = {outcome: sum(result.outcome is outcome for result in report.results) for outcome in Outcome}
    why = "; ".join(report.verdict_reasons[:1]) or f"{len(report.results)} checks"
    data = [
        *(f"{outcome.value}={count}" for outcome, count in counts.items()),
        f"problems={len(problems_of(report))}",
        f"time={max(report.seconds, 0):.3f}s",
    ]
    # A bar in the words would begin the performance data.
    words = one_line(f"{report.verdict.value}: {why}", 400).replace("|", "/")
    return f"TRTCHECK {_NAMES[nagios_status(report)]} - {words} | {' '.join(data)}\n"


def render_termination(report: RunReport) -> str:
    """Return verdict, reasons and the worst problems with their remedies, in at most 4,096 bytes."""
    lines = [f"trtcheck: {report.verdict.value} (exit status {report.exit_status})"]
    lines += [f"- {one_line(reason, 300)}" for reason in report.verdict_reasons]
    for problem in problems_of(report):
        remedy = f" Remedy: {one_line(problem.remedy, 300)}" if problem.remedy else ""
        lines.append(f"{problem.level}: {one_line(f'{problem.rule} {problem.title}: {problem.message}', 400)}{remedy}")
    text = ""
    for line in lines:
        if len(f"{text}{line}\n".encode()) > TERMINATION_BYTES:
            break
        text += f"{line}\n"
    return text
