"""The proof of the attention suite: what is broken is caught, what is sound passes, and a false proof is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.cli import main
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import AttentionCase

if TYPE_CHECKING:
    from pytest_trtcheck._suites.attention.proof import AttentionProof

pytestmark = pytest.mark.torch

PROOF = "pytest_trtcheck._suites.attention.proof"

FEW = (
    AttentionCase("context", "full", "dense", (33, 33), (33, 33), 4, 4, 32, "fp16"),
    AttentionCase("generation", "causal", "paged", (1, 1), (17, 40), 4, 2, 32, "bf16", page_size=16),
)


@pytest.fixture
def few_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{PROOF}.cases", lambda level: FEW)


@pytest.mark.slow
def test_every_broken_kernel_is_caught_at_level_quick_and_no_sound_variant_is_flagged() -> None:
    from pytest_trtcheck._suites.attention.proof import prove

    proof = prove(Level.QUICK, range(1), "cpu", enough=1)
    assert proof.escaped == []
    assert [f"{tally.provider}: {tally.first}: {tally.words}" for tally in proof.sound if tally.flagged] == []
    assert proof.holds
    assert all(tally.ran == proof.cases for tally in proof.sound)


def test_mistakes_and_variants_are_many_and_each_says_what_it_is() -> None:
    from pytest_trtcheck._suites.attention.broken import BROKEN
    from pytest_trtcheck._suites.attention.sound import SOUND
    from pytest_trtcheck._suites.support.proof import about

    kernels = [kernel() for kernel in (*BROKEN, *SOUND)]
    names = [kernel.name for kernel in kernels]
    assert len(BROKEN) >= 34
    assert len(SOUND) >= 8
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    assert len({about(kernel) for kernel in kernels}) == len(kernels)
    assert all(kernel.name.startswith("broken_") for kernel in kernels[: len(BROKEN)])


def test_a_mistake_that_no_case_shows_has_escaped(few_cases: None) -> None:
    proof = _prove(broken="Eager", sound="Blockwise")
    assert not proof.holds
    assert proof.escaped == ["torch_eager"]
    assert "THE PROOF DOES NOT HOLD; escaped: torch_eager" in "\n".join(proof.lines())


def test_a_sound_variant_that_is_flagged_is_told_with_its_case(few_cases: None) -> None:
    proof = _prove(broken="ScaleMissing", sound="ScaleOfHalfHead")
    assert not proof.holds
    assert proof.alarms == ["broken_scale_of_half_head"]
    assert f"broken_scale_of_half_head flagged in {FEW[0].name}" in "\n".join(proof.lines())


def test_broken_kernels_run_once_and_sound_variants_with_every_seed(few_cases: None) -> None:
    proof = _prove(broken="ScaleMissing", sound="Blockwise", seeds=range(5, 8))
    assert proof.holds
    assert (proof.broken[0].ran, proof.sound[0].ran) == (len(FEW), 3 * len(FEW))


def test_a_kernel_that_changes_its_inputs_spoils_nothing_for_the_next(few_cases: None) -> None:
    from pytest_trtcheck._suites.attention.broken.outputs import ChangesKeys, ChangesLengths
    from pytest_trtcheck._suites.attention.proof import prove
    from pytest_trtcheck._suites.attention.providers.eager import Eager

    proof = prove(Level.QUICK, range(1), "cpu", [ChangesKeys(), ChangesLengths()], [Eager()])
    assert [tally.flagged for tally in proof.broken] == [1, 2]
    assert proof.holds


def test_upstream_misses_what_this_suite_catches(few_cases: None) -> None:
    proof = _prove(broken="UniformWeights", sound="Blockwise")
    assert proof.broken[0].flagged
    assert proof.beside["broken_uniform_weights"].ran == len(proof.grid_cases)
    assert not proof.beside["broken_uniform_weights"].flagged


def test_the_command_prints_the_table_and_ends_with_0(
    few_cases: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pytest_trtcheck._suites.attention.broken.logits import ScaleMissing, UniformWeights
    from pytest_trtcheck._suites.attention.sound import Blockwise

    monkeypatch.setattr(f"{PROOF}.BROKEN", (ScaleMissing, UniformWeights))
    monkeypatch.setattr(f"{PROOF}.SOUND", (Blockwise,))
    assert main(["prove", "attention", "--device", "cpu", "--first-seed", "7"]) == 0
    printed = capsys.readouterr().out
    assert "broken_scale_missing" in printed
    assert "this suite: 2 of 2 broken kernels caught, 2 cases, seed 7" in printed
    assert printed.endswith("the proof holds\n")


def test_the_command_ends_with_1_when_a_mistake_escapes(
    few_cases: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pytest_trtcheck._suites.attention.sound import Blocks16, Blockwise

    monkeypatch.setattr(f"{PROOF}.BROKEN", (Blocks16,))
    monkeypatch.setattr(f"{PROOF}.SOUND", (Blockwise,))
    assert main(["prove", "attention", "--device", "cpu"]) == 1
    assert "ESCAPED" in capsys.readouterr().out


def test_a_missing_gpu_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["prove", "attention", "--device", "cuda"]) == 4
    assert "expected a GPU that torch can use, found none" in capsys.readouterr().err


def _prove(broken: str, sound: str, seeds: range = range(1)) -> AttentionProof:
    from pytest_trtcheck._suites.attention import broken as mistakes
    from pytest_trtcheck._suites.attention import sound as variants
    from pytest_trtcheck._suites.attention.proof import prove

    known = {kernel.__name__: kernel for kernel in (*mistakes.BROKEN, *variants.SOUND)}
    return prove(Level.QUICK, seeds, "cpu", [known[broken]()], [known[sound]()])
