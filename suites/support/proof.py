"""Proof that a suite sees what is wrong and nothing else: implementations run through cases, and a table of detection.

Each case is laid out once for all implementations. Nothing here knows what the cases are about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

CaseT = TypeVar("CaseT")
ProviderT = TypeVar("ProviderT", bound="Named")


class Named(Protocol):
    """An implementation."""

    @property
    def name(self) -> str:
        """What it is called in the table."""


@dataclass(frozen=True)
class Trial:
    """One implementation on one case with one seed."""

    flagged: bool
    """True when the suite says that it is wrong."""
    words: str
    ratio: float | None = None
    """Measured error over what is allowed; None where nothing could be measured."""


@dataclass
class Tally:
    """What became of one implementation."""

    provider: str
    about: str
    """First line of its description."""
    ran: int = 0
    flagged: int = 0
    first: str = ""
    """First case in which it was flagged."""
    words: str = ""
    """What was said of it there."""
    largest: float = 0.0
    """Largest error over what is allowed."""
    largest_in: str = ""

    def add(self, case: str, trial: Trial) -> None:
        """Count one trial."""
        self.ran += 1
        if trial.flagged:
            self.flagged += 1
            if not self.first:
                self.first, self.words = case, trial.words
        if trial.ratio is not None and trial.ratio > self.largest:
            self.largest, self.largest_in = trial.ratio, case


@dataclass(frozen=True)
class Subject(Generic[CaseT, ProviderT]):
    """What a suite hands over to be proven."""

    name_of: Callable[[CaseT], str]
    can_show: Callable[[ProviderT, CaseT], bool]
    """False for a case in which the implementation's mistake changes nothing, and for one out of its reach."""
    lay_out: Callable[[CaseT, int], Callable[[ProviderT], Trial]]
    """Make the inputs and the reference of a case with a seed, and return what runs one implementation on them."""


def run_through(
    subject: Subject[CaseT, ProviderT],
    providers: Sequence[ProviderT],
    cases: Iterable[CaseT],
    seed: int,
    tallies: dict[str, Tally],
    enough: int | None = None,
) -> None:
    """Run implementations through cases and count what became of them in ``tallies``, by name.

    One that was flagged ``enough`` times is not run any more; None runs all.
    """
    for provider in providers:
        tallies.setdefault(provider.name, Tally(provider.name, about(provider)))
    for case in cases:
        due = [provider for provider in providers if subject.can_show(provider, case)]
        due = [provider for provider in due if enough is None or tallies[provider.name].flagged < enough]
        if due:
            name, trial_of = subject.name_of(case), subject.lay_out(case, seed)
            for provider in due:
                tallies[provider.name].add(name, trial_of(provider))


def about(provider: object) -> str:
    """Return the first line of an implementation's description."""
    return (type(provider).__doc__ or "").strip().partition("\n")[0]
