"""What changed between two runs, and what of it is a change for the worse.

Two runs of one stack never agree in times, and with other seeds not in errors. A time or an error is told as changed
only beyond what such runs differ by; ``noise`` says how far that is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import BY_KEY, PLATFORM_TITLES, title_of
from pytest_trtcheck.model.difference import Aspect, Change, Difference, Effect
from pytest_trtcheck.model.facts import State
from pytest_trtcheck.model.finding import Severity, Verdict
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.model.report import Reason, RunVerdict
from pytest_trtcheck.model.versions import DottedVersion
from pytest_trtcheck.verdict.noise import error_changes, measurement_changes, time_changes

if TYPE_CHECKING:
    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.model.report import Result, RunReport

_FINDING_RANK = ("incompatible", "unknown", "warning", "compatible")
_VERDICT_RANK = (RunVerdict.REJECTED, RunVerdict.INCONCLUSIVE, RunVerdict.ACCEPTED)
_ORDER = {Effect.REGRESSION: 0, Effect.IMPROVEMENT: 1, Effect.CHANGE: 2}
_TOLD = frozenset({"image", *PLATFORM_TITLES, *BY_KEY})
"""Facts that are versions; others, such as counts and limits, change with the machine."""
_JUDGED = frozenset({"passed", "failed", "error", "waived"})


@dataclass(frozen=True)
class Side:
    """What is compared of a run; one that is still to be concluded has no verdict yet."""

    name: str
    level: str
    profile: str
    matrix: str
    stack: Stack
    findings: Sequence[Finding]
    results: Sequence[Result]
    seed: int | None
    verdict: RunVerdict | None = None


def side_of(report: RunReport, name: str) -> Side:
    """Return the side of a finished run."""
    return Side(
        name, report.level, report.profile, report.matrix.digest, report.stack, report.findings, report.results,
        report.seed, report.verdict,
    )  # fmt: skip


def compare(before: Side, after: Side) -> Difference:
    """Return what changed, regressions first, and within them in the order verdict, findings, results, figures."""
    old = {(result.suite, result.name): result for result in before.results}
    new = {(result.suite, result.name): result for result in after.results}
    both = [(old[key], new[key]) for key in old if key in new]
    compared = sum(one.state in _JUDGED and other.state in _JUDGED for one, other in both)
    findings = list(_findings(before, after))
    told = {change.name for change in findings}
    notes = list(_notes(before, after))
    results = [change for change in _results(both) if change.name not in told]
    lost, left_out = _lost(before, after, old, new, told)
    changes = [
        *_verdict(before, after),
        *findings,
        *results,
        *lost,
        *error_changes(both, same_seed=before.seed == after.seed),
        *time_changes(both),
        *measurement_changes(both),
        *_versions(before.stack, after.stack),
    ]
    changes.sort(key=lambda change: _ORDER[change.effect])
    return Difference(before.name, after.name, compared, tuple(changes), (*notes, *left_out))


def _verdict(before: Side, after: Side) -> Iterator[Change]:
    if before.verdict is None or after.verdict is None or before.verdict is after.verdict:
        return
    is_worse = _VERDICT_RANK.index(after.verdict) < _VERDICT_RANK.index(before.verdict)
    effect = Effect.REGRESSION if is_worse else Effect.IMPROVEMENT
    yield Change(Aspect.VERDICT, "run", before.verdict.value, after.verdict.value, effect)


def _notes(before: Side, after: Side) -> Iterator[str]:
    for what, one, other in (
        ("levels", before.level, after.level),
        ("profiles", before.profile, after.profile),
        ("kinds of stack", before.stack.kind, after.stack.kind),
    ):
        if one != other:
            yield f"the runs have different {what}: {one} and {other}"
    if before.matrix != after.matrix:
        yield (
            f"another version matrix judged each run: {before.matrix} and {after.matrix}; "
            "a finding may have changed with it"
        )


def _findings(before: Side, after: Side) -> Iterator[Change]:
    old = {finding.key: finding for finding in before.findings}
    new = {finding.key: finding for finding in after.findings}
    for key in {**old, **new}:
        one, other = _word(old.get(key)), _word(new.get(key))
        if one == other or {one, other} == {"", "compatible"}:
            continue
        rank_before, rank_after = _rank(one), _rank(other)
        if rank_after < rank_before:
            effect = Effect.CHANGE if other == "warning" else Effect.REGRESSION
        else:
            effect = Effect.IMPROVEMENT if other else Effect.CHANGE
        told = new.get(key) or old[key]
        yield Change(Aspect.FINDING, key, one, other, effect, f"{told.title}: found {told.found}")


def _word(finding: Finding | None) -> str:
    """Return how a reader calls the answer; an unknown one that decides nothing is like none."""
    if finding is None or (finding.verdict is Verdict.UNKNOWN and finding.severity is Severity.INFO):
        return ""
    condition = finding.verdict is Verdict.COMPATIBLE and finding.severity is Severity.WARNING
    return "warning" if condition else finding.verdict.value


def _rank(word: str) -> int:
    return _FINDING_RANK.index(word) if word else len(_FINDING_RANK)


def _results(both: Sequence[tuple[Result, Result]]) -> Iterator[Change]:
    """Tell of the checks that both runs planned and at least the later one judged."""
    for one, other in both:
        was, now = one.state, other.state
        if was == now or now not in _JUDGED:
            continue
        if now in ("failed", "error"):
            effect = Effect.REGRESSION if was in ("passed", "waived") else Effect.CHANGE
        else:
            effect = Effect.IMPROVEMENT if now == "passed" and was in ("failed", "error", "waived") else Effect.CHANGE
        yield Change(Aspect.RESULT, other.name, _told(one), _told(other), effect, other.message)


def _told(result: Result) -> str:
    return f"not run ({result.reason.value})" if result.reason else result.state


def _lost(
    before: Side,
    after: Side,
    old: Mapping[tuple[str, str], Result],
    new: Mapping[tuple[str, str], Result],
    told: set[str],
) -> tuple[list[Change], list[str]]:
    """Return the checks that passed before and are not judged now, and in words those that nobody asked for."""
    lost, filtered, by_level = [], 0, 0
    is_lower = _is_lower(after.level, before.level)
    for key, one in old.items():
        if one.state not in ("passed", "waived") or one.name in told:
            continue
        other = new.get(key)
        if other is not None and other.reason is None:
            continue
        if other is not None and other.reason is Reason.FILTERED:
            filtered += 1
        elif is_lower and (other is None or other.reason is Reason.LEVEL):
            by_level += 1
        else:
            after_words = _told(other) if other is not None else "not planned"
            words = other.message if other is not None else ""
            lost.append(Change(Aspect.LOST, one.name, _told(one), after_words, Effect.REGRESSION, words))
    notes = [
        *([f"{filtered} checks that passed before were left out by the selection"] if filtered else []),
        *([f"{by_level} checks that passed before are beyond level {after.level}"] if by_level else []),
    ]
    return lost, notes


def _is_lower(level: str, than: str) -> bool:
    try:
        return Level(level).rank < Level(than).rank
    except ValueError:
        return False


def _versions(before: Stack, after: Stack) -> Iterator[Change]:
    """Tell what came, what went, and what is of another version; what one of the runs did not read is left out."""
    gpus = [", ".join(sorted({gpu.name for gpu in stack.gpus})) for stack in (before, after)]
    if all(gpus) and gpus[0] != gpus[1]:
        yield Change(Aspect.VERSION, title_of("gpu"), gpus[0], gpus[1], Effect.CHANGE)
    for key in {**before.facts, **after.facts}:
        one, other = before.get(key), after.get(key)
        unread = {State.NOT_PROBED, State.UNREADABLE} & {one.state, other.state}
        if key == "gpu" or key not in _TOLD or unread or not (one.is_found or other.is_found):
            continue
        was, now = (fact.value or "of unknown version" if fact.is_found else "" for fact in (one, other))
        if was != now:
            yield Change(Aspect.VERSION, title_of(key), was, now, Effect.CHANGE, _direction(was, now))


def _direction(was: str, now: str) -> str:
    if not was or not now:
        return "new" if now else "gone"
    old, new = DottedVersion.leading(was), DottedVersion.leading(now)
    if old is None or new is None or old == new:
        return ""
    return "newer" if old < new else "older"
