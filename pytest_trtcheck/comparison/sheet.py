"""A report with what a matrix needs of it and no more: a thousand of them fit into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple

from pytest_trtcheck.errors import TrtcheckError
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.report.text import one_line

if TYPE_CHECKING:
    from pytest_trtcheck.comparison.sources import Source
    from pytest_trtcheck.model.report import Result, RunReport

KEYS = (
    *("image", "gpu", "driver", "container", "triton_server", "python", "cuda_runtime", "cudnn", "nccl", "tensorrt"),
    *("torch", "tensorrt_llm", "vllm", "flashinfer", "flash_attn", "transformers"),
)
"""What sets stacks apart unless somebody names other facts: image, GPU, driver and the versions that decide most."""
PARALLEL_FROM = 48
"""Reports from which on it pays to start more processes: each costs about a third of a second."""
_MESSAGE = 300


class Entry(NamedTuple):
    """One result."""

    suite: str
    name: str
    state: str
    """``passed``, ``failed``, ``error``, ``waived`` or ``not_run``."""
    reason: str
    message: str


class Feature(NamedTuple):
    """One cell of the table of providers by feature."""

    suite: str
    provider: str
    feature: str
    state: str
    words: str


@dataclass(frozen=True)
class Sheet:
    """What a matrix needs of one report."""

    name: str
    kind: str
    image: str
    facts: Mapping[str, str]
    verdict: str
    reasons: tuple[str, ...]
    matrix: str
    entries: tuple[Entry, ...]
    features: tuple[Feature, ...]
    fingerprint: str
    redacted: bool


@dataclass(frozen=True)
class Unreadable:
    """A report that could not be read."""

    name: str
    words: str
    """One line that begins with the place."""


def sheet_of(report: RunReport, name: str, keys: Sequence[str] = KEYS) -> Sheet:
    """Return the sheet of a report."""
    return Sheet(
        name=name,
        kind=report.stack.kind,
        image=report.stack.name if report.stack.kind == "image" else "",
        facts=facts_of(report, keys),
        verdict=report.verdict.value,
        reasons=report.verdict_reasons[:20],
        matrix=f"{report.matrix.date} ({report.matrix.digest})",
        entries=tuple(map(_entry, report.results)),
        features=tuple(
            Feature(cell.suite, cell.provider, cell.feature, cell.state, one_line(cell.words, _MESSAGE))
            for cell in report.support
        ),
        fingerprint=fingerprint(report),
        redacted=report.redacted,
    )


def facts_of(report: RunReport, keys: Sequence[str]) -> dict[str, str]:
    """Return the facts of a stack by which it is told from others; those that nobody found are left out."""
    facts = {key: one_line(report.stack.value(key) or "", 120) for key in keys}
    if "gpu" in keys and report.stack.gpus:
        facts["gpu"] = ", ".join(sorted({one_line(gpu.name, 80) for gpu in report.stack.gpus}))
    return {key: value for key, value in facts.items() if value}


def fingerprint(report: RunReport) -> str:
    """Return what two copies of one report have in common, masked or not, and no two runs have."""
    parts: Iterable[tuple[str, str, str, float]] = (
        (result.name, result.outcome.value, result.started, result.seconds) for result in report.results
    )
    return hashlib.sha256(repr([report.started, report.seconds, *parts]).encode(errors="replace")).hexdigest()


def _entry(result: Result) -> Entry:
    state = result.state
    reason = result.reason.value if result.reason else ""
    words = "" if state == "passed" else one_line(result.message, _MESSAGE)
    return Entry(result.suite, result.name, state, reason, words)


def read_sheets(sources: Sequence[Source], keys: Sequence[str], jobs: int) -> Iterator[Sheet | Unreadable]:
    """Yield the sheet of each source in order, or why it cannot be read; with many sources in several processes."""
    read = partial(_read, keys=tuple(keys))
    if jobs < 2 or len(sources) < PARALLEL_FROM:
        yield from map(read, sources)
        return
    # Not forked: what the calling process holds, such as threads and locks, is none of these processes' business.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(read, sources, chunksize=8)


def _read(source: Source, keys: tuple[str, ...]) -> Sheet | Unreadable:
    try:
        return sheet_of(source.read(), source.name, keys)
    except TrtcheckError as error:
        return Unreadable(source.name, one_line(str(error), 2000))


_NO_ANSWER = {Reason.STOPPED.value: 1, Reason.FILTERED.value: 2}
"""Reasons that say nothing of the check itself; that somebody wanted it run counts more than that somebody did not."""

_RANK = {"error": 0, "failed": 1, "waived": 2, "passed": 3, "not_run": 4}


def weight(state: str, reason: str) -> int:
    """Return the place of an answer in the order in which one stands for several: the worst that ran comes first."""
    return _RANK[state] + _NO_ANSWER.get(reason, 0)
