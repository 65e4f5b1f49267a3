"""Running implementations through cases and counting, whatever the cases are about; and the command's arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pytest_trtcheck._suites.support.proof import Proof, Subject, Tally, Trial, run_through
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


def tally(name: str, *flagged: bool) -> Tally:
    one = Tally(name, "What it does.")
    for number, flag in enumerate(flagged):
        one.add(f"case {number}", Trial(flag, "words", 0.5))
    return one


@pytest.mark.parametrize(
    ("broken", "sound", "last"),
    [
        ([tally("b", False, True)], [tally("s", False)], "the proof holds"),
        ([tally("b", False), tally("c", True)], [tally("s", False)], "THE PROOF DOES NOT HOLD; escaped: b"),
        ([tally("b")], [tally("s", False)], "THE PROOF DOES NOT HOLD; escaped: b"),
        ([tally("b", True)], [tally("s", False, True)], "THE PROOF DOES NOT HOLD; s flagged in case 1: words"),
        ([tally("b", True)], [tally("s")], "THE PROOF DOES NOT HOLD; s was never run"),
        ([], [], "THE PROOF DOES NOT HOLD; it takes broken implementations, sound ones and cases"),
    ],
)
def test_a_proof_holds_when_all_mistakes_and_nothing_else_were_seen_and_says_why_it_does_not(
    broken: list[Tally], sound: list[Tally], last: str
) -> None:
    proof = Proof(tuple(broken), tuple(sound), 2, range(3, 5))
    assert proof.holds is (last == "the proof holds")
    assert list(proof.lines())[-1] == last


def test_tables_and_counts_are_those_of_the_suite() -> None:
    class Strict(Proof):
        suite_titles = ("broken thing", "mistake", "fails", "first by")
        sound_titles = ("sound thing", "what it does", "runs", "alarms")

        def is_caught(self, tally: Tally) -> bool:
            return tally.flagged == tally.ran

        def preface(self) -> str:
            return "on a stand-in"

        def notes(self) -> Iterator[str]:
            yield "not run: the rest"

    assert list(Strict((tally("b", True, False),), (tally("s", False),), 2, range(3, 5)).lines()) == [
        "on a stand-in",
        "",
        "broken thing  mistake        fails   first by",
        "b             What it does.  1 of 2  case 0",
        "",
        "sound thing  what it does   runs  alarms",
        "s            What it does.  1     0",
        "",
        "this suite: 0 of 1 broken things caught, 2 cases, seed 3",
        "sound variants: 0 false alarms in 1 runs of 1 variants, seeds 3 to 4",
        "not run: the rest",
        "THE PROOF DOES NOT HOLD; escaped: b",
    ]


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
