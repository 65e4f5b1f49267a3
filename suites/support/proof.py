"""Proof that a suite sees what is wrong and nothing else: implementations run through cases, and a table of detection.

Each case is laid out once for all implementations. Nothing here knows what the cases are about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Protocol, TypeVar

from pytest_trtcheck.report.columns import table

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


def in_order(
    tallies: Mapping[str, Tally], broken: Sequence[Named], sound: Sequence[Named]
) -> tuple[tuple[Tally, ...], tuple[Tally, ...]]:
    """Return what became of broken implementations and of sound ones, each in the order given."""
    of_broken, of_sound = (tuple(tallies[one.name] for one in providers) for providers in (broken, sound))
    return of_broken, of_sound


@dataclass(frozen=True)
class Proof:
    """What became of broken implementations and of sound variants."""

    broken: tuple[Tally, ...]
    sound: tuple[Tally, ...]
    cases: int
    seeds: range
    beside: dict[str, Tally] = field(default_factory=dict)
    """Broken implementations under another criterion, by name; empty where there is none."""

    suite_titles: ClassVar[tuple[str, ...]] = ("broken", "mistake", "cases that fail", "first caught in")
    """Titles of the table of broken implementations; one before the last names the other criterion."""
    sound_titles: ClassVar[tuple[str, ...]] = (
        *("sound variant", "what it does", "runs", "false alarms", "largest error / allowed", "in"),
    )
    """Titles of the table of sound variants; without the last two where nothing is measured."""

    def is_caught(self, tally: Tally) -> bool:
        """Tell whether a broken implementation was seen often enough: once, unless the suite asks for more."""
        return tally.flagged > 0

    @property
    def escaped(self) -> list[str]:
        """Names of broken implementations that were not caught."""
        return [tally.provider for tally in self.broken if not self.is_caught(tally)]

    @property
    def alarms(self) -> list[str]:
        """Names of sound variants that some case flagged."""
        return [tally.provider for tally in self.sound if tally.flagged]

    @property
    def holds(self) -> bool:
        """True when every mistake was seen and nothing else was, and something was run at all."""
        ran = bool(self.broken and self.sound and self.cases) and all(tally.ran for tally in self.sound)
        return ran and not self.escaped and not self.alarms

    def lines(self) -> Iterator[str]:
        """Yield both tables and what they come to."""
        if self.preface():
            yield self.preface()
            yield ""
        yield from table(self.suite_titles, list(map(self._broken_row, self.broken)))
        yield ""
        width = len(self.sound_titles)
        yield from table(self.sound_titles, [_sound_row(tally)[:width] for tally in self.sound])
        yield ""
        yield from self.summary()

    def preface(self) -> str:
        """Return what has to be known before the tables are read, on one line; empty for nothing."""
        return ""

    def _broken_row(self, tally: Tally) -> tuple[str, ...]:
        row = [tally.provider, tally.about, f"{tally.flagged} of {tally.ran}"]
        if self.beside:
            other = self.beside[tally.provider]
            row.append("cannot show" if not other.ran else "caught" if other.flagged else "missed")
        return (*row, self.caught_by(tally) or "ESCAPED")

    def caught_by(self, tally: Tally) -> str:
        """Return what goes below the last title: by default the first case in which the mistake was seen."""
        return tally.first

    def summary(self) -> Iterator[str]:
        """Yield what the tables come to: what was caught, false alarms, what the suite adds, the verdict."""
        caught, count = len(self.broken) - len(self.escaped), len(self.broken)
        what = f"{self.suite_titles[0]}s"
        yield f"this suite: {caught} of {count} {what} caught, {self.cases} cases, seed {self.seeds[0]}"
        runs = sum(tally.ran for tally in self.sound)
        alarms = sum(tally.flagged for tally in self.sound)
        yield (
            f"sound variants: {alarms} false alarms in {runs} runs of {len(self.sound)} variants, "
            f"seeds {self.seeds[0]} to {self.seeds[-1]}"
        )
        yield from self.notes()
        yield "the proof holds" if self.holds else f"THE PROOF DOES NOT HOLD; {'; '.join(self._faults())}"

    def _faults(self) -> Iterator[str]:
        """Yield why the proof does not hold."""
        missed = ", ".join(_told(tally) for tally in self.broken if not self.is_caught(tally))
        if missed:
            yield f"escaped: {missed}"
        yield from (f"{one.provider} flagged in {one.first}: {one.words}" for one in self.sound if one.flagged)
        yield from (f"{one.provider} was never run" for one in self.sound if not one.ran)
        if not (self.broken and self.sound and self.cases):
            yield "it takes broken implementations, sound ones and cases"

    def notes(self) -> Iterator[str]:
        """Yield what else is to be told below the counts: what another criterion saw, what could not run."""
        yield from ()


def _told(tally: Tally) -> str:
    """Return who escaped, with what was said all the same."""
    return tally.provider if tally.flagged or not tally.words else f"{tally.provider} ({tally.words})"


def _sound_row(tally: Tally) -> tuple[str, ...]:
    return tally.provider, tally.about, str(tally.ran), str(tally.flagged), f"{tally.largest:.2f}", tally.largest_in
