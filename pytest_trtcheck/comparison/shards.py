"""Parts of one run made into one report again: every check once, judged as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from pytest_trtcheck.comparison.sheet import KEYS, facts_of, fingerprint, weight
from pytest_trtcheck.errors import ReportError
from pytest_trtcheck.model.codec import MAX_ITEMS
from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.facts import ImportOutcome, ImportStatus, Stack
from pytest_trtcheck.model.finding import Finding, Verdict
from pytest_trtcheck.model.report import Isolation, Result, RunReport, SupportCell
from pytest_trtcheck.report.text import one_line
from pytest_trtcheck.rules.catalogue import Check
from pytest_trtcheck.rules.profiles import Profile
from pytest_trtcheck.verdict.families.running import RUNNING, running
from pytest_trtcheck.verdict.families.waivers import WAIVERS, judge_waivers
from pytest_trtcheck.verdict.overall import overall
from pytest_trtcheck.verdict.run import ENDED, FailOn, conclude, rejecting, stack_table, status_of
from pytest_trtcheck.verdict.support import support_table

T = TypeVar("T")

_VERDICT_RANK = (Verdict.INCOMPATIBLE, Verdict.UNKNOWN, Verdict.COMPATIBLE)


def merge_shards(
    named: Sequence[tuple[str, RunReport]], profile: Profile, catalogue: Mapping[str, Check]
) -> tuple[RunReport, list[str]]:
    """Return one report of all shards, and what is to be told of them: copies that are not counted, checks told twice.

    ReportError, one line with both names, for reports that are no parts of one run.
    """
    kept, told = _without_copies(named)
    first_name, first = kept[0]
    for name, other in kept[1:]:
        _check_same_run(first_name, first, name, other)
    results, disputed = _results(kept)
    told += disputed
    shards = [shard for _, shard in kept]
    isolation = _isolation(kept)
    stack = _stack(shards)
    findings = [
        *_findings(shards),
        *running(results, isolation, catalogue),
        *judge_waivers(first.waivers, results, stack, first.started, catalogue),
    ]
    undecided = stack.kind == "described" and overall(findings) is Verdict.UNKNOWN
    beside = [finding for finding in findings if finding.id in RUNNING | WAIVERS]
    conclusion = conclude(
        stack,
        results,
        profile,
        isolation,
        interrupted=any(shard.exit_status not in ENDED for shard in shards),
        undecided=undecided,
        strict=rejecting(beside, FailOn(first.fail_on)),
    )
    started, seconds = _times(shards)
    report = replace(
        first,
        started=started,
        seconds=seconds,
        stack=stack,
        table=stack_table(stack, findings),
        findings=tuple(findings),
        results=results,
        verdict=conclusion.verdict,
        verdict_reasons=conclusion.reasons,
        not_looked_at=tuple(dict.fromkeys((*conclusion.not_looked_at, *_told_by_all(shards)))),
        exit_status=status_of(conclusion.verdict),
        isolation=isolation,
        support=_support(shards, results),
        seed=first.seed if len({shard.seed for shard in shards}) == 1 else None,
        checks=tuple(_first_of(shards, lambda shard: shard.checks, lambda check: check.id)),
        difference=None,
        merged=tuple(name for name, _ in kept),
        redacted=all(shard.redacted for shard in shards),
    )
    return report, told


def _without_copies(named: Sequence[tuple[str, RunReport]]) -> tuple[list[tuple[str, RunReport]], list[str]]:
    seen: dict[str, str] = {}
    kept, told = [], []
    for name, report in named:
        first = seen.setdefault(fingerprint(report), name)
        if first is name:
            kept.append((name, report))
        else:
            told.append(f"{name}: the same report as {first}, not counted")
    return kept, told


def _check_same_run(first_name: str, first: RunReport, name: str, other: RunReport) -> None:
    """Refuse what cannot be part of one run: another stack, or another way of judging."""
    pairs = [
        (what, getattr(first, field), getattr(other, field))
        for what, field in (("profile", "profile"), ("level", "level"), ("fail-on", "fail_on"), ("waivers", "waivers"))
    ]
    pairs.append(("version matrix", first.matrix.digest, other.matrix.digest))
    pairs.append(("kind of stack", first.stack.kind, other.stack.kind))
    one, two = facts_of(first, KEYS), facts_of(other, KEYS)
    pairs += [(title_of(key), one.get(key, "none"), two.get(key, "none")) for key in KEYS]
    for what, ours, theirs in pairs:
        if ours != theirs:
            shown = f"{ours} and {theirs}" if isinstance(ours, str) else "not the same"
            raise ReportError(
                one_line(
                    f"{first_name}, {name}: expected shards of one run, found {what} {shown}; "
                    "without --shards each stack becomes a column of a matrix",
                    2000,
                )
            )


def _weight(result: Result) -> int:
    return weight(result.state, result.reason.value if result.reason else "")


def _results(named: Sequence[tuple[str, RunReport]]) -> tuple[tuple[Result, ...], list[str]]:
    """Return one result for each check: the worst that ran, else the most telling reason why none did."""
    kept: dict[tuple[str, str], tuple[str, Result]] = {}
    told: list[str] = []
    for name, report in named:
        for result in report.results:
            key = (result.suite, result.name)
            before = kept.get(key)
            if before is None:
                kept[key] = name, result
                continue
            states = {before[1].state, result.state}
            if len(states) > 1 and "not_run" not in states:
                words = f"{before[0]} says {before[1].state}, {name} says {result.state}"
                told.append(f"{result.name}: {words}; the worse counts")
            if _weight(result) < _weight(before[1]):
                kept[key] = name, result
    if len(kept) > MAX_ITEMS:
        raise ReportError(f"--shards: expected at most {MAX_ITEMS} checks in one run, found {len(kept)}")
    return tuple(result for _, result in kept.values()), told


def _findings(shards: Sequence[RunReport]) -> list[Finding]:
    """Return the findings of all shards, the worst of each; what is said of a run as a whole is said anew."""
    kept: dict[str, Finding] = {}
    for shard in shards:
        for finding in shard.findings:
            before = kept.get(finding.key)
            if finding.id in RUNNING | WAIVERS:
                continue
            if before is None or _VERDICT_RANK.index(finding.verdict) < _VERDICT_RANK.index(before.verdict):
                kept[finding.key] = finding
    return list(kept.values())


def _stack(shards: Sequence[RunReport]) -> Stack:
    """Return the stack of the first shard, with the GPUs and the imports that all saw."""
    imports: dict[str, ImportOutcome] = {}
    for shard in shards:
        for outcome in shard.stack.imports:
            before = imports.get(outcome.module)
            if before is None or before.status is ImportStatus.NOT_RUN:
                imports[outcome.module] = outcome
    stacks = [shard.stack for shard in shards]
    gpus = _first_of(stacks, lambda stack: stack.gpus, lambda gpu: (gpu.uuid, gpu.index))
    return replace(stacks[0], gpus=tuple(gpus), imports=tuple(imports[key] for key in sorted(imports)))


S = TypeVar("S")


def _first_of(shards: Iterable[S], parts: Callable[[S], Iterable[T]], key: Callable[[T], object]) -> list[T]:
    """Return the parts of all shards, the first of each key."""
    kept: dict[object, T] = {}
    for shard in shards:
        for part in parts(shard):
            kept.setdefault(key(part), part)
    return list(kept.values())


def _isolation(named: Sequence[tuple[str, RunReport]]) -> Isolation:
    parts = [(name, report.isolation) for name, report in named]
    modes = [part.mode for _, part in parts]
    mode = next((mode for mode in ("in_process", "workers") if mode in modes), "not_needed")
    bounds = [part.max_restarts for _, part in parts if part.max_restarts is not None]
    return Isolation(
        mode,
        tuple(f"{name}: {worker}" for name, part in parts for worker in part.workers),
        sum(part.restarts for _, part in parts),
        sum(bounds) if bounds else None,
        tuple(f"{name}: {note}" for name, part in parts for note in part.notes),
    )


def _times(shards: Sequence[RunReport]) -> tuple[str, float]:
    """Return when the first shard began, and how long it was from there to the end of the last."""
    try:
        begun = [datetime.fromisoformat(shard.started) for shard in shards]
        ends = [start + timedelta(seconds=shard.seconds) for start, shard in zip(begun, shards, strict=True)]
        first = min(range(len(shards)), key=lambda index: begun[index])
        return shards[first].started, round((max(ends) - begun[first]).total_seconds(), 3)
    except (TypeError, ValueError, OverflowError):
        # Times with and without a zone, or none.
        return shards[0].started, max(shard.seconds for shard in shards)


def _told_by_all(shards: Sequence[RunReport]) -> list[str]:
    """Return what no shard looked at, as far as it is no count of checks, which is told anew."""
    common = set(shards[0].not_looked_at).intersection(*(shard.not_looked_at for shard in shards[1:]))
    return [line for line in shards[0].not_looked_at if line in common and " not run (" not in line]


def _support(shards: Sequence[RunReport], results: Sequence[Result]) -> tuple[SupportCell, ...]:
    """Return the table of providers by feature of all results, and what providers said is out of their reach."""
    cells = {(cell.suite, cell.provider, cell.feature): cell for cell in support_table(results, ())}
    for shard in shards:
        for cell in shard.support:
            if cell.state == "not supported here":
                cells.setdefault((cell.suite, cell.provider, cell.feature), cell)
    return tuple(cells[key] for key in sorted(cells))
