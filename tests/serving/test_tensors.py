"""Tensors of the protocol: there and back, and bytes that are none."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_trtcheck._suites.serving.checks.inference import VALUES
from pytest_trtcheck._suites.serving.tensors import FORMATS, TensorError, from_json, pack, tensor, to_json, unpack


@pytest.mark.parametrize("kind", VALUES)
def test_raw_bytes_carry_every_type(kind: str) -> None:
    sent = tensor("X", kind, VALUES[kind])
    found = unpack("X", kind, sent.shape, pack(sent))
    assert found.shape == sent.shape
    if kind == "FP16":
        assert found.values == pytest.approx(sent.values, abs=3e-8)
    else:
        assert found.values == sent.values


@given(st.sampled_from([*FORMATS, "BYTES", "STRING", ""]), st.lists(st.integers(-3, 9)), st.binary(max_size=64))
def test_any_bytes_give_a_tensor_or_our_error(kind: str, shape: list[int], raw: bytes) -> None:
    try:
        found = unpack("X", kind, shape, raw)
    except TensorError:
        return
    assert len(found.values) == math.prod(shape)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "X", "datatype": "INT32", "shape": [2, 2], "data": [1, 2, 3]}, "needs 4 values, found 3"),
        ({"name": "X", "datatype": "INT32", "shape": "2", "data": [1]}, "no shape: '2'"),
        ({"name": "X", "datatype": "INT32", "shape": [1 << 40], "data": []}, "are more than"),
    ],
)
def test_an_answer_whose_parts_do_not_go_together_is_refused(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(TensorError, match=words):
        from_json(entry)


def test_a_string_that_is_cut_off_is_refused() -> None:
    whole = pack(tensor("X", "BYTES", [b"abc", b""]))
    assert unpack("X", "BYTES", [2], whole).values == (b"abc", b"")
    for length in (1, 5, len(whole) - 1):
        with pytest.raises(TensorError, match=r"cut off|are left|needs 2 values"):
            unpack("X", "BYTES", [2], whole[:length])


def test_what_json_cannot_carry_is_refused() -> None:
    with pytest.raises(TensorError, match="FP16 has no form in JSON"):
        to_json(tensor("X", "FP16", [1.0]))


def test_nested_json_is_flattened() -> None:
    found = from_json({"name": "X", "datatype": "BYTES", "shape": [2, 1], "data": [["a"], ["b"]]})
    assert found.values == (b"a", b"b")
