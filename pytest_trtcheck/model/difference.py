"""What changed between two runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Effect(str, Enum):
    """What a change means."""

    REGRESSION = "regression"
    """Worse than before, beyond noise."""
    IMPROVEMENT = "improvement"
    CHANGE = "change"
    """Different, and neither better nor worse by itself."""


class Aspect(str, Enum):
    """What changed."""

    VERDICT = "verdict"
    VERSION = "version"
    FINDING = "finding"
    RESULT = "result"
    LOST = "lost"
    """A check that was judged before and is not now."""
    ERROR = "error"
    """A measured error against a reference."""
    TIME = "time"
    MEASUREMENT = "measurement"


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was."""

    aspect: Aspect
    name: str
    """Check, finding or component, as both runs call it."""
    before: str
    """In words; empty for what was not there."""
    after: str
    effect: Effect
    words: str = ""
    """What else there is to say, on one line."""


@dataclass(frozen=True)
class Difference:
    """All that changed from one run to another, regressions first."""

    before: str
    """Name of the earlier run."""
    after: str
    compared: int
    """Checks that both runs judged."""
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
    """Why the two cannot be compared in full, in words."""

    @property
    def regressions(self) -> tuple[Change, ...]:
        """The changes for the worse."""
        return tuple(change for change in self.changes if change.effect is Effect.REGRESSION)
