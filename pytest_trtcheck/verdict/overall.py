"""From the findings about one stack to one verdict."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_trtcheck.model.finding import Finding, Severity, Verdict


def overall(findings: Iterable[Finding]) -> Verdict:
    """Return the verdict of a stack: incompatible before unknown before compatible, and nothing judged is unknown.

    An unknown finding decides when its severity is warning; with severity info it says that a row is missing for a
    question that others have answered well enough.
    """
    verdict = Verdict.UNKNOWN
    undecided = False
    for finding in findings:
        if finding.verdict is Verdict.INCOMPATIBLE:
            return Verdict.INCOMPATIBLE
        if finding.verdict is Verdict.COMPATIBLE:
            verdict = Verdict.COMPATIBLE
        elif finding.severity is Severity.WARNING:
            undecided = True
    return Verdict.UNKNOWN if undecided else verdict
