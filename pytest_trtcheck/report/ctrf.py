"""``ctrf-report.json`` in the Common Test Report Format, one test for each planned check."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.report.junit import MAX_BODY_BYTES, MAX_BODY_LINES, skip_message
from pytest_trtcheck.report.sections import describe_waived
from pytest_trtcheck.report.text import one_line, truncate

if TYPE_CHECKING:
    from pytest_trtcheck.model.report import Result, RunReport

SPEC_VERSION = "0.0.0"
"""Of the working draft of 2025-11-24, which is what the format's own reporters write."""

_STATUS = {"passed": "passed", "failed": "failed", "error": "failed", "waived": "other", "not_run": "skipped"}


def render_ctrf(report: RunReport) -> str:
    """Return the report as a CTRF document. Outcomes keep their own word in ``rawStatus``."""
    start = _milliseconds(report.started)
    duration = round(max(report.seconds, 0) * 1000)
    statuses = [_STATUS[result.state] for result in report.results]
    document = {
        "reportFormat": "CTRF",
        "specVersion": SPEC_VERSION,
        **({"timestamp": _utc(start)} if start else {}),
        "generatedBy": "pytest-trtcheck",
        "results": {
            "tool": {"name": "pytest-trtcheck", "version": one_line(report.tool_version)},
            "summary": {
                "tests": len(statuses),
                **{status: statuses.count(status) for status in ("passed", "failed", "skipped", "pending", "other")},
                "suites": len({result.suite for result in report.results}),
                "start": start,
                "stop": start + duration,
                "duration": duration,
            },
            "tests": [_test(result) for result in report.results],
            "environment": {
                "appName": one_line(report.stack.name) or "stack",
                "testEnvironment": one_line(f"profile {report.profile}, level {report.level}"),
                "extra": {
                    "verdict": report.verdict.value,
                    "reasons": [one_line(reason) for reason in report.verdict_reasons],
                    "matrix": one_line(f"{report.matrix.date} {report.matrix.digest}"),
                    "stack": {one_line(title_of(row.component)): one_line(row.version) for row in report.table},
                },
            },
        },
    }
    return json.dumps(document, indent=1) + "\n"


def _test(result: Result) -> dict[str, Any]:
    start = _milliseconds(result.started)
    duration = round(max(result.seconds, 0) * 1000)
    message = skip_message(result) if result.reason else one_line(result.message)
    if result.waiver is not None:
        message = one_line(describe_waived(result))
    extra: dict[str, Any] = {"check": one_line(result.check_id)}
    if result.provider:
        extra |= {"provider": one_line(result.provider), "features": [one_line(name) for name in result.features]}
    if result.reason:
        extra["reason"] = result.reason.value
    if result.measurements:
        extra["measurements"] = [
            {"name": one_line(figure.name), "value": figure.value, "unit": one_line(figure.unit)}
            | ({"axis": one_line(figure.axis), "at": figure.at} if figure.at is not None else {})
            for figure in result.measurements
        ]
    return {
        "name": one_line(result.name) or "unnamed",
        "status": _STATUS[result.state],
        "duration": duration,
        **({"start": start, "stop": start + duration} if start else {}),
        "suite": [one_line(result.suite) or "unnamed"],
        **({"message": message} if message else {}),
        **({"trace": truncate(result.text, MAX_BODY_BYTES, MAX_BODY_LINES)} if result.text else {}),
        "rawStatus": result.state,
        **({"threadId": one_line(result.worker)} if result.worker else {}),
        "extra": extra,
    }


def _milliseconds(started: str) -> int:
    """Return milliseconds since 1970; 0 for a check that never started, or a time that is none."""
    try:
        moment = datetime.fromisoformat(started)
        return max(round((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp() * 1000), 0)
    except (ValueError, OverflowError, OSError):
        return 0


def _utc(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, tz=timezone.utc).isoformat(timespec="milliseconds")
