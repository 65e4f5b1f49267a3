"""What was run, and the one report that every renderer writes from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pytest_trtcheck.model.facts import Stack
from pytest_trtcheck.model.finding import Finding

SCHEMA_VERSION = 1


class Outcome(str, Enum):
    """Outcome of a planned check; exactly one."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not_run"
    ERROR = "error"
    """Crash, hang or a bug of the check itself."""


class Reason(str, Enum):
    """Why a planned check did not run."""

    MISSING_COMPONENT = "missing_component"
    NO_GPU = "no_gpu"
    TOO_LITTLE_MEMORY = "too_little_memory"
    FILTERED = "filtered"
    """Deselected by -k, -m, --lf, --deselect or another plugin."""
    STOPPED = "stopped"
    """The run ended before its turn: -x, --maxfail, an interrupt."""
    WAIVED = "waived"
    TIME_BUDGET = "time_budget"
    LEVEL = "level"
    """The level leaves it out."""
    NOT_APPLICABLE = "not_applicable"
    UNDECIDED = "undecided"
    """It ran, and the facts or the matrix cannot tell."""
    SKIPPED = "skipped"
    """Skipped by pytest.skip or a mark, in the words of ``message``."""


class RunVerdict(str, Enum):
    """Verdict of a whole run."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Result:
    """One planned check and how it ended."""

    name: str
    """Stable and unique in a run: check id and parameters, ``TRC-DRV-001-torch``."""
    check_id: str
    suite: str
    """``stack``, ``attention`` …"""
    nodeid: str
    outcome: Outcome
    reason: Reason | None = None
    """Set exactly when the outcome is NOT_RUN."""
    message: str = ""
    """One line."""
    text: str = ""
    """Long text: traceback, captured output."""
    seconds: float = 0.0
    started: str = ""
    """ISO time with zone; empty when it never started."""
    worker: str = ""
    memory_left_bytes: int | None = None
    """GPU memory in use after the check beyond that before it, by the driver; None where no GPU was used."""
    allocator_left_bytes: int | None = None
    """The same by torch's allocator; None where torch did not use a GPU."""

    def __post_init__(self) -> None:
        """Give a reason to a check that did not run, and to no other."""
        if (self.outcome is Outcome.NOT_RUN) != (self.reason is not None):
            raise ValueError(f"{self.name}: outcome {self.outcome.value} with reason {self.reason}")


@dataclass(frozen=True)
class Isolation:
    """Where checks ran, and what that cost."""

    mode: str = "not_needed"
    """``workers``; ``in_process``, where a crash would have ended the run; ``not_needed``: nothing native ran."""
    workers: tuple[str, ...] = ()
    """Each first worker by what it saw: ``gpu0``, ``cpu``."""
    restarts: int = 0
    max_restarts: int | None = None
    notes: tuple[str, ...] = ()
    """What happened to workers, in words, oldest first."""


@dataclass(frozen=True)
class StackRow:
    """One line of the stack table."""

    component: str
    """Key of the stack vocabulary."""
    version: str
    """Version, or ``absent``, ``unreadable``, ``present, version unknown``."""
    where: str
    expected: str
    """What the matrix expects, by the findings that used this fact; empty when it says nothing."""
    state: str
    """Worst finding about it: ``incompatible``, ``unknown``, ``warning``, ``compatible``; empty without one."""


@dataclass(frozen=True)
class MatrixIdentity:
    """Which matrix judged the run."""

    date: str
    """The newest day on which a row's source was read, ISO."""
    digest: str
    """SHA-256 over all rows after overlays, first 12 hex digits."""
    rows: int
    overlays: tuple[str, ...] = ()
    """Each overlay folder with what it added and overrode, in words."""


@dataclass(frozen=True)
class RunReport:
    """One run of ``pytest --trtcheck``; renderers compute nothing beyond this."""

    tool_version: str
    started: str
    """ISO time with zone."""
    seconds: float
    profile: str
    level: str
    fail_on: str
    matrix: MatrixIdentity
    stack: Stack
    table: tuple[StackRow, ...]
    findings: tuple[Finding, ...]
    results: tuple[Result, ...]
    verdict: RunVerdict
    verdict_reasons: tuple[str, ...]
    """Why the verdict is what it is, most weighty first."""
    not_looked_at: tuple[str, ...]
    """What this run did not look at, in words."""
    exit_status: int
    isolation: Isolation = Isolation()
    schema_version: int = SCHEMA_VERSION
