"""The proof of this suite: broken kernels must be caught, sound variants must not, beside what upstream's grid sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pytest_trtcheck._suites.attention.broken import BROKEN
from pytest_trtcheck._suites.attention.cases import cases
from pytest_trtcheck._suites.attention.sound import SOUND
from pytest_trtcheck._suites.attention.upstream import GRID, GridCase, grid_outcome, make_grid_inputs
from pytest_trtcheck._suites.attention.workbench import Workbench
from pytest_trtcheck._suites.support.judgement import FAILED
from pytest_trtcheck._suites.support.proof import Proof, Subject, Tally, Trial, in_order, run_through
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import AttentionCase, AttentionProvider, Where


@dataclass(frozen=True)
class AttentionProof(Proof):
    """What became of broken kernels, by upstream's grid too, and of sound variants."""

    grid_cases: tuple[GridCase, ...] = ()

    suite_titles = ("broken kernel", "mistake", "cases that fail", "upstream's grid", "first caught in")

    def notes(self) -> Iterator[str]:
        """Tell what upstream's grid saw."""
        there = [tally for tally in self.beside.values() if tally.ran]
        seen = sum(bool(tally.flagged) for tally in there)
        yield (
            f"upstream's criterion: {seen} of the {len(there)} that can show in its grid, {len(self.grid_cases)} of "
            f"its {len(GRID)} cases run here ({_shapes(self.grid_cases)})"
        )


def prove(
    level: Level,
    seeds: range,
    device: str,
    broken: Sequence[AttentionProvider] | None = None,
    sound: Sequence[AttentionProvider] | None = None,
    enough: int | None = None,
) -> AttentionProof:
    """Run broken kernels with the first seed and sound variants with all, and broken kernels through upstream's grid.

    A broken kernel that was caught ``enough`` times is not run any more.
    """
    broken = [kernel() for kernel in BROKEN] if broken is None else broken
    sound = [variant() for variant in SOUND] if sound is None else sound
    subject, tallies = _suite(device), dict[str, Tally]()
    for seed in seeds:
        run_through(subject, [*broken, *sound] if seed == seeds[0] else sound, cases(level), seed, tallies, enough)
    grid_cases = tuple(case for case in GRID if device != "cpu" or _is_small(case))
    grid: dict[str, Tally] = {}
    run_through(_grid(device), broken, grid_cases, seeds[0], grid, enough=1)
    return AttentionProof(*in_order(tallies, broken, sound), len(cases(level)), seeds, grid, grid_cases)


def _suite(device: str) -> Subject[AttentionCase, AttentionProvider]:
    """Return this suite as what is to be proven."""
    bench, where = Workbench(), Where(device)

    def lay_out(case: AttentionCase, seed: int) -> Callable[[AttentionProvider], Trial]:
        bench.lay_out(case, seed, device)
        return trial_of

    def trial_of(provider: AttentionProvider) -> Trial:
        judgement = bench.judge(provider)
        compared = judgement.comparison
        ratio = compared.error / compared.allowed if compared and compared.error is not None else None
        return Trial(judgement.state == FAILED, judgement.message, ratio)

    return Subject(lambda case: case.name, lambda provider, case: not provider.why_not(case, where), lay_out)


def _grid(device: str) -> Subject[GridCase, AttentionProvider]:
    """Return upstream's grid and criterion as what is to be proven."""
    where = Where(device)

    def lay_out(case: GridCase, seed: int) -> Callable[[AttentionProvider], Trial]:
        inputs, expected = make_grid_inputs(case, device, seed * len(GRID) + GRID.index(case))

        def trial_of(provider: AttentionProvider) -> Trial:
            try:
                outcome = grid_outcome(case, provider, inputs, expected)
            except Exception as error:  # noqa: BLE001 - an exception fails upstream's test as well
                return Trial(True, f"{type(error).__name__}: {error}")
            return Trial(not outcome.passed, outcome.describe())

        return trial_of

    return Subject(lambda case: case.name, lambda provider, case: not provider.why_not(case.attention, where), lay_out)


def _is_small(case: GridCase) -> bool:
    """Choose cases that a CPU does in milliseconds: every dtype, both batches, two lengths, all FMHA modes."""
    return case.dtype == "fp32" or (case.head_size == 32 and case.length <= 256 and case.batch * case.length <= 512)


def _shapes(grid_cases: Sequence[GridCase]) -> str:
    """Return what shapes were run, in words."""
    if len(grid_cases) == len(GRID):
        return "all"
    shapes = dict.fromkeys(
        f"{case.batch} x {case.length} x {case.heads} x {case.head_size} {case.dtype}" for case in grid_cases
    )
    return ", ".join(shapes)
