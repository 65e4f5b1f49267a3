"""What the run itself showed: memory that checks did not give back, workers that died."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_trtcheck.model.finding import Finding, Severity, Source, Verdict

if TYPE_CHECKING:
    from pytest_trtcheck.model.report import Isolation, Result
    from pytest_trtcheck.rules.catalogue import Check

RUNNING = frozenset({"TRC-RUN-001", "TRC-RUN-002"})
"""Checks that judge how a run went, not the stack."""
MEMORY_LEFT_LIMIT_BYTES = 256 * 1024 * 1024
"""Caching allocators keep some; a context and its kernels take about this much on first use."""


def running(results: Sequence[Result], isolation: Isolation, catalogue: Mapping[str, Check]) -> Iterator[Finding]:
    """Judge how the checks ran, beside what they found."""
    greedy = [result for result in results if (result.memory_left_bytes or 0) > MEMORY_LEFT_LIMIT_BYTES]
    if greedy:
        most = max(greedy, key=lambda result: result.memory_left_bytes or 0)
        yield warning_of(
            catalogue["TRC-RUN-001"],
            "gpu",
            expected=f"at most {MEMORY_LEFT_LIMIT_BYTES // 2**20} MiB more in use after a check than before it",
            found=f"{len(greedy)} left more; the most: {most.name}, {(most.memory_left_bytes or 0) // 2**20} MiB",
        )
    if isolation.restarts:
        yield warning_of(
            catalogue["TRC-RUN-002"],
            "workers",
            expected="no worker dies",
            found=f"{isolation.restarts} of at most {isolation.max_restarts} restarts: {_first(isolation.notes)}",
        )


def _first(notes: Sequence[str], limit: int = 5) -> str:
    return "; ".join(notes[:limit]) + (f" and {len(notes) - limit} more" if len(notes) > limit else "")


def warning_of(check: Check, subject: str, *, expected: str, found: str) -> Finding:
    """Return a warning about the run itself, which no component is at fault for."""
    return Finding(
        id=check.id,
        subject=subject,
        verdict=Verdict.COMPATIBLE,
        severity=Severity.WARNING,
        title=check.title,
        components=(),
        expected=expected,
        found=found,
        facts=(),
        source=Source(check.source, confidence="measured"),
        remedy=check.remedy,
    )
