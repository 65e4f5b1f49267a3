"""What GitHub Actions shows of a run: the step summary, and annotations by workflow commands on standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.report.markdown import blocks_of
from pytest_trtcheck.report.problems import problems_of
from pytest_trtcheck.report.text import one_line, truncate

if TYPE_CHECKING:
    from pytest_trtcheck.model.report import RunReport
    from pytest_trtcheck.report.problems import Problem

SUMMARY_BYTES = 1024 * 1024
"""GitHub refuses the summary of a step, with what earlier commands of the step wrote to it, beyond this."""
MAX_ANNOTATIONS = 10
"""GitHub shows ten of each level of a step and drops the others in silence."""

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def render_step_summary(report: RunReport, room_bytes: int = SUMMARY_BYTES) -> str:
    """Return the report as Markdown in less than ``room_bytes``; sections that do not fit are left out, and named so.

    Empty where not even a line fits.
    """
    blocks = blocks_of(report)
    notice = "{} sections were left out here: the summary of a step holds 1 MiB. `report.md` has them."
    room = room_bytes - len(notice.encode()) - 16
    kept: list[str] = []
    for block in blocks:
        size = len(block.encode()) + 2
        if size <= room:
            kept.append(block)
            room -= size
    left_out = len(blocks) - len(kept)
    if not kept:
        line = f"trtcheck: {report.verdict.value}\n"
        return line if len(line) < room_bytes else ""
    return "\n\n".join([*kept, *([notice.format(left_out)] if left_out else [])]) + "\n"


def render_annotations(report: RunReport) -> str:
    """Return workflow commands, one a line, the worst problems first and at most ten; empty for a run without any."""
    problems = problems_of(report)
    shown = problems if len(problems) <= MAX_ANNOTATIONS else problems[: MAX_ANNOTATIONS - 1]
    lines = [_command(problem) for problem in shown]
    if len(problems) > len(shown):
        rest = f"{len(problems) - len(shown)} more problems; the step summary and report.html list them"
        lines.append(f"::{_COMMANDS[problems[len(shown)].level]} title=trtcheck::{rest}")
    return "".join(f"{line}\n" for line in lines)


def _command(problem: Problem) -> str:
    location = problem.location
    properties = {
        **({"file": one_line(location.file, 1000), "line": str(max(location.line, 1))} if location else {}),
        "title": one_line(f"{problem.rule}: {problem.title}", 200),
    }
    told = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    message = one_line(problem.message, 1000)
    if problem.remedy:
        message += f"\nRemedy: {truncate(problem.remedy, 1000, 5).strip()}"
    return f"::{_COMMANDS[problem.level]} {told}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
