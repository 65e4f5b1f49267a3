"""What the TensorRT-LLM backend's models declare, release by release: parameters, inputs and outputs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from pytest_trtcheck._suites.serving.pbtxt import Port

TABLE = Path(__file__).parent / "backend_releases.json"
"""Each entry says what a release brought, changed or dropped. Source: the field ``source`` of the file."""

_TENSOR = re.compile(r"(\$\{\w+\}|\w+)\[([-\d,]*)\]( required)?")
_VARIABLE_TYPE = "FP32"
"""What stands for ``${logits_datatype}`` and ``${encoder_input_features_data_type}``: their usual value."""


@dataclass(frozen=True)
class Layout:
    """One model in one release."""

    parameters: frozenset[str]
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))["models"]
    return table


def releases() -> tuple[str, ...]:
    """Return every release that changed something, oldest first."""
    found = {
        step["from"]
        for model in _table().values()
        for part in ("parameters", "tensors")
        for step in model.get(part, ())
    }
    return tuple(sorted(found, key=Version))


def release_for(version: str | None) -> str:
    """Return the newest release of the table that is not newer than a TensorRT-LLM; the newest of all for none."""
    known = releases()
    try:
        wanted = Version(version or known[-1])
    except InvalidVersion:
        return known[-1]
    return next((entry for entry in reversed(known) if Version(entry) <= wanted), known[0])


def models(release: str) -> tuple[str, ...]:
    """Return the models that a release has."""
    return tuple(name for name in _table() if layout(name, release).parameters or layout(name, release).inputs)


@cache
def layout(model: str, release: str) -> Layout:
    """Return what a model declares in a release: all that came up to then and was not dropped."""
    told = _table()[model]
    parameters: set[str] = set()
    for step in _until(told.get("parameters", ()), release):
        parameters |= set(step.get("parameters", ()))
        parameters -= set(step.get("drops_parameters", ()))
    ports: dict[str, dict[str, Port]] = {"inputs": {}, "outputs": {}}
    for step in _until(told.get("tensors", ()), release):
        for side, found in ports.items():
            found.update({name: _port(name, text, side) for name, text in step.get(side, {}).items()})
            for name in step.get(f"drops_{side}", ()):
                found.pop(name, None)
    return Layout(frozenset(parameters), ports["inputs"], ports["outputs"])


def _until(steps: Any, release: str) -> list[dict[str, Any]]:
    return [step for step in steps if Version(step["from"]) <= Version(release)]


def _port(name: str, text: str, side: str) -> Port:
    match = _TENSOR.fullmatch(text)
    assert match, f"{TABLE.name}: {name}: {text}"
    kind = _VARIABLE_TYPE if match[1].startswith("$") else match[1].replace("STRING", "BYTES")
    return Port(
        name, kind, tuple(int(size) for size in match[2].split(",")), optional=side == "inputs" and match[3] is None
    )
