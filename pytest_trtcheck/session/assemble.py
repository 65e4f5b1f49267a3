"""Make the report of a run from what is known of it: at its end, or from the journal of one that was killed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest

from pytest_trtcheck import __version__
from pytest_trtcheck.model.difference import Difference
from pytest_trtcheck.model.facts import ImportOutcome, Stack
from pytest_trtcheck.model.finding import Finding, Verdict
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.model.report import (
    CheckText,
    Isolation,
    Location,
    Outcome,
    Reason,
    Result,
    RunReport,
    Unsupported,
    Waiver,
)
from pytest_trtcheck.rules.catalogue import Check
from pytest_trtcheck.rules.load import Matrix
from pytest_trtcheck.rules.profiles import Profile
from pytest_trtcheck.verdict import evaluate
from pytest_trtcheck.verdict.difference import Side, compare
from pytest_trtcheck.verdict.families.running import running
from pytest_trtcheck.verdict.families.waivers import judge_waivers
from pytest_trtcheck.verdict.overall import overall
from pytest_trtcheck.verdict.run import ABOUT_TESTS, FailOn, conclude, rejecting, stack_table, status_of
from pytest_trtcheck.verdict.support import support_table
from pytest_trtcheck.verdict.waivers import waive


@dataclass(frozen=True)
class RunFacts:
    """What a run began with."""

    started: str
    """ISO time with zone."""
    level: Level
    profile: Profile
    fail_on: FailOn
    stack: Stack
    seed: int | None = None
    unsupported: tuple[Unsupported, ...] = ()
    left_out: tuple[str, ...] = ()
    """What planning left out, in words."""
    locations: tuple[Location, ...] = ()
    """Lines of the file of ``--trtcheck-source``."""
    waivers: tuple[Waiver, ...] = ()
    """What the file of ``--trtcheck-waivers`` holds."""
    baseline: Side | None = None
    """The run of ``--trtcheck-baseline``."""


def assemble(
    began: RunFacts,
    matrix: Matrix,
    catalogue: Mapping[str, Check],
    *,
    results: Sequence[Result],
    imports: Mapping[str, ImportOutcome],
    isolation: Isolation,
    seconds: float,
    exit_status: int,
) -> RunReport:
    """Return the report; an exit status that is not about tests means that the run was interrupted."""
    stack = replace(began.stack, imports=tuple(imports[key] for key in sorted(imports)))
    results = waive(began.waivers, results, stack, began.started)
    evaluation = evaluate(stack, matrix, catalogue, level=began.level)
    answered = {result.name for result in results if _was_answered(result)}
    findings = tuple(finding for finding in evaluation.findings if finding.key in answered)
    beside = (
        *running(results, isolation, catalogue),
        *judge_waivers(began.waivers, results, stack, began.started, catalogue),
    )
    findings += beside
    difference = _difference(began, matrix, stack, findings, results)
    interrupted = exit_status not in ABOUT_TESTS
    # A stack that is only written down has nothing beside its versions that could have run.
    silent = stack.kind == "described" and overall(findings) is Verdict.UNKNOWN
    accounted = any(result.outcome in {Outcome.FAILED, Outcome.ERROR} for result in results)
    if exit_status == pytest.ExitCode.TESTS_FAILED and not accounted:
        # pytest saw a failure that no result shows: whatever it was, it is not a pass.
        interrupted = True
    conclusion = conclude(
        stack,
        results,
        began.profile,
        isolation,
        interrupted=interrupted,
        undecided=silent,
        strict=rejecting(beside, began.fail_on),
        difference=difference,
    )
    return RunReport(
        tool_version=__version__,
        started=began.started,
        seconds=round(seconds, 3),
        profile=began.profile.name,
        level=began.level.value,
        fail_on=began.fail_on.value,
        matrix=matrix.identity,
        stack=stack,
        table=stack_table(stack, findings),
        findings=findings,
        results=tuple(results),
        verdict=conclusion.verdict,
        verdict_reasons=conclusion.reasons,
        not_looked_at=(*conclusion.not_looked_at, *began.left_out),
        support=support_table(results, began.unsupported),
        seed=began.seed,
        checks=_texts(catalogue, results, findings),
        locations=began.locations,
        waivers=began.waivers,
        difference=difference,
        exit_status=exit_status if exit_status not in ABOUT_TESTS else status_of(conclusion.verdict),
        isolation=isolation,
    )


def _difference(
    began: RunFacts, matrix: Matrix, stack: Stack, findings: Sequence[Finding], results: Sequence[Result]
) -> Difference | None:
    """Return what changed since the baseline; None without one."""
    if began.baseline is None:
        return None
    level, profile, digest = began.level.value, began.profile.name, matrix.identity.digest
    return compare(began.baseline, Side("this run", level, profile, digest, stack, findings, results, began.seed))


def _texts(
    catalogue: Mapping[str, Check], results: Sequence[Result], findings: Sequence[Finding]
) -> tuple[CheckText, ...]:
    """Return what the catalogue says of the checks that were asked, by id."""
    asked = {result.check_id for result in results} | {finding.id for finding in findings}
    checks = (catalogue[identity] for identity in sorted(asked & catalogue.keys()))
    return tuple(CheckText(check.id, check.title, check.question, check.remedy, check.source) for check in checks)


def _was_answered(result: Result) -> bool:
    return result.outcome is not Outcome.NOT_RUN or result.reason is Reason.UNDECIDED
