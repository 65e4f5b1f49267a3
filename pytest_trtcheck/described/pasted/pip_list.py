"""``pip list``, ``pip list --format=freeze`` and ``pip freeze``; also the package lines inside other outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from urllib.parse import unquote

from pytest_trtcheck.described.pasted.notes import Line, Notes
from pytest_trtcheck.described.vocabulary import UNSPECIFIED, VOCABULARY
from pytest_trtcheck.model.components import COMPONENTS

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}"
_VERSION = r"[0-9][A-Za-z0-9.!+_-]{0,60}"
_PINNED = re.compile(rf"\s*({_NAME})===?({_VERSION})\s*(?:;.*|#.*)?")
_DIRECT = re.compile(rf"\s*({_NAME}) @ (\S+)\s*(?:;.*|#.*)?")
_EDITABLE = re.compile(rf"\s*-e \S*#egg=({_NAME})\S*")
_COLUMNS = re.compile(rf"\s*({_NAME})\s+({_VERSION})(?:\s+\S.*)?")
_HEADER = re.compile(r"\s*Package\s+Version(?:\s.*)?")
_RULE = re.compile(r"\s*-{3,}(?:\s+-{3,})+\s*")
_WHEEL = re.compile(rf"/({_NAME}?)-({_VERSION}?)-[^/-]+-[^/-]+-[^/]+\.whl")

Packages = Mapping[str, tuple[str, Line]]

# Distributions that are a key of their own, beside the component they may also bring.
_OWN_KEYS = {
    "tensorrt-cu12": "tensorrt_cu12",
    "tensorrt-cu12-bindings": "tensorrt_cu12_bindings",
    "vllm-flash-attn": "vllm_flash_attn",
    "pynvml": "pynvml",
    "pybind11": "pybind11",
    "nvidia-nccl-cu11": "nvidia_nccl_cu11",
    "nvidia-nccl-cu12": "nvidia_nccl_cu12",
}
_TENSORRT_CUDA = {"tensorrt-cu12": "12", "tensorrt-cu13": "13"}
# A wheel of one CUDA major each: with two of them installed, the list does not tell which one is loaded.
_ONE_OF = frozenset({"cudnn", "nccl", "cuda_runtime"})
# Parts that bring no library: bindings; and names that only share a module with the component.
_NOT_THE_COMPONENT = frozenset({"cuda-bindings"})


def recognises(text: str) -> bool:
    """Tell whether the text is, for the most part, what pip lists."""
    lines = [line for line in text.splitlines()[:2000] if line.strip()]
    if any(_HEADER.fullmatch(line) and _RULE.fullmatch(after) for line, after in pairwise(lines)):
        return True
    pins = sum(bool(_PINNED.fullmatch(line) or _DIRECT.fullmatch(line) or _EDITABLE.fullmatch(line)) for line in lines)
    comments = sum(line.lstrip().startswith(("#", "-")) for line in lines)
    return pins >= 1 and pins + comments >= 0.8 * len(lines)


def read(lines: Sequence[Line]) -> Notes:
    """Return the packages of the vocabulary with their versions."""
    return notes_of(packages_of(lines))


def packages_of(lines: Sequence[Line]) -> dict[str, tuple[str, Line]]:
    """Return version and line of each package, by its normalised name; the first mention counts."""
    packages: dict[str, tuple[str, Line]] = {}
    in_table = False
    for line in lines:
        if _HEADER.fullmatch(line.text):
            in_table = True
            continue
        found = pinned(line.text)
        if found is None and in_table:
            match = _COLUMNS.fullmatch(line.text)
            found = (match[1], match[2]) if match else None
        if found:
            packages.setdefault(_normal(found[0]), (found[1], line))
    return packages


def pinned(text: str) -> tuple[str, str] | None:
    """Return name and version of one line of pip freeze; the version is unspecified where the line has none."""
    if match := _PINNED.fullmatch(text):
        return match[1], match[2]
    if match := _EDITABLE.fullmatch(text):
        return match[1], UNSPECIFIED
    if match := _DIRECT.fullmatch(text):
        wheel = _WHEEL.search(unquote(match[2]))
        return match[1], wheel[2] if wheel else UNSPECIFIED
    return None


def notes_of(packages: Packages) -> Notes:
    """Return the facts that a set of installed packages states."""
    notes = Notes()
    for component in COMPONENTS:
        if component.key in VOCABULARY:
            _note_component(notes, component.key, component.distributions, packages)
    for name, key in _OWN_KEYS.items():
        if name in packages:
            notes.note(key, *packages[name])
    cudas = [name for name in _TENSORRT_CUDA if name in packages]
    if len(cudas) == 1:
        notes.note("tensorrt_package_cuda", _TENSORRT_CUDA[cudas[0]], packages[cudas[0]][1])
    wheels = sorted(name for name in packages if name.startswith("nvidia-"))
    if wheels:
        notes.note("nvidia_wheels", [f"{name}=={packages[name][0]}" for name in wheels], packages[wheels[0]][1])
    return notes


def _note_component(notes: Notes, key: str, distributions: Sequence[str], packages: Packages) -> None:
    present = [
        name
        for name in distributions
        if name in packages and not name.endswith("-bindings") and name not in _NOT_THE_COMPONENT
    ]
    if not present:
        return
    if key in _ONE_OF and len(present) > 1:
        several = " and ".join(f"{name} {packages[name][0]}" for name in present)
        notes.leave_out(packages[present[0]][1], f"{key}: {several} are both installed")
        return
    notes.note(key, *packages[present[0]])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
