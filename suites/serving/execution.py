"""Run one check, once more where the machine and not the server was at fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.serving.checking import FAULTS, Check
from pytest_trtcheck._suites.serving.pulse import STARVED_SECONDS, Pulse
from pytest_trtcheck._suites.serving.starting import STARVED

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.bench import Bench
    from pytest_trtcheck.model.report import Measurement


@dataclass
class Ran:
    """What became of a check that ran."""

    wrong: str = ""
    """What is wrong with the server, in one line; empty for nothing."""
    figures: list[Measurement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a reader should know though it passed."""
    known: list[str] = field(default_factory=list)
    """Known behaviours of the server that it met."""


def execute(check: Check, bench: Bench) -> Ran:
    """Run a check, and again on fresh servers if a stub was called dead while this process itself got no CPU.

    NotRun and UnusableError pass through.
    """
    ran, stood_still = _once(check, bench)
    if not ran.wrong or stood_still < STARVED_SECONDS or not _may_be_starved(ran.wrong, bench):
        return ran
    bench.discard()
    again, _ = _once(check, bench)
    again.notes.append(f"run twice: the machine stood still for {stood_still:.1f} s and {ran.wrong[:200]}")
    return again


def _once(check: Check, bench: Bench) -> tuple[Ran, float]:
    bench.known.clear()
    bench.facts.clear()
    ran = Ran()
    with Pulse() as pulse:
        try:
            ran.figures.extend(check.run(bench))
        except FAULTS as error:
            ran.wrong = bench.with_death(str(error))
    ran.notes, ran.known = list(bench.facts), list(bench.known)
    return ran, pulse.longest


def _may_be_starved(words: str, bench: Bench) -> bool:
    """Say whether it reads like a stub that got no CPU: called dead, or a server that died of one that came back."""
    return any(mark in words for mark in STARVED) or bool(bench.deaths())
