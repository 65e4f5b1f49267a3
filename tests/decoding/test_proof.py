"""The proof of the decoding suite: mistakes are caught where they show, sound variants pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck.cli import main
from pytest_trtcheck.model.level import Level

if TYPE_CHECKING:
    from pytest_trtcheck._suites.decoding.cases import DecodingCase
    from pytest_trtcheck._suites.decoding.proof import DecodingProof

pytestmark = pytest.mark.torch

PROOF = "pytest_trtcheck._suites.decoding.proof"


def known() -> dict[str, Any]:
    from pytest_trtcheck._suites.decoding.broken import BROKEN
    from pytest_trtcheck._suites.decoding.sound import SOUND

    variants: list[Any] = [*BROKEN, *SOUND]
    return {made().name: made for made in variants}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """All cases but those that draw much."""
    from pytest_trtcheck._suites.decoding.cases import SAMPLED, cases

    def chosen(level: Level, dtype: str, seed: int) -> tuple[DecodingCase, ...]:
        return tuple(case for case in cases(level, dtype, seed) if case.kind != SAMPLED or case.name == "top_k_2")

    monkeypatch.setattr(f"{PROOF}.cases", chosen)
    monkeypatch.setattr(f"{PROOF}.dtypes_of", lambda device: ("fp32",))


def proven(broken: tuple[str, ...], sound: tuple[str, ...]) -> DecodingProof:
    from pytest_trtcheck._suites.decoding.proof import prove

    return prove(Level.QUICK, range(1), "cpu", [known()[one]() for one in broken], [known()[one]() for one in sound])


def test_mistakes_and_variants_are_many_and_each_says_what_it_is() -> None:
    from pytest_trtcheck._suites.decoding.broken import BROKEN
    from pytest_trtcheck._suites.decoding.sound import SOUND
    from pytest_trtcheck._suites.support.proof import about

    assert len(BROKEN) >= 70
    assert len(SOUND) >= 20
    variants: list[Any] = [*BROKEN, *SOUND]
    made = [variant() for variant in variants]
    assert len({variant.name for variant in made}) == len(made)
    assert len({about(variant) for variant in made}) == len(made)
    assert all(about(variant).endswith(".") for variant in made)


CAUGHT_IN = {
    "seed_ignored": "seeds",
    "stop_word_one_token_short": "stop_words",
    "bad_words_ignored": "bad_words",
    "penalty_ignored": "repetition_penalty",
    "guide_one_token_late": "repetition_penalty_regex",
    "log_probs_one_token_late": "together",
    "beams_never_meet": "beams",
    "length_penalty_turned_round": "beams_that_end",
    "adapter_reaches_neighbours": "adapter",
    "proposals_accepted_unchecked": "ngram",
    "top_k_one_more": "top_k_2",
}


def test_mistakes_are_first_caught_where_they_show(few: None) -> None:
    proof = proven(tuple(CAUGHT_IN), ("sound_wrong_proposals",))
    assert {tally.provider: tally.first for tally in proof.broken} == CAUGHT_IN
    assert proof.holds


def test_a_mistake_that_does_not_show_has_escaped_and_a_flagged_variant_is_told(few: None) -> None:
    proof = proven(("sound_engine",), ("end_mark_missing",))
    assert not proof.holds
    assert (proof.escaped, proof.alarms) == (["sound_engine"], ["end_mark_missing"])
    told = "\n".join(proof.lines())
    assert "THE PROOF DOES NOT HOLD; escaped: sound_engine; end_mark_missing flagged in ends: request 0" in told


def test_the_command_prints_the_table(
    few: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(f"{PROOF}.BROKEN", (known()["stop_words_ignored"],))
    monkeypatch.setattr(f"{PROOF}.SOUND", (known()["sound_one_proposal"],))
    assert main(["prove", "decoding", "--device", "cpu", "--first-seed", "5"]) == 0
    printed = capsys.readouterr().out
    assert "this suite: 1 of 1 broken backends caught" in printed
    assert printed.endswith("the proof holds\n")
