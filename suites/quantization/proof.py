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
from pytest_trtcheck._suites.support.proof import Subject, Tally, Trial, run_through
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import Model, Setup, Where
from pytest_trtcheck.report.columns import GAP, Column, fit
from pytest_trtcheck.rules.load import load_matrix

_UNLIMITED = 10_000
"""Width of a table that nobody shortens."""


@dataclass(frozen=True)
class Proof:
    """What became of broken and of sound quantizations."""

    broken: tuple[Tally, ...]
    sound: tuple[Tally, ...]
    seeds: range

    @property
    def escaped(self) -> list[str]:
        """Broken ones that were missed in some algorithm."""
        return [tally.provider for tally in self.broken if tally.flagged < tally.ran or not tally.ran]

    @property
    def alarms(self) -> list[str]:
        """Sound ones that were flagged."""
        return [tally.provider for tally in self.sound if tally.flagged]

    @property
    def holds(self) -> bool:
        """True when every mistake was seen in every algorithm and nothing else was, and something was run at all."""
        ran = bool(self.broken and self.sound) and all(tally.ran for tally in self.sound)
        return ran and not self.escaped and not self.alarms

    def lines(self) -> Iterator[str]:
        """Yield both tables and what they come to."""
        yield from _table(
            ("broken quantization", "mistake", "caught in", "first by"),
            [
                (one.provider, one.about, f"{one.flagged} of {one.ran}", one.words.partition(":")[0] or "ESCAPED")
                for one in self.broken
            ],
        )
        yield ""
        yield from _table(
            ("sound variant", "what it does", "runs", "false alarms", "largest figure / allowed", "in"),
            [
                (one.provider, one.about, str(one.ran), str(one.flagged), f"{one.largest:.2f}", one.largest_in)
                for one in self.sound
            ],
        )
        yield ""
        runs = sum(one.ran for one in self.broken)
        caught = sum(one.flagged for one in self.broken)
        yield f"{caught} of {runs} broken quantizations caught, {len(self.broken)} mistakes, seed {self.seeds[0]}"
        yield (
            f"{sum(one.flagged for one in self.sound)} false alarms in {sum(one.ran for one in self.sound)} runs of "
            f"{len(self.sound)} sound variants, seeds {self.seeds[0]} to {self.seeds[-1]}; "
            f"alpha {ALPHA:g} for each test, beta {BETA:g}"
        )
        wrong = [f"escaped: {', '.join(self.escaped)}"] if self.escaped else []
        wrong += [f"{one.provider} flagged in {one.first}: {one.words}" for one in self.sound if one.flagged]
        yield "the proof holds" if self.holds else f"THE PROOF DOES NOT HOLD; {'; '.join(wrong)}"


def prove(
    level: Level,
    seeds: range,
    device: str,
    broken: Sequence[Variant] | None = None,
    sound: Sequence[Variant] | None = None,
) -> Proof:
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
    of_broken, of_sound = (tuple(tallies[one.name] for one in subjects) for subjects in (broken, sound))
    return Proof(of_broken, of_sound, seeds)


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


def _table(titles: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    columns = [Column(title, len(title)) for title in titles]
    for line in fit(columns, list(rows), _UNLIMITED):
        yield GAP.join(line).rstrip()
