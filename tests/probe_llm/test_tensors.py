"""The reader of safetensors files on whole and on damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
from pytest_trtcheck._suites.probe_llm.tensors import read_tensors
from pytest_trtcheck.errors import ProbeModelError

pytestmark = pytest.mark.torch


def stored(header: Any, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


ENTRY = {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]}
WHOLE = stored({"__metadata__": {"format": "pt"}, "w": ENTRY}, b"\0\0\x80\x3f\0\0\0\x40")


def test_tensor_is_read_with_type_and_shape(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(WHOLE)
    [(name, tensor)] = read_tensors(tmp_path / "w").items()
    assert (name, str(tensor.dtype), tensor.tolist()) == ("w", "torch.float32", [[1.0], [2.0]])


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "I4"},
        {"dtype": []},
        {"shape": [3]},
        {"shape": [-2, -1]},
        {"shape": ["x"]},
        {"shape": 2},
        {"data_offsets": [0]},
        {"data_offsets": [8, 16]},
        {"data_offsets": [-8, 0]},
        {"data_offsets": [0, 1e400]},
    ],
)
def test_tensor_that_does_not_fit_is_named(tmp_path: Path, entry: dict[str, Any]) -> None:
    (tmp_path / "w").write_bytes(stored({"w": {**ENTRY, **entry}}, b"\0" * 8))
    with pytest.raises(ProbeModelError, match="tensor 'w' does not fit"):
        read_tensors(tmp_path / "w")


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 8, b"\xff" * 40, WHOLE[:20], stored([], b""), b"\2" + b"\0" * 7 + b"{]"]
)
def test_header_that_is_none_is_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "w").write_bytes(data)
    with pytest.raises(ProbeModelError, match="not a whole safetensors file") as caught:
        read_tensors(tmp_path / "w")
    assert "\n" not in str(caught.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProbeModelError, match="cannot be read: No such file"):
        read_tensors(tmp_path / "w")


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), st.integers(0, len(WHOLE)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_never_escapes_as_another_error(tmp_path: Path, at: int, byte: int, length: int) -> None:
    data = bytearray(WHOLE)
    data[at] = byte
    (tmp_path / "w").write_bytes(data[:length])
    try:
        tensors = read_tensors(tmp_path / "w")
    except ProbeModelError:
        return
    assert all(tensor.numel() <= len(WHOLE) for tensor in tensors.values())


@pytest.mark.transformers
@pytest.mark.parametrize(
    "name", ["model.safetensors", "lora/adapter_model.safetensors", "golden/log_probs.safetensors"]
)
def test_reader_agrees_with_the_library(name: str) -> None:
    from safetensors.torch import load_file

    mine, theirs = read_tensors(MODEL / name), load_file(MODEL / name)
    assert mine.keys() == theirs.keys()
    assert all(mine[key].dtype == theirs[key].dtype and bool((mine[key] == theirs[key]).all()) for key in theirs)
