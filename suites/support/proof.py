"""Proof that a suite sees what is wrong and nothing else: implementations run through cases, and a table of detection.

Each case is laid out once for all implementations. Nothing here knows what the cases are about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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

    @property
    def escaped(self) -> list[str]:
        """Names of broken implementations that no case flagged."""
        return [tally.provider for tally in self.broken if not tally.flagged]

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
        yield from table(self.suite_titles, list(map(self._row, self.broken)))
        yield ""
        yield from table(
            ("sound variant", "what it does", "runs", "false alarms", "largest error / allowed", "in"),
            list(map(_sound_row, self.sound)),
        )
        yield ""
        yield from self.summary()

    def _row(self, tally: Tally) -> tuple[str, ...]:
        count = f"{tally.flagged} of {tally.ran}"
        row = (tally.provider, tally.about, count)
        if self.beside:
            other = self.beside[tally.provider]
            row = (*row, "cannot show" if not other.ran else "caught" if other.flagged else "missed")  # type: ignore[assignment]
        return (*row, tally.first or "ESCAPED")

    def summary(self) -> Iterator[str]:
        """Yield what the tables come to: what was caught, by the other criterion too, false alarms, the verdict."""
        caught, count = len(self.broken) - len(self.escaped), len(self.broken)
        what = f"{self.suite_titles[0]}s"
        yield f"this suite: {caught} of {count} {what} caught, {self.cases} cases, seed {self.seeds[0]}"
        if self.beside:
            yield self.words_beside()
        runs = sum(tally.ran for tally in self.sound)
        alarms = sum(tally.flagged for tally in self.sound)
        yield (
            f"sound variants: {alarms} false alarms in {runs} runs of {len(self.sound)} variants, "
            f"seeds {self.seeds[0]} to {self.seeds[-1]}"
        )
        wrong = [f"escaped: {', '.join(self.escaped)}"] if self.escaped else []
        wrong += [f"{tally.provider} flagged in {tally.first}: {tally.words}" for tally in self.sound if tally.flagged]
        yield "the proof holds" if self.holds else f"THE PROOF DOES NOT HOLD; {'; '.join(wrong)}"

    def words_beside(self) -> str:
        """Return what the other criterion saw, in words."""
        raise NotImplementedError


def _sound_row(tally: Tally) -> tuple[str, ...]:
    return tally.provider, tally.about, str(tally.ran), str(tally.flagged), f"{tally.largest:.2f}", tally.largest_in
