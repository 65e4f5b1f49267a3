"""From findings and results to the verdict of a run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import COMPONENTS, PLATFORM_TITLES, title_of
from pytest_trtcheck.model.facts import Fact, State
from pytest_trtcheck.model.finding import Finding, Severity, Verdict
from pytest_trtcheck.model.report import Outcome, Reason, RunVerdict, StackRow
from pytest_trtcheck.verdict.base import Unasked, join

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_trtcheck.model.difference import Difference
    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.model.report import Isolation, Result
    from pytest_trtcheck.rules.profiles import Profile


_MOST_UNREAD = 20


class FailOn(str, Enum):
    """The mildest finding that rejects a run."""

    ERROR = "error"
    WARNING = "warning"
    UNKNOWN = "unknown"


def outcome_of(answer: Finding | Unasked, fail_on: FailOn) -> tuple[Outcome, Reason | None]:
    """Return how a check of the stack suite ends for this answer."""
    if isinstance(answer, Unasked):
        return Outcome.NOT_RUN, answer.reason
    if answer.verdict is Verdict.INCOMPATIBLE:
        return Outcome.FAILED, None
    if answer.verdict is Verdict.UNKNOWN:
        return (Outcome.FAILED, None) if fail_on is FailOn.UNKNOWN else (Outcome.NOT_RUN, Reason.UNDECIDED)
    strict = fail_on in {FailOn.WARNING, FailOn.UNKNOWN}
    return (Outcome.FAILED if answer.severity is Severity.WARNING and strict else Outcome.PASSED), None


def rejecting(findings: Iterable[Finding], fail_on: FailOn) -> tuple[Finding, ...]:
    """Return those findings that reject a run without a check of the plan that could fail for them."""
    return tuple(finding for finding in findings if outcome_of(finding, fail_on)[0] is Outcome.FAILED)


INCONCLUSIVE_STATUS = 10

ABOUT_TESTS = frozenset({0, 1, 5})
"""Statuses of pytest that say how the tests went; all others (interrupt, internal error, usage) are its to report."""
ENDED = frozenset({0, 1, INCONCLUSIVE_STATUS})
"""Statuses of a run that came to its end."""


def status_of(verdict: RunVerdict) -> int:
    """Return the exit status of a run that came to its end."""
    return {RunVerdict.ACCEPTED: 0, RunVerdict.REJECTED: 1, RunVerdict.INCONCLUSIVE: INCONCLUSIVE_STATUS}[verdict]


@dataclass(frozen=True)
class Conclusion:
    """The verdict of a run and its grounds."""

    verdict: RunVerdict
    reasons: tuple[str, ...]
    not_looked_at: tuple[str, ...]


def conclude(
    stack: Stack,
    results: Sequence[Result],
    profile: Profile,
    isolation: Isolation,
    *,
    interrupted: bool = False,
    undecided: bool = False,
    strict: Sequence[Finding] = (),
    difference: Difference | None = None,
) -> Conclusion:
    """Accept a run only when something ran and was judged, all that the profile names ran, and nothing failed.

    ``interrupted`` and ``undecided`` (what there is to judge does not tell) keep a run from being accepted. It is
    rejected by a failure that nobody waived, by what ``fail_on`` makes of ``strict``, the findings that no check of the
    plan stands for, and by a regression since its baseline.
    """
    failed = [result for result in results if result.outcome is Outcome.FAILED and result.is_broken]
    errors = [result for result in results if result.outcome is Outcome.ERROR and result.is_broken]
    waived = [result for result in results if result.waiver is not None]
    regressions = difference.regressions if difference is not None else ()
    missing = [
        *_missing(stack, results, profile),
        *(["the run was interrupted before its end"] if interrupted else []),
        *(
            ["what is known of the stack does not decide; the unknown findings say what is missing"]
            if undecided
            else []
        ),
        *(["what ran failed, and is waived; nothing passed"] if waived and not _passed(results) else []),
        *(
            [f"the baseline {difference.before} holds no check that this run judged too"]
            if difference is not None and not difference.compared
            else []
        ),
    ]
    reasons: list[str] = []
    if failed:
        reasons.append(f"{_count(len(failed), 'check')} failed: {_names(failed)}")
    if errors:
        reasons.append(f"{_count(len(errors), 'check')} ended in an error: {_names(errors)}")
    if strict:
        reasons.append(f"findings that this run fails on: {_listed([finding.key for finding in strict])}")
    if regressions:
        names = _listed([f"{change.aspect.value} {change.name}" for change in regressions])
        reasons.append(f"{_count(len(regressions), 'regression')} since the baseline: {names}")
    reasons += missing
    if failed or errors or strict or regressions:
        verdict = RunVerdict.REJECTED
    elif missing:
        verdict = RunVerdict.INCONCLUSIVE
    else:
        verdict = RunVerdict.ACCEPTED
        rest = f"{_count(len(waived), 'failure')} waived" if waived else "none failed"
        reasons.append(f"{_count(_passed(results), 'check')} ran and passed, {rest}")
    return Conclusion(verdict, tuple(reasons), tuple(_not_looked_at(stack, results, isolation)))


def _passed(results: Sequence[Result]) -> int:
    return sum(result.outcome is Outcome.PASSED for result in results)


def _missing(stack: Stack, results: Sequence[Result], profile: Profile) -> Iterable[str]:
    """Say what the profile names and the run did not deliver."""
    for key in profile.required_components:
        fact = stack.get(key)
        if not fact.is_found:
            yield f"profile {profile.name} needs {title_of(key)}, which is {_state_words(fact)}"
    if profile.any_of_components and not any(stack.get(key).is_found for key in profile.any_of_components):
        wanted = join(map(title_of, profile.any_of_components))
        yield f"nothing was found that profile {profile.name} could judge: no {wanted}"
    outcomes = {result.name: result for result in results}
    for name in profile.required_checks:
        result = outcomes.get(name)
        if result is None:
            yield f"profile {profile.name} needs check {name}, which was not planned"
        elif result.reason is not None:
            why = f"{result.reason.value}: {result.message}"
            yield f"profile {profile.name} needs check {name}, which did not run ({why})"
    for key, minimum in profile.minimum_executed.items():
        suite, _, pattern = key.partition(":")
        ran = sum(
            result.suite == suite and result.outcome is not Outcome.NOT_RUN and _is_by(result, pattern)
            for result in results
        )
        if ran < minimum:
            whose = f"suite {suite} on {pattern}" if pattern else f"suite {suite}"
            yield f"profile {profile.name} needs at least {_count(minimum, 'check')} of {whose} to run, {ran} did"
    yield from _not_judged(results)


def _is_by(result: Result, pattern: str) -> bool:
    """Say whether a result is of a provider that a profile names; without a pattern any is."""
    return not pattern or fnmatchcase(result.provider, pattern)


def _not_judged(results: Sequence[Result]) -> Iterable[str]:
    """Say what was planned and has no answer, whatever the profile names."""
    if all(result.outcome is Outcome.NOT_RUN for result in results):
        yield "nothing ran"
    yield from _idle_suites(results)
    stopped = [result for result in results if result.reason is Reason.STOPPED]
    if stopped:
        yield f"{_count(len(stopped), 'planned check')} did not get a turn: {_names(stopped)}"
    skipped = [result for result in results if result.reason is Reason.SKIPPED and result.check_id]
    if skipped:
        yield f"{_count(len(skipped), 'planned check')} skipped from outside: {_names(skipped)}"


def _idle_suites(results: Sequence[Result]) -> Iterable[str]:
    """Name suites that were planned and of which nothing ran, unless the user's own selection left them out."""
    for suite in dict.fromkeys(result.suite for result in results if result.check_id):
        of_suite = [result for result in results if result.suite == suite and result.reason is not Reason.FILTERED]
        if of_suite and all(result.outcome is Outcome.NOT_RUN for result in of_suite):
            why = f"{of_suite[0].reason.value}: {of_suite[0].message}" if of_suite[0].reason else ""
            yield f"nothing of suite {suite} ran ({why})"


def _state_words(fact: Fact) -> str:
    words = {State.ABSENT: "not there", State.UNREADABLE: "unreadable", State.NOT_PROBED: "not probed"}
    return words.get(fact.state, fact.state.value) + (f" ({fact.reason})" if fact.reason else "")


def _unread(stack: Stack) -> Iterable[str]:
    """Say what is there and could not be read: it may hide what the run should have judged."""
    for fact in stack.facts.values():
        if fact.state is State.UNREADABLE and fact.key != "gpu":
            yield f"could not be read: {title_of(fact.key)}: {fact.reason}"
        for problem in fact.details.get("problems", ()):
            yield f"could not be read: {problem}"
        for copy in fact.copies:
            if copy.note:
                yield f"could not be read: {copy.path}: {copy.note}"


def _not_looked_at(stack: Stack, results: Sequence[Result], isolation: Isolation) -> Iterable[str]:
    """Say what a reader could think was checked and was not."""
    if isolation.mode == "in_process":
        yield f"isolation: {join(isolation.notes)}; a crash of one would have ended the run"
    gpu = stack.get("gpu")
    if not gpu.is_found:
        yield f"GPU: {_state_words(gpu)}"
    not_probed = [title_of(fact.key) for fact in _table_facts(stack) if fact.state is State.NOT_PROBED]
    if not_probed:
        yield f"not read in this run: {join(not_probed)}"
    unread = tuple(dict.fromkeys(_unread(stack)))
    yield from unread[:_MOST_UNREAD]
    if len(unread) > _MOST_UNREAD:
        yield f"{len(unread) - _MOST_UNREAD} more that could not be read; see report.json"
    for reason in Reason:
        left_out = [result for result in results if result.reason is reason]
        if left_out and reason is not Reason.UNDECIDED:
            yield f"{_count(len(left_out), 'check')} not run ({reason.value}): {_names(left_out)}"


def stack_table(stack: Stack, findings: Sequence[Finding]) -> tuple[StackRow, ...]:
    """Return the stack table: what is there, where it was read, and what the matrix expects of it."""
    return tuple(_row(fact, findings) for fact in _table_facts(stack) if fact.state is not State.NOT_PROBED)


def _table_facts(stack: Stack) -> Iterable[Fact]:
    return (stack.get(key) for key in (*PLATFORM_TITLES, *(component.key for component in COMPONENTS)))


def _row(fact: Fact, findings: Sequence[Finding]) -> StackRow:
    about = [finding for finding in findings if fact.key in finding.components or fact.key in finding.facts[:1]]
    about.sort(key=_weight)
    # What a package declares of itself is a check, not an expectation of the matrix.
    telling = [finding for finding in about if finding.source.row or _word(finding) != "compatible"]
    expected = "; ".join(dict.fromkeys(finding.expected for finding in telling if finding.expected))
    version = (fact.value or "present, version unknown") if fact.is_found else fact.state.value.replace("_", " ")
    return StackRow(
        component=fact.key,
        version=version,
        where=fact.where or fact.reason,
        expected=expected,
        state=_word(about[0]) if about else "",
    )


def _weight(finding: Finding) -> int:
    return ["incompatible", "unknown", "warning", "compatible"].index(_word(finding))


def _word(finding: Finding) -> str:
    condition = finding.verdict is Verdict.COMPATIBLE and finding.severity is Severity.WARNING
    return "warning" if condition else finding.verdict.value


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _names(results: Sequence[Result]) -> str:
    return _listed([result.name for result in results])


def _listed(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
