"""The run in a few words: a line for Nagios and its like, and the last words of a Kubernetes container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.model.report import RunVerdict
from pytest_trtcheck.report.problems import problems_of
from pytest_trtcheck.report.sections import STATE_WORDS, waived_results
from pytest_trtcheck.report.text import one_line
from pytest_trtcheck.verdict.run import ENDED

if TYPE_CHECKING:
    from pytest_trtcheck.model.report import RunReport

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
TERMINATION_BYTES = 4096
"""Kubernetes keeps no more of /dev/termination-log."""

_NAMES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


def nagios_status(report: RunReport) -> int:
    """Return 0 accepted, 1 accepted with something to warn of, 2 rejected, 3 inconclusive or interrupted."""
    if report.exit_status not in ENDED or report.verdict is RunVerdict.INCONCLUSIVE:
        return UNKNOWN
    if report.verdict is RunVerdict.REJECTED:
        return CRITICAL
    is_doubtful = waived_results(report) or any(problem.level == "warning" for problem in problems_of(report))
    return WARNING if is_doubtful else OK


def render_nagios(report: RunReport) -> str:
    """Return one line: the state, why, and counts as performance data after the bar."""
    counts = {state: sum(result.state == state for result in report.results) for state in STATE_WORDS}
    why = "; ".join(report.verdict_reasons[:1]) or f"{len(report.results)} checks"
    data = [
        *(f"{state}={count}" for state, count in counts.items()),
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
