"""What a run found wrong, one entry each, for the formats that are lists: SARIF, annotations, one-liners."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_trtcheck.model.finding import Severity, Verdict
from pytest_trtcheck.model.report import Outcome
from pytest_trtcheck.report.sections import (
    broken_results,
    describe_change,
    describe_faults,
    describe_source,
    group_findings,
    waived_results,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.model.report import CheckText, Location, Result, RunReport, Waiver

REGRESSION = "trtcheck-regression"
"""Rule of what is worse than in the baseline."""
OWN_TEST = "trtcheck-own-test"
"""Rule of a failure that no check of the catalogue stands behind: a test of the site's own."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or that nobody can tell."""

    key: str
    """Stable and unique in a run: ``TRC-DRV-001-torch``."""
    rule: str
    """Check id, or ``OWN_TEST``."""
    level: str
    """``error``, ``warning`` or ``note``, as SARIF has them."""
    title: str
    message: str
    remedy: str = ""
    source: str = ""
    location: Location | None = None
    """Line of the Dockerfile or requirements file; None where the run was not told of one."""
    is_crash: bool = False

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the key: the same in every run, wherever the line moves to."""
        return hashlib.sha256(self.key.encode(errors="replace")).hexdigest()


def problems_of(report: RunReport) -> list[Problem]:
    """Return what is wrong, the worst first: incompatible, failed and broken checks, unknown, warnings."""
    groups = group_findings(report)
    return [
        *(_of_finding(report, finding, "error") for finding in groups.incompatible),
        *_of_results(report),
        *_of_regressions(report),
        *(_of_finding(report, finding, _level_of_unknown(finding)) for finding in groups.unknown),
        *(_of_finding(report, finding, "warning") for finding in groups.warnings),
    ]


def _level_of_unknown(finding: Finding) -> str:
    return {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}[finding.severity]


def _of_finding(report: RunReport, finding: Finding, level: str) -> Problem:
    told = [
        "unknown" if finding.verdict is Verdict.UNKNOWN else "",
        f"found {finding.found}" if finding.found else "",
        f"expected {finding.expected}" if finding.expected else "",
        f"at fault: {describe_faults(finding)}" if finding.components else "",
        finding.detail,
    ]
    return Problem(
        finding.key,
        finding.id,
        level,
        finding.title,
        "; ".join(filter(None, told)),
        finding.remedy,
        describe_source(finding.source),
        _location(report, finding.components),
    )


def _of_results(report: RunReport) -> Iterator[Problem]:
    texts = {check.id: check for check in report.checks}
    for result in broken_results(report):
        yield _of_result(report, result, texts)


def _of_result(report: RunReport, result: Result, texts: Mapping[str, CheckText]) -> Problem:
    check = texts.get(result.check_id)
    return Problem(
        result.name,
        result.check_id or OWN_TEST,
        "error",
        check.title if check else f"A check {_verb(result)}",
        _how_it_ended(result),
        check.remedy if check else "",
        check.source if check else "",
        _location(report, ()),
        result.outcome is Outcome.ERROR,
    )


def _of_regressions(report: RunReport) -> Iterator[Problem]:
    """Tell of what is worse than in the baseline and of which nothing else tells."""
    told = {finding.key for finding in report.findings} | {result.name for result in report.results if result.is_broken}
    for change in report.difference.regressions if report.difference else ():
        if change.name in told:
            continue
        yield Problem(
            f"{change.name}#{change.aspect.value}",
            REGRESSION,
            "error",
            "Worse than in the baseline",
            f"{change.aspect.value} {change.name}: {describe_change(change)}",
            location=_location(report, ()),
        )


def waived_problems(report: RunReport) -> list[tuple[Problem, Waiver]]:
    """Return what is wrong and waived, for the formats that know how to tell that."""
    texts = {check.id: check for check in report.checks}
    return [(_of_result(report, result, texts), result.waiver) for result in waived_results(report) if result.waiver]


def _how_it_ended(result: Result) -> str:
    on = f" on {result.provider}" if result.provider else ""
    return f"{result.name} {_verb(result)}{on}{f': {result.message}' if result.message else ''}"


def _verb(result: Result) -> str:
    return "failed" if result.outcome is Outcome.FAILED else "broke off"


def _location(report: RunReport, components: tuple[str, ...]) -> Location | None:
    """Return the line of the first component at fault that has one, else the file as a whole."""
    by_component = {location.component: location for location in report.locations}
    return next((by_component[key] for key in (*components, "") if key in by_component), None)
