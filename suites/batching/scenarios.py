"""What a scenario is: requests, the rounds in which they are put, and what must hold beside the answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_trtcheck.providers import LlmCase, Request, Setup

ALONE = "TRC-BAT-001"
TOGETHER = "TRC-BAT-002"
ARRIVALS = "TRC-BAT-003"
REUSE = "TRC-BAT-004"
CHUNKS = "TRC-BAT-005"
SMALL_CACHE = "TRC-BAT-006"
STREAMING = "TRC-BAT-007"
CANCEL = "TRC-BAT-008"
LIMITS = "TRC-BAT-009"
THROUGHPUT = "TRC-BAT-010"
HOOK_CHECK = "TRC-BAT-011"
TENSOR_PARALLEL = "TRC-BAT-012"

REUSES, NEVER_REUSES, RETURNS_BLOCKS, WAITS = "reuses", "never_reuses", "returns_blocks", "waits"
"""Claims that only statistics can show; a backend that tells none is not held to them."""


@dataclass(frozen=True)
class Scenario:
    """Requests to one session, and what must come of them."""

    case: LlmCase
    check_id: str
    rounds: tuple[tuple[int, ...], ...]
    """Numbers of the requests that are put together, round after round. ``after`` counts within a round."""
    refused: frozenset[int] = frozenset()
    """Numbers of requests that must be declined in words."""
    may_refuse: frozenset[int] = frozenset()
    """Numbers of requests that may be declined in words: the limit would cut them short."""
    claims: frozenset[str] = frozenset()

    def taken_as(self, case: LlmCase) -> Scenario:
        """Return the scenario with its case as a backend takes it."""
        return replace(self, case=case)


def scenario(
    name: str,
    check_id: str,
    setup: Setup,
    requests: list[Request],
    *,
    rounds: list[list[int]] | None = None,
    refused: tuple[int, ...] = (),
    may_refuse: tuple[int, ...] = (),
    claims: tuple[str, ...] = (),
) -> Scenario:
    """Return a scenario; without rounds, all requests are put together. Its name tells the setup as well."""
    chosen = rounds if rounds is not None else [list(range(len(requests)))]
    return Scenario(
        LlmCase(f"{name}-{setup.name}", setup, tuple(requests)),
        check_id,
        tuple(map(tuple, chosen)),
        frozenset(refused),
        frozenset(may_refuse),
        frozenset(claims),
    )
