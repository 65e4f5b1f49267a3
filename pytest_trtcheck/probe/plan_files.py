"""TensorRT engines on disk: the header of a plan, and what TensorRT-LLM wrote beside it. TensorRT is not needed.

Of a plan only the header is known that ``trtexec --getPlanVersionOnly`` reads: the tag ``ftrt``, a format number, and
for format 0 the release that built it in bytes 24 to 27. What GPU it is for is told by no public source, so it is not
told here. Source: NVIDIA/TensorRT, samples/common/sampleEngines.cpp, printPlanVersion.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.probe.root import Kind, ReadError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_trtcheck.probe.root import Root

SUFFIXES = (".engine", ".plan")
TAG = b"ftrt"
HEADER_BYTES = 28
CONFIG_LIMIT_BYTES = 4 << 20
MAX_PREFIX_BYTES = 1 << 20
_MAJORS = range(5, 31)
_MAX_TEXT = 200

# Where TensorRT-LLM's builder puts what a reader asks for first; see BuildConfig and PretrainedConfig of its releases.
_LLM_FIELDS = {
    "architecture": ("pretrained_config", "architecture"),
    "dtype": ("pretrained_config", "dtype"),
    "quant_algo": ("pretrained_config", "quantization", "quant_algo"),
    "kv_cache_quant_algo": ("pretrained_config", "quantization", "kv_cache_quant_algo"),
    "world_size": ("pretrained_config", "mapping", "world_size"),
    "tp_size": ("pretrained_config", "mapping", "tp_size"),
    "pp_size": ("pretrained_config", "mapping", "pp_size"),
    "max_batch_size": ("build_config", "max_batch_size"),
    "max_seq_len": ("build_config", "max_seq_len"),
    "max_num_tokens": ("build_config", "max_num_tokens"),
    "max_beam_width": ("build_config", "max_beam_width"),
}


@dataclass(frozen=True)
class PlanFile:
    """One serialized engine."""

    path: str
    size_bytes: int
    tensorrt: str | None = None
    """Release that built it, ``10.9.0.34``; None when the header does not tell."""
    note: str = ""
    """Why the release is not known."""
    prefix_bytes: int = 0
    """Length of what an exporter put before the plan: Ultralytics writes a length and JSON."""


@dataclass(frozen=True)
class EngineFolder:
    """What TensorRT-LLM's builder wrote: ``config.json`` beside ``rank0.engine``."""

    path: str
    tensorrt_llm: str | None = None
    """Release that built it."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    ranks: int = 0
    note: str = ""


def is_plan_name(name: str) -> bool:
    """Say whether a file is named like an engine."""
    return name.endswith(SUFFIXES)


def read_plan(root: Root, path: str) -> PlanFile:
    """Return what the header of an engine tells; never raises for what is in the file."""
    try:
        size = root.size(path)
        start = root.read_start(path, HEADER_BYTES)
        prefix = _prefix(start, size)
        if prefix:
            with root.open(path) as file:
                file.seek(prefix)
                start = file.read(HEADER_BYTES)
    except (ReadError, OSError) as error:
        return PlanFile(shown(path), 0, note=getattr(error, "reason", str(error)))
    version, note = parse_header(start)
    return PlanFile(shown(path), size, version, note, prefix)


def parse_header(start: bytes) -> tuple[str | None, str]:
    """Return the release that built a plan and, where it is not told, why."""
    if len(start) < HEADER_BYTES:
        return None, f"cut short: {len(start)} bytes, a plan's header alone takes {HEADER_BYTES}"
    if not start.startswith(TAG):
        return None, f"no TensorRT plan: it begins with {start[:4].hex()}, a plan with {TAG.hex()}"
    layout = int.from_bytes(start[4:8], "little")
    if layout != 0:
        return None, f"a plan of header format {layout}; where format 0 keeps the release is known, no other"
    if start[24] not in _MAJORS:
        return None, f"its header names TensorRT {start[24]}, which is no release"
    return ".".join(map(str, start[24:28])), ""


def read_engine_folder(root: Root, folder: str) -> EngineFolder | None:
    """Return what ``config.json`` beside ``rank*.engine`` tells; None where there are no such files."""
    try:
        names = {entry.name for entry in root.listdir(folder) if entry.kind is not Kind.FOLDER}
    except ReadError:
        return None
    ranks = sum(name.startswith("rank") and name.endswith(".engine") for name in names)
    if not ranks or "config.json" not in names:
        return None
    path = f"{folder.rstrip('/')}/config.json"
    try:
        config = json.loads(root.read_text(path, CONFIG_LIMIT_BYTES))
    except (ReadError, ValueError, RecursionError) as error:
        note = f"{shown(path)}: {error.reason if isinstance(error, ReadError) else 'no JSON document'}"
        return EngineFolder(shown(folder), ranks=ranks, note=note)
    version = _at(config, ("version",))
    fields = {name: value for name, keys in _LLM_FIELDS.items() if (value := _at(config, keys)) is not None}
    note = "" if isinstance(version, str) else f"{shown(path)} names no version of TensorRT-LLM"
    return EngineFolder(shown(folder), version if isinstance(version, str) else None, fields, ranks, note)


def _prefix(start: bytes, size: int) -> int:
    """Return how long a JSON prefix is, its own length included; 0 where there is none."""
    length = int.from_bytes(start[:4], "little")
    has_one = start[4:5] == b"{" and 0 < length <= min(MAX_PREFIX_BYTES, size - 4)
    return 4 + length if has_one and not start.startswith(TAG) else 0


def _at(value: Any, keys: tuple[str, ...]) -> Any:
    """Return the plain value under these keys, text cut short; None when there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, str):
        return shown(value[:_MAX_TEXT])
    return value if isinstance(value, int) else None
