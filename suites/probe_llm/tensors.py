"""Reads safetensors files with torch alone: an image under test may lack the library.

A file is the length of a JSON header (8 bytes, little endian), the header, then the tensors' bytes. All is checked
before torch sees it, so a damaged file gives one sentence.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.errors import ProbeModelError

if TYPE_CHECKING:
    from torch import Tensor

TYPES = {"BF16": ("bfloat16", 2), "F16": ("float16", 2), "F32": ("float32", 4), "F64": ("float64", 8)}
"""torch's name and the bytes of each type that the probe model may use."""

LARGEST_HEADER = 1 << 20


def _damaged(path: Path, found: str) -> ProbeModelError:
    return ProbeModelError(f"{path}: not a whole safetensors file: {found}; install pytest-trtcheck anew")


def _header(path: Path, data: bytearray) -> dict[str, Any]:
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(len(data) - 8, LARGEST_HEADER):
        raise _damaged(path, f"{len(data)} bytes cannot hold the header it announces")
    try:
        header = json.loads(data[8 : 8 + size].decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"its header is not JSON ({type(error).__name__})") from error
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not a JSON object")
    return {name: entry for name, entry in header.items() if name != "__metadata__"}


def _span(entry: Any, room: int) -> tuple[str, tuple[int, ...], int] | None:
    """Return torch's name of the type, shape and first byte; None if the entry is wrong or leaves the file."""
    try:
        name, width = TYPES[entry["dtype"]]
        shape = tuple(int(n) for n in entry["shape"])
        first, end = (int(n) for n in entry["data_offsets"])
    except (KeyError, OverflowError, TypeError, ValueError):
        return None
    fits = min(shape, default=1) > 0 and first >= 0 and end <= room and end - first == width * math.prod(shape)
    return (name, shape, first) if fits else None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name."""
    import torch

    try:
        data = bytearray(path.read_bytes())
    except OSError as error:
        raise ProbeModelError(f"{path}: cannot be read: {error.strerror}; install pytest-trtcheck anew") from error
    start = 8 + int.from_bytes(data[:8], "little")
    out = {}
    for name, entry in _header(path, data).items():
        span = _span(entry, len(data) - start)
        if span is None:
            raise _damaged(path, f"tensor {name[:80]!r} does not fit type, shape and place that its header gives")
        kind, shape, first = span
        flat = torch.frombuffer(data, dtype=getattr(torch, kind), count=math.prod(shape), offset=start + first)
        out[name] = flat.view(shape).clone()
    return out
