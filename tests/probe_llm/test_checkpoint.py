"""The model folder: whole, small enough, of shapes that kernels take; and what is said when it is not whole."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from pytest_trtcheck._suites.probe_llm import checkpoint
from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL, verify
from pytest_trtcheck.errors import ProbeModelError


def refusal(folder: Path) -> str:
    with pytest.raises(ProbeModelError) as caught:
        verify(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def test_sockets_are_denied_here() -> None:
    with pytest.raises(AssertionError, match="tried to use the network"):
        socket.create_connection(("127.0.0.1", 9), timeout=1)


def test_installed_model_is_whole() -> None:
    assert verify() == MODEL


def test_copy_of_the_model_is_the_model(copied: Path) -> None:
    assert verify(copied) == copied


def test_everything_together_is_ten_megabytes_at_most() -> None:
    assert sum(path.stat().st_size for path in MODEL.rglob("*") if path.is_file()) <= 10_000_000


@pytest.mark.parametrize("name", ["config.json", "lora/adapter_model.safetensors", "golden/prompts.json"])
def test_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    assert f": {name}: missing;" in refusal(copied)


def test_one_changed_bit_is_damage(copied: Path) -> None:
    path = copied / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert ": model.safetensors: damaged: SHA-256" in refusal(copied)


def test_cut_file_is_damage_with_both_sizes(copied: Path) -> None:
    path = copied / "draft" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    assert ": draft/model.safetensors: damaged: 1708712 bytes expected, found 1000;" in refusal(copied)


def test_several_problems_are_counted(copied: Path) -> None:
    (copied / "config.json").unlink()
    (copied / "tokenizer.json").unlink()
    assert "(and 1 more" in refusal(copied)


def test_file_of_another_model_is_foreign(copied: Path) -> None:
    (copied / "pytorch_model.bin").write_bytes(b"")
    assert ": pytorch_model.bin: foreign" in refusal(copied)


def test_folder_of_something_else_is_foreign(tmp_path: Path) -> None:
    (tmp_path / "weights.gguf").write_bytes(b"")
    assert "foreign: none of its" in refusal(tmp_path)


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "nowhere")


def test_folder_in_place_of_a_file(copied: Path) -> None:
    (copied / "config.json").unlink()
    (copied / "config.json").mkdir()
    assert ": config.json: " in refusal(copied)


@pytest.mark.parametrize("text", [None, "[", "[]", '{"config.json": 3}', "{}"])
def test_unreadable_list_is_named(copied: Path, text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MODEL", copied)
    (copied / "checksums.json").unlink()
    if text is not None:
        (copied / "checksums.json").write_text(text)
    assert "checksums.json" in refusal(copied)


@pytest.mark.parametrize("part", [".", "draft"])
def test_shapes_are_those_that_kernels_take(part: str) -> None:
    config = json.loads((MODEL / part / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["head_dim"] == 64
    assert config["num_attention_heads"] == 2 * config["num_key_value_heads"]
    assert config["hidden_size"] % 128 == config["intermediate_size"] % 128 == 0
    assert config["vocab_size"] % 64 == 0
    assert config["max_position_embeddings"] >= 2048


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "generation_config.json"])
def test_draft_model_has_the_tokens_of_the_main_model(name: str) -> None:
    assert (MODEL / name).read_bytes() == (MODEL / "draft" / name).read_bytes()
