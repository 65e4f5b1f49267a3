"""The proof of the batching suite: mistakes are caught for the right reason, sound variants pass, the command tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.cli import main
from pytest_trtcheck.model.level import Level

if TYPE_CHECKING:
    from pytest_trtcheck._suites.batching.broken.base import Variant
    from pytest_trtcheck._suites.batching.proof import BatchingProof

pytestmark = pytest.mark.torch

PROOF = "pytest_trtcheck._suites.batching.proof"


def known() -> dict[str, type[Variant]]:
    from pytest_trtcheck._suites.batching.broken import BROKEN
    from pytest_trtcheck._suites.batching.sound import SOUND

    return {made.name: made for made in (*BROKEN, *SOUND)}


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let the proof run these scenarios, in fp32."""
    from pytest_trtcheck._suites.batching import cases

    whole = cases.scenarios_in

    def chosen(dtype: str, level: Level, seed: int) -> list[object]:
        return [entry for entry in whole(dtype, level, seed) if entry.case.name.startswith(names)]

    monkeypatch.setattr(f"{PROOF}.scenarios_in", chosen)
    monkeypatch.setattr(f"{PROOF}.dtypes_of", lambda device: ("fp32",))


def proven(broken: tuple[str, ...], sound: tuple[str, ...]) -> BatchingProof:
    from pytest_trtcheck._suites.batching.proof import prove

    return prove(
        Level.QUICK, range(1), "cpu", [known()[name]() for name in broken], [known()[name]() for name in sound]
    )


def test_mistakes_and_variants_are_many_and_each_says_what_it_is() -> None:
    from pytest_trtcheck._suites.batching.broken import BROKEN
    from pytest_trtcheck._suites.batching.sound import SOUND
    from pytest_trtcheck._suites.support.proof import about

    assert len(BROKEN) >= 70
    assert len(SOUND) >= 20
    made = [variant() for variant in (*BROKEN, *SOUND)]
    assert len({variant.name for variant in made}) == len(made)
    assert len({about(variant) for variant in made}) == len(made)
    assert all(about(variant).endswith(".") for variant in made)


CAUGHT_IN = {
    "stream_doubles": "streaming",
    "reuse_missing": "alike",
    "part_stale": "two_gpus",
    "peer_copy_empty": "two_gpus",
}


def test_mistakes_are_first_caught_where_they_show(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, *(f"{name}-" for name in CAUGHT_IN.values()))
    proof = proven(tuple(CAUGHT_IN), ("sound_blocks_32",))
    assert {tally.provider: tally.first.partition("-")[0] for tally in proof.broken} == CAUGHT_IN
    assert proof.holds
    assert proof.sound[0].flagged == 0
    assert not proof.beside["reuse_missing"].flagged, "only its own statistics show it"


def test_a_mistake_that_does_not_show_has_escaped_and_a_flagged_variant_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only(monkeypatch, "batch2-")
    proof = proven(("sound_engine",), ("end_dropped",))
    assert not proof.holds
    assert (proof.escaped, proof.alarms) == (["sound_engine"], ["end_dropped"])
    told = "\n".join(proof.lines())
    assert "THE PROOF DOES NOT HOLD; escaped: sound_engine; end_dropped flagged in " in told


def test_later_seeds_take_the_first_variant_and_the_others_in_turn_in_every_dtype() -> None:
    from pytest_trtcheck._suites.probe_llm.proving import due

    sound = [known()[name]() for name in ("sound_engine", "sound_double", "sound_fused")]
    found = [[(variant.name, dtype) for variant, dtype in due(sound, ("fp32", "bf16"), number)] for number in range(3)]
    assert found == [
        [("sound_engine", "fp32"), ("sound_double", "fp32"), ("sound_fused", "fp32")],
        [("sound_engine", "bf16"), ("sound_fused", "bf16")],
        [("sound_engine", "fp32"), ("sound_double", "fp32")],
    ]


def test_the_command_prints_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    only(monkeypatch, "batch2-")
    monkeypatch.setattr(f"{PROOF}.BROKEN", (known()["end_dropped"],))
    monkeypatch.setattr(f"{PROOF}.SOUND", (known()["sound_reversed"],))
    assert main(["prove", "batching", "--device", "cpu", "--first-seed", "5"]) == 0
    printed = capsys.readouterr().out
    assert "this suite: 1 of 1 broken backends caught" in printed
    assert "by tokens alone, without log-probabilities and statistics: 1 of 1" in printed
    assert printed.endswith("the proof holds\n")
