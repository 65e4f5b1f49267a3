"""Waivers that have expired, that match nothing, and that nothing needs any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_trtcheck.model.finding import Finding, Severity
from pytest_trtcheck.model.report import Outcome
from pytest_trtcheck.verdict.families.running import warning_of
from pytest_trtcheck.verdict.waivers import BROKEN, is_over, names, why_not_here

if TYPE_CHECKING:
    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.model.report import Result, Waiver
    from pytest_trtcheck.rules.catalogue import Check

EXPIRED, UNMATCHED, NEEDLESS = "TRC-WVR-001", "TRC-WVR-002", "TRC-WVR-003"
WAIVERS = frozenset({EXPIRED, UNMATCHED, NEEDLESS})
"""Checks that judge waivers, not the stack."""


def judge_waivers(
    waivers: Sequence[Waiver], results: Sequence[Result], stack: Stack, started: str, catalogue: Mapping[str, Check]
) -> Iterator[Finding]:
    """Find fault with waivers that have expired, that match no check of this run, and that nothing needs any more."""
    for number, waiver in enumerate(waivers, 1):
        subject = f"{number}-{waiver.check}"
        matched = [result for result in results if names(waiver, result.name, result.check_id, result.provider)]
        judged = [result for result in matched if result.outcome in (Outcome.PASSED, *BROKEN)]
        elsewhere = why_not_here(waiver, stack)
        if is_over(waiver, started):
            found = f"expired on {waiver.expires}; {_count(judged)} since"
            yield _finding(catalogue[EXPIRED], subject, waiver, "a day that is still to come", found)
        elif elsewhere:
            yield _finding(catalogue[UNMATCHED], subject, waiver, "a waiver for this stack", elsewhere, Severity.INFO)
        elif not matched:
            on = f" on provider {waiver.provider}" if waiver.provider else ""
            found = f"no check of this run is called {waiver.check}{on}"
            yield _finding(catalogue[UNMATCHED], subject, waiver, "a check that the waiver is for", found)
        elif judged and all(result.outcome is Outcome.PASSED for result in judged):
            found = f"{judged[0].name} passes" if len(judged) == 1 else f"all {len(judged)} checks that it names pass"
            yield _finding(catalogue[NEEDLESS], subject, waiver, "a failure to waive", found)


def _count(judged: Sequence[Result]) -> str:
    failed = sum(result.outcome in BROKEN for result in judged)
    return f"{failed} of {len(judged)} checks that it names fail" if judged else "no check that it names ran"


def _finding(
    check: Check, subject: str, waiver: Waiver, expected: str, found: str, severity: Severity = Severity.WARNING
) -> Finding:
    scope = f", {waiver.scope}" if waiver.scope else ""
    finding = warning_of(check, subject, expected=expected, found=found)
    return replace(finding, severity=severity, detail=f"{waiver.check}{scope}: {waiver.describe()}")
