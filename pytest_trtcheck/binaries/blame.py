"""Who would have defined a symbol that nobody defines: by its namespace, by other copies, by like names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.binaries.demangle import demangle
from pytest_trtcheck.binaries.objects import read_object
from pytest_trtcheck.binaries.surroundings import NEARBY
from pytest_trtcheck.probe.providers import provider_of_library, provider_of_symbol
from pytest_trtcheck.probe.root import ReadError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.binaries.closure import Load, Mapped, Process, Undefined

_PARTS = re.compile(r"_ZN[rVK]*[RO]?")
_MAX_OTHERS = 20
_OLD_STRING = re.compile(r"Ss|Sb[Iw]")


def blamed(undefined: Undefined, load: Load, process: Process) -> dict[str, Any]:
    """Return a symbol with its readable name, who should define it, who does elsewhere, and what is like it."""
    symbol = undefined.symbol
    provider = provider_of_symbol(symbol) or (provider_of_library(undefined.library) if undefined.library else "")
    told: dict[str, Any] = {
        "symbol": shown(symbol), "name": shown(demangle(symbol)), "needed_by": shown(undefined.needed_by),
        "provider": provider,
    }  # fmt: skip
    if undefined.node:
        told |= {"node": shown(undefined.node), "library": shown(undefined.library)}
    near = [mapped for mapped in (*load.scope, *process.visible) if provider_of_library(mapped.path) == provider]
    if provider:
        told["searched"] = [shown(mapped.real) for mapped in near[:_MAX_OTHERS]]
    told["elsewhere"] = list(_elsewhere(symbol, near, process))
    told["is_open"] = any(mapped.found_by == NEARBY for mapped in near) and bool(told["elsewhere"])
    told["like"] = _like(symbol, near)
    if _OLD_STRING.search(symbol) and "cxx11" not in symbol:
        told["old_strings"] = True
    return {name: value for name, value in told.items() if value}


def _elsewhere(symbol: str, near: list[Mapped], process: Process) -> Iterator[str]:
    """Yield further copies on disk of the libraries that should define it, which do define it."""
    others = [path for mapped in near for path in (*mapped.others, *_beside(mapped, process))]
    for path in list(dict.fromkeys(others))[:_MAX_OTHERS]:
        try:
            shared = read_object(process.files, path)
        except ReadError:
            continue
        if shared.symbols.defines(symbol.encode("utf-8", "surrogateescape"), None):
            yield shown(path)


def _beside(mapped: Mapped, process: Process) -> tuple[str, ...]:
    paths = process.around.nearby.get(mapped.path.rpartition("/")[2], ())
    return tuple(path for path in paths if path not in {mapped.path, mapped.real})


def _like(symbol: str, near: list[Mapped]) -> str:
    """Return a function of the same qualified name with other parameters; empty when there is none."""
    prefix = _qualified(symbol)
    if not prefix:
        return ""
    for mapped in near:
        names = mapped.shared.symbols.names
        at = names.find(b"\0" + prefix)
        while at >= 0:
            end = names.find(b"\0", at + 1)
            name = names[at + 1 : end]
            if mapped.shared.symbols.defines(name, None):
                return shown(demangle(name.decode("utf-8", "replace")))
            at = names.find(b"\0" + prefix, end)
    return ""


def _qualified(symbol: str) -> bytes:
    """Return the beginning of a mangled name up to its parameters, ``_ZN3c106DeviceC1E``; nothing for templates."""
    start = _PARTS.match(symbol)
    at = start.end() if start else 0
    while start and symbol[at : at + 1].isdigit():
        digits = re.match(r"\d+", symbol[at:])
        at += len(digits[0]) + int(digits[0]) if digits else 1
    made = re.match(r"[CD]\d", symbol[at:])
    at += 2 if made else 0
    return symbol[: at + 1].encode() if start and symbol[at : at + 1] == "E" else b""
