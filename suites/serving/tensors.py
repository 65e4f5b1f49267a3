"""Tensors of the KServe protocol, without NumPy: values as Python numbers and bytes."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMATS: Mapping[str, str] = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
"""Types of the protocol by their format in ``struct``; BYTES is apart."""

NOT_IN_JSON = frozenset({"FP16", "BF16"})
"""JSON has no form for these. Source: Triton's binary tensor data extension."""

MOST_VALUES = 1 << 26


class TensorError(Exception):
    """Shape, type and data of a tensor do not go together."""


@dataclass(frozen=True)
class Tensor:
    """Values in row-major order."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: tuple[Any, ...]
    """Numbers, or bytes where the type is BYTES."""


def tensor(name: str, datatype: str, values: Sequence[Any], shape: Sequence[int] | None = None) -> Tensor:
    """Return a tensor; one row of values where no shape is given."""
    return Tensor(name, datatype, tuple(shape) if shape is not None else (1, len(values)), tuple(values))


def pack(tensor: Tensor) -> bytes:
    """Return the raw bytes of a tensor, little-endian; strings have their length before them."""
    if tensor.datatype == "BYTES":
        return b"".join(struct.pack("<I", len(value)) + value for value in tensor.values)
    return struct.pack(f"<{len(tensor.values)}{FORMATS[tensor.datatype]}", *tensor.values)


def unpack(name: str, datatype: str, shape: Sequence[int], raw: bytes) -> Tensor:
    """Return the tensor that raw bytes hold; TensorError when they hold more, less or something else."""
    count = _count(name, shape)
    values: tuple[Any, ...]
    if datatype == "BYTES":
        values = _strings(name, raw)
    elif datatype in FORMATS:
        form = f"<{count}{FORMATS[datatype]}"
        if struct.calcsize(form) != len(raw):
            raise TensorError(
                f"{name}: shape {list(shape)} of {datatype} needs {struct.calcsize(form)} bytes, found {len(raw)}"
            )
        values = struct.unpack(form, raw)
    else:
        raise TensorError(f"{name}: unknown type {datatype!r:.40}")
    if len(values) != count:
        raise TensorError(f"{name}: shape {list(shape)} needs {count} values, found {len(values)}")
    return Tensor(name, datatype, tuple(shape), values)


def to_json(tensor: Tensor) -> list[Any]:
    """Return the values for a JSON request; TensorError for a type that JSON cannot carry."""
    if tensor.datatype in NOT_IN_JSON:
        raise TensorError(f"{tensor.name}: {tensor.datatype} has no form in JSON")
    return [value.decode() if isinstance(value, bytes) else value for value in tensor.values]


def from_json(entry: Mapping[str, Any]) -> Tensor:
    """Return the tensor of a JSON answer; TensorError when its parts do not go together."""
    name, datatype, shape = str(entry["name"]), str(entry["datatype"]), entry["shape"]
    values = tuple(value.encode() if isinstance(value, str) else value for value in _flat(entry["data"]))
    if len(values) != _count(name, shape):
        raise TensorError(f"{name}: shape {shape} needs {_count(name, shape)} values, found {len(values)}")
    return Tensor(name, datatype, tuple(shape), values)


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        return [data]
    return [value for part in data for value in _flat(part)]


def _count(name: str, shape: Sequence[int]) -> int:
    if not isinstance(shape, (list, tuple)) or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise TensorError(f"{name}: no shape: {shape!r:.60}")
    count = math.prod(shape)
    if count > MOST_VALUES:
        raise TensorError(f"{name}: {count} values are more than {MOST_VALUES}")
    return count


def _strings(name: str, raw: bytes) -> tuple[bytes, ...]:
    values = []
    at = 0
    while at < len(raw):
        if at + 4 > len(raw):
            raise TensorError(f"{name}: cut off inside a length")
        (length,) = struct.unpack_from("<I", raw, at)
        at += 4
        if at + length > len(raw):
            raise TensorError(f"{name}: a string of {length} bytes, {len(raw) - at} are left")
        values.append(raw[at : at + length])
        at += length
    return tuple(values)
