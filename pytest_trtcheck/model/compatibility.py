"""Many runs side by side: which stack passes what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_trtcheck.model.report import RunVerdict

COMPATIBILITY_VERSION = 1
"""Of ``compatibility.json``."""

STATES = ("conflict", "error", "failed", "waived", "passed", "not_run", "")
"""What a cell can say, the first to be told first; the empty one is a gap: no report of that stack knows the row.

In rows of features, passed stands for works, failed for fails, and not_run for refused, not run and not supported.
"""


@dataclass(frozen=True)
class Column:
    """One stack, and the reports that tell of it."""

    name: str
    """What sets it apart from the others, short."""
    kind: str
    """``host``, ``described``, ``root`` or ``image``."""
    image: str
    """Name of the image; empty for what is none."""
    facts: Mapping[str, str]
    """GPU, driver and key versions, by their key in the stack vocabulary, and ``image`` with the image's digest."""
    reports: tuple[str, ...]
    """Names of the reports, in the order in which they were given."""
    verdict: RunVerdict
    verdict_reasons: tuple[str, ...]
    matrices: tuple[str, ...]
    """Date and digest of each version matrix that judged it."""


@dataclass(frozen=True)
class Note:
    """Why a cell is not simply passed."""

    column: int
    """Index of the column, from 0."""
    words: str


@dataclass(frozen=True)
class Row:
    """One check, suite or feature over all stacks."""

    suite: str
    name: str
    """Check, or feature; empty for a suite as a whole."""
    provider: str
    states: tuple[str, ...]
    """One of ``STATES`` for each column, in their order."""
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Conflict:
    """A check that the reports of one stack do not agree on."""

    column: int
    suite: str
    name: str
    told: tuple[str, ...]
    """What each report says: its name, the outcome, the message."""


@dataclass(frozen=True)
class Gap:
    """What ran on some stack and has no answer on this one."""

    column: int
    reason: str
    """``not planned``, or the reason code of what did not run."""
    checks: tuple[str, ...]
    """Names, in the order of the rows."""


@dataclass(frozen=True)
class Compatibility:
    """The compatibility matrix: stacks by checks, suites and features."""

    tool_version: str
    verdict: RunVerdict
    """Rejected when one stack is, accepted when all are."""
    columns: tuple[Column, ...]
    checks: tuple[Row, ...]
    suites: tuple[Row, ...]
    features: tuple[Row, ...]
    conflicts: tuple[Conflict, ...]
    gaps: tuple[Gap, ...]
    left_out: tuple[str, ...] = ()
    """Reports that were given and not counted, each with the reason: duplicates, and files that cannot be read."""
    redacted: bool = False
    """True when host, user, GPU and secrets are masked."""
    schema_version: int = COMPATIBILITY_VERSION
