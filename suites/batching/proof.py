"""The proof of this suite: broken backends must be caught, with log-probabilities and without; sound ones never."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_trtcheck._suites.batching.broken import BROKEN
from pytest_trtcheck._suites.batching.broken.base import Variant
from pytest_trtcheck._suites.batching.cases import scenarios_in
from pytest_trtcheck._suites.batching.judge import run_scenario
from pytest_trtcheck._suites.batching.scenarios import Scenario
from pytest_trtcheck._suites.batching.sound import SOUND
from pytest_trtcheck._suites.probe_llm.bench import Bench, TroubleError
from pytest_trtcheck._suites.probe_llm.planning import with_log_probs
from pytest_trtcheck._suites.probe_llm.proving import dtypes_of, due
from pytest_trtcheck._suites.support.proof import Proof, Subject, Tally, Trial, in_order, run_through
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import Where

ENOUGH = 1
"""So many failing cases show that a mistake is seen; it is not run any more."""


@dataclass(frozen=True)
class BatchingProof(Proof):
    """What became of broken backends, by tokens alone too, and of sound variants."""

    suite_titles = ("broken backend", "mistake", "cases that fail", "by tokens alone", "first caught in")

    def notes(self) -> Iterator[str]:
        """Tell what tokens alone show."""
        seen = sum(bool(tally.flagged) for tally in self.beside.values())
        yield f"by tokens alone, without log-probabilities and statistics: {seen} of {len(self.beside)}"


def prove(
    level: Level,
    seeds: range,
    device: str,
    broken: Sequence[Variant] | None = None,
    sound: Sequence[Variant] | None = None,
) -> BatchingProof:
    """Run broken backends with the first seed, with log-probabilities and without; sound variants as they are due."""
    broken = [made() for made in BROKEN] if broken is None else broken
    sound = [made() for made in SOUND] if sound is None else sound
    tallies, blunt = dict[str, Tally](), dict[str, Tally]()
    for seed in seeds:
        bench = _References(device)
        for variant, dtype in due(sound, dtypes_of(device), seed - seeds[0]):
            run_through(bench.subject(), [variant], scenarios_in(dtype, level, seed), seed, tallies)
        if seed == seeds[0]:
            chosen = telling_first(scenarios_in(dtypes_of(device)[0], level, seed))
            for variant in broken:
                run_through(bench.subject(), [variant], chosen, seed, tallies, ENOUGH)
                run_through(bench.subject(is_blunt=True), [variant], chosen, seed, blunt, enough=1)
    count = len(scenarios_in("fp32", level, seeds[0]))
    return BatchingProof(*in_order(tallies, broken, sound), count, seeds, blunt)


def telling_first(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """Return scenarios with the special setups first: there most mistakes show, and some nowhere else."""
    backwards = list(scenarios)[::-1]
    return sorted(backwards, key=lambda found: found.case.name.startswith("all_at_once"))


@dataclass
class _References:
    """Sessions and references of one seed."""

    device: str
    bench: Bench = field(default_factory=Bench)

    def subject(self, *, is_blunt: bool = False) -> Subject[Scenario, Variant]:
        """Return this suite as what is to be proven; a blunt one sees neither log-probabilities nor statistics."""
        where = Where(self.device)

        def lay_out(scenario: Scenario, seed: int) -> Callable[[Variant], Trial]:  # noqa: ARG001
            taken = scenario if is_blunt else scenario.taken_as(with_log_probs(scenario.case))
            return lambda variant: self.trial(taken, variant, where, is_blunt=is_blunt)

        return Subject(lambda found: found.case.name, lambda made, found: not made.why_not(found.case, where), lay_out)

    def trial(self, scenario: Scenario, variant: Variant, where: Where, *, is_blunt: bool) -> Trial:
        """Run one scenario on one variant."""
        setup = scenario.case.setup
        statistics = _nothing if is_blunt else self.bench.statistics
        try:
            self.bench.open(variant, setup, where)
            oracle = self.bench.oracle(setup.dtype, self.device)
            judgement = run_scenario(scenario, oracle, self.bench.generate, statistics)
        except TroubleError as trouble:
            return Trial(True, trouble.words)
        return Trial(bool(judgement.problems), judgement.message(), judgement.largest)


def _nothing() -> Mapping[str, float]:
    return {}
