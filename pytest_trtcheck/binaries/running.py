"""How GPU code comes to run on a GPU: as it is, compiled by the driver at first use, or not at all.

Source: CUDA C++ programming guide, binary compatibility, PTX compatibility, architecture- and family-specific features;
that Jetson boards take no machine code but their own was measured on an Orin, https://github.com/jax-ml/jax/pull/40492.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from pytest_trtcheck.binaries.fatbin import Code, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

JETSON = frozenset({53, 62, 72, 87, 101, 110})
"""Architectures of boards on which only code of exactly that number runs, and whose code runs nowhere else."""
_RENAMED = {101: 110, 110: 101}
"""One part under two numbers: whether code under the other number runs, no source says."""
_TEXT = re.compile(r"(sm|compute|lto)_(\d{2,3})([af?]?)(?::(\d{1,2}\.\d{1,2}))?")


class How(str, Enum):
    """How a piece of GPU code runs on a GPU, the best first."""

    NATIVE = "native"
    JIT = "jit"
    """The driver compiles PTX when the code is first used."""
    OPEN = "open"
    """Not known: the file does not tell, or no source does."""
    NONE = "none"


class Runs(NamedTuple):
    """How one of several pieces of code runs, and which."""

    how: How
    code: Code | None = None


def parse_code(text: str) -> Code | None:
    """Return the code that ``Code.text`` wrote; None for other text."""
    match = _TEXT.fullmatch(text)
    return Code(Kind(match[1]), int(match[2]), match[3], match[4] or "") if match else None


def architecture_of(capability: str) -> int:
    """Return 90 for ``9.0``; ValueError for what is no compute capability."""
    major, _, minor = capability.partition(".")
    return 10 * int(major) + int(minor or "0")


def runs(codes: Iterable[Code], architecture: int) -> Runs:
    """Return how the best of these, which hold the same kernels, runs on a GPU."""
    known = list(codes)
    native = [code for code in known if _is_native(code, architecture)]
    if native:
        return Runs(How.NATIVE, max(native, key=lambda code: code.number))
    ptx = [code for code in known if code.kind is Kind.PTX and _is_compiled_for(code, architecture)]
    if ptx:
        return Runs(How.JIT, max(ptx, key=lambda code: code.number))
    unsure = next((code for code in known if _is_open(code, architecture)), None)
    return Runs(How.OPEN, unsure) if unsure else Runs(How.NONE)


def _is_native(code: Code, architecture: int) -> bool:
    if code.kind is not Kind.SASS:
        return False
    if code.number == architecture:
        return True
    if code.suffix in {"a", "?"} or {code.number, architecture} & JETSON:
        return False
    return _is_later_minor(code.number, architecture)


def _is_compiled_for(code: Code, architecture: int) -> bool:
    if code.suffix == "a":
        return code.number == architecture
    if code.suffix == "f":
        apart = code.number != architecture and {code.number, architecture} & JETSON
        return not apart and _is_later_minor(code.number, architecture)
    return code.number <= architecture


def _is_open(code: Code, architecture: int) -> bool:
    if _RENAMED.get(code.number) == architecture:
        return code.kind in {Kind.SASS, Kind.PTX}
    return code.kind is Kind.SASS and code.suffix == "?" and _is_later_minor(code.number, architecture)


def _is_later_minor(number: int, architecture: int) -> bool:
    return number // 10 == architecture // 10 and number <= architecture
