"""The proof of this suite: broken quantizations must be caught, sound ones must not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pytest_trtcheck._suites.probe_llm.checkpoint import verify
from pytest_trtcheck._suites.probe_llm.proving import due
from pytest_trtcheck._suites.quantization.bench import Task, evaluate
from pytest_trtcheck._suites.quantization.broken import BROKEN, Variant
from pytest_trtcheck._suites.quantization.cases import PARTS, case_of, setups
from pytest_trtcheck._suites.quantization.judge import FAILED, REFUSED
from pytest_trtcheck._suites.quantization.significance import ALPHA, BETA
from pytest_trtcheck._suites.quantization.sound import SOUND, OtherCalibration, Sound
from pytest_trtcheck._suites.support.proof import Proof, Subject, Tally, Trial, in_order, run_through
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import Model, Setup, Where
from pytest_trtcheck.rules.load import load_matrix

_CALIBRATED = 2
"""Algorithms that are calibrated anew with each seed after the first."""


@dataclass(frozen=True)
class QuantizationProof(Proof):
    """What became of broken and of sound quantizations; a case is an algorithm."""

    suite_titles = ("broken quantization", "mistake", "caught in", "first by")
    sound_titles = ("sound variant", "what it does", "runs", "false alarms", "largest figure / allowed", "in")

    def is_caught(self, tally: Tally) -> bool:
        """Tell whether a mistake was seen in every algorithm in which it shows."""
        return 0 < tally.ran == tally.flagged

    def caught_by(self, tally: Tally) -> str:
        """Return the check that saw it first."""
        return tally.words.partition(":")[0]

    def notes(self) -> Iterator[str]:
        """Tell how many algorithms all mistakes come to, and how sure each test is."""
        runs, caught = (sum(getattr(tally, name) for tally in self.broken) for name in ("ran", "flagged"))
        yield f"by algorithm: {caught} of {runs} caught; alpha {ALPHA:g} for each test, beta {BETA:g}"


def prove(
    level: Level,
    seeds: range,
    device: str,
    broken: Sequence[Variant] | None = None,
    sound: Sequence[Variant] | None = None,
) -> QuantizationProof:
    """Run broken quantizations with the first seed where they show; sound ones as they are due.

    Log-probabilities and layers depend on the seed by calibration alone. After the first seed, sound variants answer
    questions in the algorithms that the level has, and calibrations are gone through in some algorithms, in turn.
    """
    broken = [kind() for kind in BROKEN] if broken is None else broken
    sound = [kind() for kind in SOUND] if sound is None else sound
    tallies: dict[str, Tally] = {}
    everything = _setups([*broken, *sound])
    first = _subject(level, device, tuple(PARTS))
    run_through(first, [*broken, *sound], everything, seeds[0], tallies)
    run_further(level, device, sound, seeds, tallies)
    return QuantizationProof(*in_order(tallies, broken, sound), len(everything), seeds)


def run_further(level: Level, device: str, sound: Sequence[Variant], seeds: range, tallies: dict[str, Tally]) -> None:
    """Run sound variants with all seeds but the first, as far as they depend on it, and count in ``tallies``."""
    usual = [setup for setup in _setups(sound) if (setup.quantization, setup.kv_dtype) in setups(level)]
    calibrated = [one for one in sound if isinstance(one, OtherCalibration)]
    answers, rest = (_subject(level, device, parts) for parts in (("easy", "hard"), ("golden", "layers")))
    for number, seed in list(enumerate(seeds))[1:]:
        run_through(answers, [variant for variant, _ in due(sound, ("fp32",), number)], usual, seed, tallies)
        run_through(rest, calibrated, _turn(_setups(calibrated), number), seed, tallies)


def _turn(found: Sequence[Setup], number: int) -> list[Setup]:
    """Return the setups whose turn it is with the seed of this number."""
    return [found[(number * _CALIBRATED + at) % len(found)] for at in range(min(_CALIBRATED, len(found)))]


def _setups(subjects: Sequence[Variant]) -> list[Setup]:
    names = dict.fromkeys(pair for subject in subjects for pair in subject.setups)
    return [Setup("fp32", quantization, kv_dtype) for quantization, kv_dtype in names]


def _subject(level: Level, device: str, parts: tuple[str, ...]) -> Subject[Setup, Variant]:
    """Return these parts of the suite as what is to be proven."""
    matrix, folder, where = load_matrix(), verify(), Where(device)
    model = Model(folder, folder / "lora", folder / "draft")

    def lay_out(setup: Setup, seed: int) -> Callable[[Variant], Trial]:
        def trial_of(subject: Variant) -> Trial:
            drawn = subject.with_seed(seed)
            is_sound = isinstance(drawn, Sound)
            task = Task(drawn, setup, parts, level, seed, where, model, until_failed=not is_sound)
            found = list(evaluate(task, matrix).items())
            if isinstance(drawn, Sound) and "layers" in parts:
                found += evaluate(replace(task, backend=drawn.telling(), parts=("layers",)), matrix).items()
            # What a sound variant refused was not judged.
            wrong = {FAILED, REFUSED} if is_sound else {FAILED}
            failed = [f"{PARTS[part]}: {one.judgement.message}" for part, one in found if one.judgement.state in wrong]
            ratios = [one.judgement.ratio for _, one in found if one.judgement.ratio is not None]
            return Trial(bool(failed), failed[0] if failed else "", max(ratios, default=None))

        return trial_of

    return Subject(lambda setup: setup.name, lambda subject, setup: _shows(subject, setup, where), lay_out)


def _shows(subject: Variant, setup: Setup, where: Where) -> bool:
    return not subject.why_not(case_of("golden", setup), where)
