"""Parsers of field values. Each knows the shapes it was written for and raises ShapeError at any other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matrix.derive.reader import Parser, ShapeError


@dataclass(frozen=True)
class Parsed:
    """A value whose text said more than the value keeps."""

    value: Any
    note: str


def kept(value: Any, text: object) -> Parsed:
    """Return the value with the source text as a note."""
    return Parsed(value, f"source text: {text}")


def pattern(regex: str, form: str = "{0}", *, note: bool = True) -> Parser:
    """Return a parser that wants the whole text to match; a text that says more than the value goes to the note."""
    compiled = re.compile(regex)

    def parse(value: Any) -> Any:
        match = compiled.fullmatch(value) if isinstance(value, str) else None
        if not match:
            raise ShapeError(f"expected {regex}, found {value!r}")
        result = form.format(*match.groups())
        return kept(result, value) if note and result != value else result

    return parse


def of_type(*types: type) -> Parser:
    """Return a parser that takes a value of these types as it is."""

    def parse(value: Any) -> Any:
        if type(value) not in types:
            raise ShapeError(f"expected {types}, found {value!r}")
        return value

    return parse


def table(known: Mapping[Any, Any]) -> Parser:
    """Return a parser for prose: each text that may occur, with its value."""

    def parse(value: Any) -> Any:
        if value not in known:
            raise ShapeError(f"expected one of {sorted(map(str, known))}, found {value!r}")
        result = known[value]
        return result if isinstance(result, Parsed) or result == value else kept(result, value)

    return parse


def either(*parsers: Parser) -> Parser:
    """Return a parser that tries several."""

    def parse(value: Any) -> Any:
        errors = []
        for parser in parsers:
            try:
                return parser(value)
            except ShapeError as error:  # noqa: PERF203 - the loop is the point
                errors.append(str(error))
        raise ShapeError(" | ".join(errors))

    return parse


def listed(parser: Parser) -> Parser:
    """Return a parser of a list; notes of its items are joined."""

    def parse(value: Any) -> Any:
        if not isinstance(value, list):
            raise ShapeError(f"expected a list, found {value!r}")
        values, notes = [], []
        for item in value:
            result = parser(item)
            if isinstance(result, Parsed):
                notes.append(result.note)
                result = result.value
            if result not in values:
                values.append(result)
        return Parsed(values, "; ".join(notes)) if notes else values

    return parse


TEXT = of_type(str)
BOOL = of_type(bool)
TEXTS = listed(TEXT)
DATE = pattern(r"(20\d\d-\d\d-\d\d)")
DOTTED = r"\d+(?:\.\d+)*"
VERSION = pattern(rf"({DOTTED})")
VERSIONS = listed(VERSION)
RANGE = pattern(rf"((?:[<>]=?|==){DOTTED}(?:,(?:[<>]=?|==){DOTTED})*)")
EXACT = pattern(rf"==({DOTTED})", note=False)
DPKG = either(VERSION, pattern(rf"({DOTTED})-\d+(?:\+cuda[\d.]+)?"))
PACKAGE = pattern(r"([0-9][0-9a-z.]*(?:\+[0-9a-z.]+)?)")
PACKAGES = listed(PACKAGE)
PYTHON = pattern(r"(3\.\d+)")
PYTHONS = listed(PYTHON)
FAMILY = pattern(r"(\d+\.x)")
MONTH = pattern(r"(\d\d\.\d\d)")
DRIVER_BRANCH = pattern(r"R(\d+)", note=False)


def capability(value: Any) -> str:
    """Return 90, "sm_90", "90" or "9.0" as 9.0."""
    match = re.fullmatch(r"(?:sm_)?(?:(\d{1,2})\.(\d)|(\d{1,2})(\d))", str(value))
    if not match or isinstance(value, float):
        raise ShapeError(f"expected a compute capability, found {value!r}")
    return f"{match[1] or match[3]}.{match[2] or match[4]}"


CAPABILITIES = listed(capability)


def capability_remark(value: Any) -> Any:
    """Return the capability that a remark like ``100 (B200)`` begins with, the rest as a note."""
    match = re.fullmatch(r"(\d+(?:\.\d)?)( .+)?", str(value))
    if not match:
        raise ShapeError(f"expected a compute capability and a remark, found {value!r}")
    parsed = capability(match[1])
    return kept(parsed, value) if match[2] else parsed


def toolkit(value: Any) -> str:
    """Return 12.1u1 as 12.1.1, and a version or family as it is."""
    match = re.fullmatch(r"(\d+\.\d+)(?:u(\d+))?|(\d+\.\d+\.\d+|\d+\.x)", str(value))
    if not match:
        raise ShapeError(f"expected a CUDA release like 12.1u1, found {value!r}")
    if match[3]:
        return match[3]
    return f"{match[1]}.{match[2]}" if match[2] else match[1]


def branch_range(text: str) -> str:
    """Return ``R470>=470.57`` or ``470.57`` as a range that stays in its driver branch."""
    match = re.fullmatch(r"(?:R(\d+)>=)?((\d+)\.\d+(?:\.\d+)?)", text)
    if not match or (match[1] and match[1] != match[3]):
        raise ShapeError(f"expected a driver branch and its floor, found {text!r}")
    return f">={match[2]},<{int(match[3]) + 1}"


def compatible_release(text: str) -> str:
    """Return ``~=3.8.0`` as a range over dotted versions."""
    match = re.fullmatch(rf"~=(({DOTTED})\.\d+)", text)
    return f">={match[1]},==.{match[2]}.*".replace("==.", "==") if match else text
