"""The proof of this suite: broken engine providers must be caught by the check that is for them, sound ones never."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_trtcheck._suites.engine.broken import BROKEN
from pytest_trtcheck._suites.engine.cases import cases
from pytest_trtcheck._suites.engine.judge import Bench
from pytest_trtcheck._suites.engine.sound import SOUND
from pytest_trtcheck._suites.engine.standin import Standin
from pytest_trtcheck._suites.support.judgement import FAILED, Judgement
from pytest_trtcheck._suites.support.proof import Proof, Subject, Tally, Trial, in_order, run_through
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers.base import Where
from pytest_trtcheck.providers.engine import EngineCase

WHERE = Where("cpu")
IN_PROCESS = ("numbers", "outside", "repeat", "inspect", "timing_cache", "calibration", "refit", "contexts")
"""What sound variants go through with every seed; a fresh process for each would take minutes."""


@dataclass(frozen=True)
class EngineProof(Proof):
    """What became of broken engine providers and of sound variants."""

    suite_titles = ("broken provider", "mistake", "cases that fail", "first caught in")

    def preface(self) -> str:
        """Say whose engines these are."""
        return "the engines are a stand-in's, run by NumPy: this proves what the suite sees, and nothing of TensorRT"


def prove(
    level: Level,
    seeds: range,
    device: str = "cpu",  # noqa: ARG001 - every suite's proof is asked for one; NumPy has none but this
    broken: Sequence[Standin] | None = None,
    sound: Sequence[Standin] | None = None,
    enough: int | None = None,
) -> EngineProof:
    """Run broken providers with the first seed and sound variants with all.

    A broken provider that was caught ``enough`` times is not run any more.
    """
    broken = [provider() for provider in BROKEN] if broken is None else broken
    sound = [variant() for variant in SOUND] if sound is None else sound
    tallies: dict[str, Tally] = {}
    for seed in seeds:
        providers = [*broken, *sound] if seed == seeds[0] else list(sound)
        run_through(_SUBJECT, providers, cases(level), seed, tallies, enough)
    return EngineProof(*in_order(tallies, broken, sound), len(cases(level)), seeds)


def _lay_out(case: EngineCase, seed: int) -> Callable[[Standin], Trial]:
    """Return what runs one provider through its checks; references are shared."""
    first = Bench(case, Standin(), seed)

    def trial_of(provider: Standin) -> Trial:
        bench = first.of(provider)
        own = getattr(provider, "aspect", None)
        judged = [bench.judge(aspect) for aspect in ([own] if own else aspects_of(case))]
        flagged = [one for one in judged if one.state == FAILED]
        return Trial(bool(flagged), flagged[0].message if flagged else "", max(map(_ratio, judged)))

    return trial_of


def aspects_of(case: EngineCase) -> list[str]:
    """Return the checks that a sound variant goes through."""
    # Ranges between layers follow from the constants, so a calibrated engine is not refitted.
    without = {"refit"} if case.calibrated else {"calibration"}
    return [aspect for aspect in IN_PROCESS if aspect not in without and (aspect != "outside" or case.is_dynamic)]


def _ratio(judgement: Judgement) -> float:
    compared = judgement.comparison
    return compared.error / compared.allowed if compared and compared.error is not None else 0.0


_SUBJECT: Subject[EngineCase, Standin] = Subject(
    lambda case: case.name, lambda provider, case: not provider.why_not(case, WHERE), _lay_out
)
