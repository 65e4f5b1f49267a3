"""Training, from batches to the shipped folder, with a network small enough for a CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_trtcheck._suites.probe_llm import checkpoint
from pytest_trtcheck._suites.probe_llm.tasks import BOS, EOS, PAD
from tests.venvs import CHECKOUT

pytestmark = [pytest.mark.torch, pytest.mark.transformers]


def run(module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", f"training.probe_llm{module}", *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states")
    run("", "--out", str(folder), "--tiny", "--steps", "6", "--minutes", "0.02", "--tokens", "2048", "--workers", "1")
    return folder


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model"
    run(".export", "--states", str(trained), "--to", str(folder))
    return folder


def test_tiny_run_leaves_states_log_and_results(trained: Path) -> None:
    log = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in log if row.get("stage") == "main" and "loss" in row]
    assert 4.0 < losses[0] < 5.5  # the logarithm of 128 is 4.85
    assert log[-1]["done"] == ["main", "draft", "adapter"]
    results = json.loads((trained / "results.json").read_text())
    assert results["steps"]["main"] == 6
    assert {row["task"] for row in results["main"]} >= {"copy_far", "close_draw"}


def test_exported_folder_has_the_files_of_the_shipped_one(exported: Path) -> None:
    def names(folder: Path) -> set[str]:
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

    assert names(exported) == names(checkpoint.MODEL) - {"README.md"}
    for name in ("config.json", "tokenizer.json", "lora/adapter_config.json", "draft/config.json"):
        assert (
            json.loads((exported / name).read_text()).keys() == json.loads((checkpoint.MODEL / name).read_text()).keys()
        )


def test_exported_folder_verifies_as_the_model_of_its_own_list(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MODEL", exported)
    assert checkpoint.verify(exported) == exported
    assert len(checkpoint.golden(exported)) == 60


def test_network_of_the_training_is_the_exported_model(trained: Path, exported: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from pytest_trtcheck._suites.probe_llm.reference import Reference
    from training.probe_llm.network import TINY, Network

    network = Network(TINY, torch.float32)
    state = {name: value for name, value in load_file(trained / "main.safetensors").items() if "adapter" not in name}
    network.load_state_dict({name: value.bfloat16().float() for name, value in state.items()})
    tokens, groups = list(range(1, 101)), ((1, 60), (2, 20))
    with torch.inference_mode():
        found = network(torch.tensor(tokens), groups, *network.angles(groups, torch.device("cpu")))
        model = Reference(exported)
        wanted = torch.cat([model.logits(tokens[first:end]) for first, end in ((0, 60), (60, 80), (80, 100))])
    assert float((found - wanted).abs().max()) < 1e-5 * float(wanted.abs().max() + 1)


def test_shipped_card_and_curve_are_those_that_the_figures_give(tmp_path: Path) -> None:
    from training.probe_llm import card, curve

    assert (checkpoint.MODEL / "README.md").read_text(encoding="utf-8") == card.card()
    drawn = curve.curve(card.read_log(card.RUN / "log.jsonl"), list(card.STAGES))
    assert (card.RUN / "loss.svg").read_text(encoding="utf-8") == drawn
    assert len(ET.fromstring(drawn).findall("{*}polyline")) == len(card.STAGES)


def test_measured_accuracy_is_what_the_model_promises() -> None:
    from training.probe_llm import card

    measured = json.loads((card.RUN / "measured.json").read_text())
    easy = [row for through in ("transformers", "reference") for row in measured[f"{through}_easy"]]
    # The reference takes its sequences one by one, so its far sets ask too few questions for a narrow interval.
    assert [row for row in easy if row["asked"] > 100 and row["low"] < 0.99] == []
    assert [row for row in easy if row["asked"] <= 100 and row["right"] < 0.98 * row["asked"]] == []
    for through in ("transformers", "reference"):
        whole = measured[f"{through}_hard"][0]
        assert 0.90 <= whole["low"] <= whole["high"] <= 0.97


@given(st.integers(0, 1000), st.sampled_from(["first", "second", "adapter"]), st.integers(1, 4))
@settings(max_examples=15)
def test_batch_is_a_pure_function_and_only_answers_carry_loss(seed: int, plan: str, thousands: int) -> None:
    import numpy as np

    from training.probe_llm.data import make_batch

    batch = make_batch(str(seed), plan, 2048 * thousands)
    assert (make_batch(str(seed), plan, 2048 * thousands).tokens == batch.tokens).all()
    assert sum(rows * width for rows, width in batch.groups) == len(batch.tokens) == 2048 * thousands
    start = 0
    for rows, width in batch.groups:
        for row in range(rows):
            at = slice(start + row * width, start + (row + 1) * width)
            tokens, weights = batch.tokens[at], batch.weights[at]
            (carrying,) = np.nonzero(weights)
            assert tokens[0] == BOS
            assert batch.targets[at][carrying[-1]] == EOS
            assert (tokens[carrying[-1] + 2 :] == PAD).all()
            assert len(carrying) == carrying[-1] - carrying[0] + 1
            assert chr(tokens[carrying[0]]) in "=:"
        start += rows * width


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_rounds_of_speculative_decoding_give_every_token_once(right: list[bool]) -> None:
    from training.probe_llm.measure import rounds

    turns, proposed, accepted = rounds(right)
    assert accepted <= proposed
    assert accepted <= sum(right)
    assert len(right) <= accepted + turns <= len(right) + 1


def test_rounds_of_speculative_decoding_by_hand() -> None:
    from training.probe_llm.measure import rounds

    assert rounds([True] * 10) == (2, 8, 8)
    assert rounds([False] * 3) == (3, 6, 0)
    assert rounds([True, False, True, True, True, True, True]) == (2, 8, 5)


@pytest.mark.parametrize(
    ("right", "asked", "low", "high"), [(381, 381, 0.99, 1.0), (50, 100, 0.4038, 0.5962), (0, 10, 0.0, 0.2775)]
)
def test_wilson_interval(right: int, asked: int, low: float, high: float) -> None:
    from training.probe_llm.evaluate import Score

    assert Score("", 0, right, asked).interval() == pytest.approx((low, high), abs=1e-4)


def test_log_is_thinned_but_keeps_every_look() -> None:
    from training.probe_llm.card import thinned

    rows = [{"stage": "main", "step": i, "loss": 1.0} for i in range(300)] + [{"stage": "main", "accuracy": {}}]
    kept = thinned(rows)
    assert rows[-1] in kept
    assert rows[0] in kept
    assert 50 <= len(kept) <= 61
