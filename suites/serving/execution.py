"""Run one check, once more where the machine and not the server was at fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.serving.checking import FAULTS, Check
from pytest_trtcheck._suites.serving.pulse import STARVED_SECONDS, Pulse
from pytest_trtcheck._suites.serving.starting import STARVED

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.bench import Bench
    from pytest_trtcheck._suites.serving.known import Learner
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
    with Pulse() as pulse:
        ran = execute_once(check, bench)
        if ran.wrong:
            ran.wrong = bench.with_death(ran.wrong)
    return ran, pulse.longest


def execute_once(check: Check, learner: Learner) -> Ran:
    """Run a check on what it is made for."""
    learner.known.clear()
    learner.facts.clear()
    ran = Ran()
    try:
        ran.figures.extend(check.run(learner))
    except FAULTS as error:
        ran.wrong = str(error)
    ran.notes, ran.known = list(learner.facts), list(learner.known)
    return ran


def _may_be_starved(words: str, bench: Bench) -> bool:
    """Say whether it reads like a stub that got no CPU: called dead, or a server that died of one that came back."""
    return any(mark in words for mark in STARVED) or bool(bench.deaths())
