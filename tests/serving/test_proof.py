"""The suite catches what is wrong, in the words meant for it, and lets pass what is not."""

from __future__ import annotations

import pytest

from pytest_trtcheck._suites.serving import proof, variants
from pytest_trtcheck._suites.serving.checks import owned_checks
from pytest_trtcheck._suites.serving.proof import ServingProof, prove
from pytest_trtcheck._suites.support.proof import Tally, Trial
from pytest_trtcheck.cli import prove as command
from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.model.level import Level

SOME = (
    "ready-too-early", "errors-as-200", "nothing-fails", "wordless-errors", "frozen-metrics", "doubled-metrics",
    "frozen-statistics", "swapped-answers", "cut-bytes", "lost-event", "broken-off-stream", "stranger",
    "deaf-settings", "forgets-id", "rows-shifted", "stream-mixed", "stream-lost", "stream-final-with-last",
)  # fmt: skip
"""What takes little time: all that fits into one server, a few models and a sound one."""


def everything() -> list[variants.Variant]:
    return [
        *variants.broken_servers(), *variants.broken_models(), *variants.broken_llms(), *variants.sound(),
        *variants.sound_llms(),
    ]  # fmt: skip


def tally(name: str, *flagged: bool) -> Tally:
    one = Tally(name, "")
    for number, flag in enumerate(flagged):
        one.add(f"check-{number}", Trial(flag, "words"))
    return one


def test_variants_have_names_of_their_own_and_checks_that_there_are() -> None:
    names = [one.name for one in everything()]
    assert len(names) == len(set(names)) > 45
    known = {check.name for check in owned_checks()}
    assert {name for one in everything() for name in one.checks} <= known
    assert all(one.about for one in everything())


@pytest.mark.parametrize(
    ("broken", "sound", "holds"),
    [
        ([tally("a", True)], [tally("b", False)], True),
        ([tally("a", False, True)], [tally("b", False)], True),
        ([tally("a", False)], [tally("b", False)], False),
        ([tally("a", True)], [tally("b", False, True)], False),
        ([tally("a", True)], [tally("b")], False),
        ([], [], False),
    ],
)
def test_a_proof_holds_when_all_mistakes_and_nothing_else_were_seen(
    broken: list[Tally], sound: list[Tally], holds: bool
) -> None:
    found = ServingProof(tuple(broken), tuple(sound), 2, range(1), server="tritonserver")
    assert found.holds is holds
    assert ("the proof holds" in list(found.lines())) is holds


def test_without_a_server_it_is_told_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "installation_of", lambda fact: None)
    with pytest.raises(OptionError, match="found none: run in an image that has /opt/tritonserver"):
        prove(Level.QUICK, range(1))
    assert "serving" in command._REFERENCES


@pytest.mark.serving
@pytest.mark.slow
def test_mistakes_are_caught_and_another_way_of_doing_it_is_not() -> None:
    found = prove(Level.QUICK, range(7, 8), only=SOME)
    assert len(found.broken) + len(found.sound) == len(SOME)
    assert found.holds, list(found.lines())


@pytest.mark.serving
@pytest.mark.torch
@pytest.mark.serving_long
def test_the_whole_proof_holds() -> None:
    found = prove(Level.QUICK, range(2))
    assert not found.not_run
    assert found.holds, list(found.lines())
