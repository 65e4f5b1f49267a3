"""The proof of the quantization suite: what is broken is caught, what is sound passes, and a false proof is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.cli import main
from pytest_trtcheck.model.level import Level

if TYPE_CHECKING:
    from pytest_trtcheck._suites.quantization.broken import Variant
    from pytest_trtcheck._suites.quantization.proof import QuantizationProof

pytestmark = pytest.mark.torch

INT8 = (("int8_weight_only", ""),)


def few(*names: str) -> list[Variant]:
    """Return variants by name, in one algorithm."""
    from pytest_trtcheck._suites.quantization.broken import BROKEN
    from pytest_trtcheck._suites.quantization.sound import SOUND

    kinds = {kind.name: kind for kind in (*BROKEN, *SOUND)}
    return [
        type(kinds[name].__name__, (kinds[name],), {"setups": INT8, "__doc__": kinds[name].__doc__})() for name in names
    ]


def proven(broken: list[Variant], sound: list[Variant]) -> QuantizationProof:
    from pytest_trtcheck._suites.quantization.proof import prove

    return prove(Level.QUICK, range(1), "cpu", broken, sound)


@pytest.mark.slow
def test_mistakes_are_caught_and_sound_variants_are_not() -> None:
    proof = proven(few("broken_zero_point", "broken_layer_left"), few("sound_ties_away"))
    assert proof.holds
    lines = list(proof.lines())
    assert lines[-1] == "the proof holds"
    assert any(line.startswith("broken_layer_left") and "TRC-QNT-004" in line for line in lines), lines
    assert any("2 of 2 broken quantizations caught" in line for line in lines), lines


@pytest.mark.slow
def test_a_mistake_that_does_not_show_has_escaped_and_a_sound_one_that_is_flagged_is_an_alarm() -> None:
    proof = proven(few("sound_usual"), few("broken_zero_point"))
    assert not proof.holds
    assert (proof.escaped, proof.alarms) == (["sound_usual"], ["broken_zero_point"])
    last = list(proof.lines())[-1]
    assert last.startswith("THE PROOF DOES NOT HOLD; escaped: sound_usual; broken_zero_point flagged in fp32-int8")


@pytest.mark.slow
def test_a_sound_variant_is_judged_with_its_layers_told_too_and_its_largest_figure_is_below_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pytest_trtcheck._suites.quantization import layers

    (tally,) = proven([], few("sound_usual")).sound
    assert (tally.ran, tally.flagged) == (1, 0)
    assert 0 < tally.largest < 1
    monkeypatch.setattr(layers, "MOST", 0.9)
    proof = proven([], few("sound_usual"))
    assert proof.alarms == ["sound_usual"]
    assert proof.sound[0].words.startswith("TRC-QNT-004: ")
    assert proof.sound[0].largest > 1


def test_a_sound_variant_that_refuses_is_an_alarm_and_a_broken_one_that_refuses_has_escaped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pytest_trtcheck._suites.quantization.broken import Variant
    from pytest_trtcheck.providers import Refused

    def refuse(*arguments: object) -> None:
        raise Refused("not today")

    monkeypatch.setattr(Variant, "open", refuse)
    proof = proven(few("broken_zero_point"), few("sound_usual"))
    assert (proof.escaped, proof.alarms) == (["broken_zero_point"], ["sound_usual"])
    assert proof.sound[0].words == "TRC-QNT-001: not today"


def test_a_broken_quantization_is_asked_no_more_after_a_part_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_trtcheck._suites.quantization import bench

    def refuse(*arguments: object) -> None:
        raise AssertionError("asked on")

    monkeypatch.setattr(bench, "distance", refuse)
    monkeypatch.setattr(bench, "_layers", refuse)
    (tally,) = proven(few("broken_scale_axis"), []).broken
    assert (tally.ran, tally.flagged) == (1, 1)
    assert tally.words.startswith("TRC-QNT-001: ")
    assert "asked on" not in tally.words


def test_each_seed_calibrates_on_questions_of_its_own_that_made_no_record_and_all_algorithms_have_their_turn() -> None:
    from pytest_trtcheck._suites.quantization.proof import _setups, _turn
    from pytest_trtcheck._suites.quantization.sound import OtherCalibration
    from training.quantization import CALIBRATIONS

    variant = OtherCalibration()
    seeds = [variant.with_seed(seed).convention.calibration_seed for seed in range(200)]
    assert len(set(seeds)) == 200
    assert min(seeds) >= max(CALIBRATIONS.values())
    found = _setups([variant])
    turns = [setup.name for number in range(1, len(found) + 1) for setup in _turn(found, number)]
    assert {turns.count(setup.name) for setup in found} == {2}


def test_nothing_run_proves_nothing() -> None:
    from pytest_trtcheck._suites.quantization.proof import QuantizationProof

    assert not QuantizationProof((), (), 1, range(1)).holds


def test_mistakes_and_variants_are_many_and_each_says_what_it_is() -> None:
    from pytest_trtcheck._suites.quantization.broken import BROKEN
    from pytest_trtcheck._suites.quantization.cases import SETUPS
    from pytest_trtcheck._suites.quantization.sound import SOUND
    from pytest_trtcheck._suites.support.proof import about

    variants = [kind() for kind in (*BROKEN, *SOUND)]
    assert len(BROKEN) >= 25
    assert len(SOUND) >= 14
    assert len({one.name for one in variants}) == len(variants)
    assert len({about(one) for one in variants}) == len(variants)
    assert all(set(one.setups) <= set(SETUPS) and one.setups for one in variants)
    assert {setup for one in variants[: len(BROKEN)] for setup in one.setups} >= set(SETUPS[:-1])


def test_the_command_takes_the_suite_and_refuses_what_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prove", "quantisation"]) == 4
    assert "quantization" in capsys.readouterr().err
