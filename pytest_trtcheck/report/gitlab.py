"""``gl-code-quality-report.json``, GitLab's code quality report, shown in merge requests.

GitLab drops entries without a path and those whose fingerprint came before. Without ``--trtcheck-source`` the path is
that of the JUnit file: GitLab shows the entry, and its link leads nowhere.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.report.problems import problems_of
from pytest_trtcheck.report.text import one_line

if TYPE_CHECKING:
    from pytest_trtcheck.model.report import RunReport
    from pytest_trtcheck.report.problems import Problem

MAX_ENTRIES = 5000
NO_FILE = "TEST-trtcheck.xml"

_SEVERITIES = {"error": "critical", "warning": "minor", "note": "info"}


def render_gitlab(report: RunReport) -> str:
    """Return a JSON list with one entry for each thing that is wrong."""
    entries = {problem.fingerprint: _entry(problem) for problem in problems_of(report)[:MAX_ENTRIES]}
    return json.dumps(list(entries.values()), indent=1) + "\n"


def _entry(problem: Problem) -> dict[str, Any]:
    location = problem.location
    return {
        "description": one_line(f"{problem.title}: {problem.message}") or problem.level,
        "check_name": one_line(problem.rule, 200),
        "fingerprint": problem.fingerprint,
        "severity": "blocker" if problem.is_crash else _SEVERITIES[problem.level],
        "location": {
            "path": one_line(location.file, 1000) if location else NO_FILE,
            "lines": {"begin": max(location.line, 1) if location else 1},
        },
    }
