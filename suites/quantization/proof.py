"""The proof of this suite: broken quantizations must be caught, sound ones must not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pytest_trtcheck._suites.probe_llm.checkpoint import verify
from pytest_trtcheck._suites.probe_llm.proving import due
from pytest_trtcheck._suites.quantization.bench import Task, evaluate
from pytest_trtcheck._suites.quantization.broken import BROKEN, Variant
from pytest_trtcheck._suites.quantization.cases import PARTS, case_of, setups
from pytest_trtcheck._suites.quantization.judge import FAILED
from pytest_trtcheck._suites.quantization.significance import ALPHA, BETA
from pytest_trtcheck._suites.quantization.sound import SOUND
from pytest_trtcheck._suites.support.proof import Proof, Subject, Tally, Trial, in_order, run_through
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import Model, Setup, Where
from pytest_trtcheck.rules.load import load_matrix


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

    Log-probabilities and layers do not depend on the seed: after the first one, sound variants answer questions only,
    in the algorithms that the level has.
    """
    broken = [kind() for kind in BROKEN] if broken is None else broken
    sound = [kind() for kind in SOUND] if sound is None else sound
    tallies: dict[str, Tally] = {}
    everything = _setups([*broken, *sound])
    usual = [setup for setup in everything if (setup.quantization, setup.kv_dtype) in setups(level)]
    first = _subject(level, device, tuple(PARTS))
    run_through(first, [*broken, *sound], everything, seeds[0], tallies)
    questions = _subject(level, device, ("easy", "hard"))
    for seed in seeds[1:]:
        chosen = [variant for variant, _ in due(sound, ("fp32",), seed - seeds[0])]
        run_through(questions, chosen, usual, seed, tallies)
    return QuantizationProof(*in_order(tallies, broken, sound), len(everything), seeds)


def _setups(subjects: Sequence[Variant]) -> list[Setup]:
    names = dict.fromkeys(pair for subject in subjects for pair in subject.setups)
    return [Setup("fp32", quantization, kv_dtype) for quantization, kv_dtype in names]


def _subject(level: Level, device: str, parts: tuple[str, ...]) -> Subject[Setup, Variant]:
    """Return these parts of the suite as what is to be proven."""
    matrix, folder, where = load_matrix(), verify(), Where(device)
    model = Model(folder, folder / "lora", folder / "draft")

    def lay_out(setup: Setup, seed: int) -> Callable[[Variant], Trial]:
        def trial_of(subject: Variant) -> Trial:
            verdicts = evaluate(Task(subject, setup, parts, level, seed, where, model), matrix)
            judgements = {part: verdict.judgement for part, verdict in verdicts.items()}
            failed = [f"{PARTS[part]}: {one.message}" for part, one in judgements.items() if one.state == FAILED]
            ratios = [one.ratio for one in judgements.values() if one.ratio is not None]
            return Trial(bool(failed), failed[0] if failed else "", max(ratios, default=None))

        return trial_of

    return Subject(lambda setup: setup.name, lambda subject, setup: _shows(subject, setup, where), lay_out)


def _shows(subject: Variant, setup: Setup, where: Where) -> bool:
    return not subject.why_not(case_of("golden", setup), where)
