"""The file of ``--trtcheck-waivers``: YAML or JSON, a list of waivers, held to its keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_trtcheck.described.documents import read_documents, read_text
from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.model.components import BY_KEY, PLATFORM_TITLES
from pytest_trtcheck.model.report import Waiver
from pytest_trtcheck.report.text import one_line
from pytest_trtcheck.verdict.waivers import check_waiver

MAX_WAIVERS = 1000
MAX_TEXT = 500

_REQUIRED = ("check", "reason", "owner", "expires")
_OPTIONAL = ("link", "gpu", "provider")


def read_waivers(path: Path, name: str) -> tuple[Waiver, ...]:
    """Return the waivers of a file, in its order; an empty file has none.

    OptionError or DescribedError, one line that names the file and the entry, for a file that cannot be used.
    """
    entries: list[Any] = []
    for document in read_documents(read_text(path, name), name):
        if document.error is not None:
            raise document.error
        if not isinstance(document.value, list):
            raise _refusal(name, "a list of waivers", type(document.value).__name__)
        entries += document.value
    if len(entries) > MAX_WAIVERS:
        raise _refusal(name, f"at most {MAX_WAIVERS} waivers", str(len(entries)))
    return tuple(_waiver(entry, f"{name}: waiver {number}") for number, entry in enumerate(entries, 1))


def _waiver(entry: Any, place: str) -> Waiver:
    if not isinstance(entry, Mapping):
        raise _refusal(place, f"the keys {', '.join(_REQUIRED)}", "no mapping")
    known = (*_REQUIRED, *_OPTIONAL, "versions")
    for key in entry:
        if key not in known:
            raise _refusal(place, f"one of the keys {', '.join(known)}", repr(key[:60]))
    texts = {key: _text(entry, key, place) for key in (*_REQUIRED, *_OPTIONAL) if entry.get(key) is not None}
    missing = [key for key in _REQUIRED if not texts.get(key)]
    if missing:
        raise _refusal(place, f"the key {missing[0]}", "none")
    fields: dict[str, Any] = {**texts, "versions": _versions(entry.get("versions"), place)}
    waiver = Waiver(**fields)
    fault = check_waiver(waiver)
    if fault:
        raise OptionError(one_line(f"{place}: {fault}", 1000))
    return waiver


def _text(entry: Mapping[str, Any], key: str, place: str) -> str:
    value = entry[key]
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise _refusal(f"{place}: {key}", f"a text of at most {MAX_TEXT} characters", type(value).__name__)
    return one_line(value)


def _versions(value: Any, place: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _refusal(f"{place}: versions", "a range for each component, such as torch: '>=2.9,<2.10'", repr(value))
    for key, wanted in value.items():
        if key not in BY_KEY and key not in PLATFORM_TITLES:
            raise _refusal(f"{place}: versions", "keys of the stack vocabulary, such as torch or driver", repr(key))
        if not isinstance(wanted, str):
            raise _refusal(f"{place}: versions.{key}", "a range such as '>=2.9,<2.10'", type(wanted).__name__)
    return dict(value)


def _refusal(place: str, expected: str, found: str) -> OptionError:
    return OptionError(one_line(f"--trtcheck-waivers: {place}: expected {expected}, found {found}", 1000))
