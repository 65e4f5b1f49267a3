"""Where an environment wants to be told of a run: GitHub's step summary and annotations, Kubernetes' last words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_trtcheck.model.report import RunReport

TERMINATION_LOG = Path("/dev/termination-log")


def deliver(report: RunReport, environ: Mapping[str, str] = os.environ, log: Path = TERMINATION_LOG) -> list[str]:
    """Tell the environments that this run is in; return in words what could not be told."""
    complaints = []
    summary = environ.get("GITHUB_STEP_SUMMARY", "")
    if summary:
        complaints.append(_step_summary(report, Path(summary)))
    if environ.get("KUBERNETES_SERVICE_HOST") and log.exists():
        complaints.append(_last_words(report, log))
    return [words for words in complaints if words]


def annotation_lines(report: RunReport, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the workflow commands to print; none outside GitHub Actions."""
    if environ.get("GITHUB_ACTIONS") != "true":
        return []
    from pytest_trtcheck.report.github import render_annotations

    return render_annotations(report).splitlines()


def _step_summary(report: RunReport, path: Path) -> str:
    """Append to the summary of the step, which may hold what earlier commands wrote."""
    from pytest_trtcheck.report.github import SUMMARY_BYTES, render_step_summary

    try:
        with path.open("ab") as file:
            room = SUMMARY_BYTES - file.tell() - 1
            text = render_step_summary(report, room) if room > 0 else ""
            if text:
                file.write(b"\n" + text.encode() if file.tell() else text.encode())
    except (OSError, ValueError) as error:
        return f"GITHUB_STEP_SUMMARY {path}: {getattr(error, 'strerror', None) or error}; the summary is not written"
    return "" if text else f"GITHUB_STEP_SUMMARY {path}: already holds 1 MiB; the summary is not written"


def _last_words(report: RunReport, path: Path) -> str:
    from pytest_trtcheck.report.short import render_termination

    try:
        # Written in place: it is a mount, which nothing can be renamed onto.
        path.write_text(render_termination(report), encoding="utf-8")
    except OSError as error:
        return f"{path}: {error.strerror or error}; the reason of the container's end is not written"
    return ""
