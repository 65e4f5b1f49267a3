"""Kinds of cell value. One table says what a cell of each kind may hold, for built-in rows and overlays alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pytest_trtcheck.errors import VersionError
from pytest_trtcheck.model.versions import DottedVersion, PackageVersion, VersionRange

GPU_CLASSES = ("datacenter", "workstation", "consumer", "jetson")

_CAPABILITY = re.compile(r"[1-9]\d?\.\d")
_PYTHON = re.compile(r"3\.\d{1,2}")
_MONTH = re.compile(r"\d{2}\.(0[1-9]|1[0-2])")
_MAJOR = re.compile(r"\d{1,4}")
_FAMILY = re.compile(r"\d{1,4}\.x")
_DATE = re.compile(r"20\d{2}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")


def is_date(value: object) -> bool:
    """Say whether it is an ISO day."""
    return isinstance(value, str) and bool(_DATE.fullmatch(value))


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _matches(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))


def _version(value: object) -> bool:
    return isinstance(value, str) and DottedVersion.try_parse(value) is not None


def _package(value: object) -> bool:
    return isinstance(value, str) and PackageVersion.try_parse(value) is not None


def _range(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return not is_empty(VersionRange.parse(value))
    except VersionError:
        return False


def is_empty(span: VersionRange) -> bool:
    """Say whether no version can lie in the range, as in ``>=13,<12``."""
    exact = [bound for operator, bound, prefix in span.clauses if operator == "==" and not prefix]
    if exact:
        return any(span.admits(bound) is False for bound in exact)
    lows = [(bound, operator == ">") for operator, bound, _ in span.clauses if operator in {">", ">="}]
    highs = [(bound, operator == "<") for operator, bound, _ in span.clauses if operator in {"<", "<="}]
    for operator, bound, prefix in span.clauses:
        if operator == "==" and prefix:
            lows.append((bound, False))
            after = ".".join(map(str, (*bound.parts[:-1], bound.parts[-1] + 1)))
            highs.append((DottedVersion.parse(after), True))
    return any(low > high or (low == high and (a or b)) for low, a in lows for high, b in highs)


def _pin(value: object) -> bool:
    if value is False:
        return True
    if not isinstance(value, str):
        return False
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        SpecifierSet(value)
    except InvalidSpecifier:
        return False
    return True


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_SCALARS: dict[str, tuple[Callable[[object], bool], str]] = {
    "text": (_text, "a text"),
    "optional_text": (lambda value: value is False or _text(value), "a text, or false when there is none"),
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "support": (lambda value: isinstance(value, bool) or value == "partial", 'true, false or "partial"'),
    "int": (_is_int, "a whole number"),
    "number": (lambda value: _is_int(value) or isinstance(value, float), "a number"),
    "date": (is_date, "a day like 2026-11-20"),
    "version": (_version, "a dotted version like 12.9.1"),
    "package": (_package, "a Python package version like 2.7.0"),
    "range": (_range, "a range like >=12.9,<13.1 that holds a version; put a comma between the bounds"),
    "pin": (_pin, "a specifier like ~=10.9.0, or false when not listed"),
    "capability": (_matches(_CAPABILITY), "a compute capability like 9.0"),
    "python": (_matches(_PYTHON), "a Python version like 3.12"),
    "month": (_matches(_MONTH), "a container month like 25.08"),
    "major": (_matches(_MAJOR), "a major version like 12"),
    "family": (
        lambda value: _version(value) or _matches(_FAMILY)(value),
        "a version like 12.1.1 or a family like 13.x",
    ),
    "class": (lambda value: value in GPU_CLASSES, f"one of {', '.join(GPU_CLASSES)}"),
    "abi": (lambda value: value in ("on", "off"), '"on" or "off"'),
}

LISTS = {
    "texts": "text",
    "versions": "version",
    "packages": "package",
    "ranges": "range",
    "capabilities": "capability",
    "pythons": "python",
    "months": "month",
    "majors": "major",
    "families": "family",
    "classes": "class",
}
"""Kinds that are lists, and the kind of their entries."""


def is_kind(kind: str) -> bool:
    """Say whether a kind of that name exists."""
    return kind.removeprefix("map:") in _SCALARS or kind.removeprefix("map:") in LISTS


def problem(kind: str, value: Any) -> tuple[str, str] | None:
    """Return None for a good value, else where inside it the fault lies (``["12.8"][0]``) and what was expected."""
    if kind.startswith("map:"):
        if not isinstance(value, dict):
            return "", "an object"
        inner = kind.removeprefix("map:")
        faults = ((f'["{key}"]', problem(inner, item)) for key, item in value.items())
        return next(((where + fault[0], fault[1]) for where, fault in faults if fault), None)
    if kind in LISTS:
        return _list_problem(LISTS[kind], value)
    accepts, expected = _SCALARS[kind]
    return None if accepts(value) else ("", expected)


def _list_problem(inner: str, value: Any) -> tuple[str, str] | None:
    accepts, expected = _SCALARS[inner]
    if not isinstance(value, list):
        return "", f"a list, each {expected}"
    seen: set[Any] = set()
    for index, item in enumerate(value):
        if not accepts(item):
            return f"[{index}]", expected
        if item in seen:
            return f"[{index}]", "each value once"
        seen.add(item)
    return None
