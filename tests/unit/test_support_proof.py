"""Running implementations through cases and counting, whatever the cases are about; and the command's arguments."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_trtcheck._suites.support.proof import Subject, Tally, Trial, run_through
from pytest_trtcheck.cli import main


class Times:
    """Multiplies by a number.

    Nothing else.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.name = f"times_{factor:g}"


def _subject(laid_out: list[tuple[int, int]]) -> Subject[int, Times]:
    def lay_out(case: int, seed: int) -> Callable[[Times], Trial]:
        laid_out.append((case, seed))
        return lambda provider: Trial(provider.factor != 2, f"got {provider.factor * case:g}", provider.factor / 2)

    return Subject(str, lambda provider, case: provider.factor != 3 or case > 1, lay_out)


def test_each_case_is_laid_out_once_for_all_and_counted_for_each() -> None:
    laid_out: list[tuple[int, int]] = []
    tallies: dict[str, Tally] = {}
    run_through(_subject(laid_out), [Times(2), Times(3)], [1, 2, 3], 7, tallies)
    assert laid_out == [(1, 7), (2, 7), (3, 7)]
    assert tallies["times_2"] == Tally("times_2", "Multiplies by a number.", ran=3, largest=1.0, largest_in="1")
    three = tallies["times_3"]
    assert (three.ran, three.flagged, three.first, three.words) == (2, 2, "2", "got 6")


def test_enough_is_enough_and_a_case_that_nobody_needs_is_not_laid_out() -> None:
    laid_out: list[tuple[int, int]] = []
    tallies: dict[str, Tally] = {}
    run_through(_subject(laid_out), [Times(4)], [1, 2, 3], 0, tallies, enough=2)
    assert laid_out == [(1, 0), (2, 0)]
    assert tallies["times_4"].flagged == 2


def test_seeds_add_up() -> None:
    tallies: dict[str, Tally] = {}
    for seed in range(3):
        run_through(_subject([]), [Times(2)], [1, 2], seed, tallies)
    assert tallies["times_2"].ran == 6


@pytest.mark.parametrize("seeds", ["0", "-1", "many", "1e3", "²", "100001"])
def test_a_count_of_seeds_that_is_none_is_wrong_usage(seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "attention", f"--seeds={seeds}"]) == 4
    assert "--seeds" in capsys.readouterr().err


def test_without_torch_the_command_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pytest_trtcheck.cli import prove

    monkeypatch.setattr(prove, "find_spec", lambda name: None)
    assert main(["prove", "attention"]) == 4
    error = capsys.readouterr().err
    assert "expected torch" in error
    assert "found none: install it" in error
