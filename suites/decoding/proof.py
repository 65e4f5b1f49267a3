"""The proof of this suite: broken backends must be caught; sound ones never."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_trtcheck._suites.decoding.broken import BROKEN
from pytest_trtcheck._suites.decoding.cases import SAMPLED, DecodingCase, cases
from pytest_trtcheck._suites.decoding.judge import run_case
from pytest_trtcheck._suites.decoding.sound import SOUND
from pytest_trtcheck._suites.probe_llm.bench import Bench, TroubleError
from pytest_trtcheck._suites.probe_llm.proving import dtypes_of, due
from pytest_trtcheck._suites.support.proof import Proof, Subject, Tally, Trial, in_order, run_through
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import Where

ENOUGH = 1
"""One failing case shows that a mistake is seen."""


@dataclass(frozen=True)
class DecodingProof(Proof):
    """What became of broken backends and of sound variants."""

    suite_titles = ("broken backend", "mistake", "cases that fail", "first caught in")


def prove(
    level: Level, seeds: range, device: str, broken: Sequence[Any] | None = None, sound: Sequence[Any] | None = None
) -> DecodingProof:
    """Run broken backends with the first seed, and sound variants as they are due."""
    broken = [made() for made in BROKEN] if broken is None else broken
    sound = [made() for made in SOUND] if sound is None else sound
    tallies: dict[str, Tally] = {}
    first = dtypes_of(device)[0]
    for seed in seeds:
        bench = _References(device)
        for variant, dtype in due(sound, dtypes_of(device), seed - seeds[0]):
            run_through(bench.subject(), [variant], cases(level, dtype, seed), seed, tallies)
        if seed == seeds[0]:
            # Draws take longest and show least of what others show too: last.
            chosen = sorted(cases(level, first, seed), key=lambda case: case.kind == SAMPLED)
            for variant in broken:
                run_through(bench.subject(), [variant], chosen, seed, tallies, ENOUGH)
    return DecodingProof(*in_order(tallies, broken, sound), len(cases(level, first, seeds[0])), seeds)


@dataclass
class _References:
    """Sessions and references of one seed."""

    device: str
    bench: Bench = field(default_factory=Bench)

    def subject(self) -> Subject[DecodingCase, Any]:
        """Return this suite as what is to be proven."""
        where = Where(self.device)

        def lay_out(case: DecodingCase, seed: int) -> Callable[[Any], Trial]:
            return lambda variant: self.trial(case, variant, where, seed)

        def can_show(variant: Any, case: DecodingCase) -> bool:
            shows = getattr(variant, "can_show", None)
            return not variant.why_not(case.case, where) and (shows is None or shows(case.case))

        return Subject(lambda case: case.name, can_show, lay_out)

    def trial(self, case: DecodingCase, variant: Any, where: Where, seed: int) -> Trial:
        """Run one case on one variant."""
        setup = case.case.setup
        try:
            self.bench.open(variant, setup, where)
            judgement = run_case(case, self.bench.oracle(setup.dtype, self.device), self.bench.generate, seed)
        except TroubleError as trouble:
            return Trial(True, trouble.words)
        return Trial(bool(judgement.problems), judgement.message(), judgement.largest)
