"""``report.json``, from which everything else can be rendered again; and parts of it on their own.

The parts (a stack, a result) travel between the processes of a distributed run as plain values.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_trtcheck.errors import ReportError
from pytest_trtcheck.model.codec import MAX_TEXT_CHARACTERS, decode, encode, show, valid_unicode
from pytest_trtcheck.model.facts import Stack
from pytest_trtcheck.model.report import SCHEMA_VERSION, Result, RunReport
from pytest_trtcheck.report.text import one_line, truncate

MAX_DOCUMENT_CHARACTERS = 64 * 1024 * 1024


@dataclass(frozen=True)
class StoredReport:
    """A report and the file that it was read from."""

    path: Path
    schema_version: int
    """Of the file; the report is of the current one."""
    report: RunReport


def to_json(report: RunReport) -> str:
    """Return the report as a JSON document, ``schema_version`` first and all keys in a fixed order.

    It is plain ASCII, so that no viewer obeys a control character or a mark in it. Text is kept as found, but for lone
    surrogates, which become U+FFFD, and for texts beyond 64 KiB, which are cleaned and cut in the middle.
    """
    document = {"schema_version": report.schema_version, **_encode(report)}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def from_json(text: str) -> RunReport:
    """Return the report that a JSON document of this or an older schema version holds, as one of the current version.

    Raises ReportError, one line naming the path in the document, for anything that ``to_json`` cannot have written.
    """
    return _report_of(_parsed(text))


def read_report(path: Path) -> StoredReport:
    """Return the report of a file; raise ReportError, one line that begins with the file's name, for any other file."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_DOCUMENT_CHARACTERS + 1)
    except OSError as error:
        raise ReportError(one_line(f"{path}: {error.strerror or error}", 2000)) from error
    return StoredReport(path, *_document_of(data, str(path)))


def report_of_bytes(data: bytes, name: str) -> RunReport:
    """Return the report in the bytes of a file that goes by a name; ReportError like those of ``read_report``."""
    return _document_of(data, name)[1]


def _document_of(data: bytes, name: str) -> tuple[int, RunReport]:
    try:
        document = _parsed(data.decode())
        return document["schema_version"], _report_of(document)
    except UnicodeDecodeError as error:
        raise ReportError(one_line(f"{name}: expected a report.json in UTF-8, found other bytes", 2000)) from error
    except ReportError as error:
        raise ReportError(one_line(f"{name}: {error}", 2000)) from error


def _parsed(text: str) -> dict[str, Any]:
    """Return the document, which has a schema version that can be read."""
    if len(text) > MAX_DOCUMENT_CHARACTERS:
        raise ReportError(
            f"report (top level): expected at most {MAX_DOCUMENT_CHARACTERS} characters, found {len(text)}"
        )
    try:
        document: Any = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ReportError(
            f"report line {error.lineno} column {error.colno}: expected JSON, found {error.msg!r}"
        ) from error
    except (ValueError, RecursionError) as error:
        # Numbers of thousands of digits and nesting of thousands of levels.
        raise ReportError(f"report (top level): expected JSON of a sane size, found {show(str(error))}") from error
    _check_version(document)
    parsed: dict[str, Any] = document
    return parsed


def _report_of(document: dict[str, Any]) -> RunReport:
    # What later versions added has defaults: of an older document no more than the number changes.
    return dataclasses.replace(decode(RunReport, document), schema_version=SCHEMA_VERSION)


def stack_to_dict(stack: Stack) -> dict[str, Any]:
    """Return the stack as plain JSON values."""
    return _encode(stack)


def stack_from_dict(value: object) -> Stack:
    """Return the stack; raise ReportError when the value is none."""
    return decode(Stack, value, "stack")


def result_to_dict(result: Result) -> dict[str, Any]:
    """Return the result as plain JSON values."""
    return _encode(result)


def result_from_dict(value: object) -> Result:
    """Return the result; raise ReportError when the value is none."""
    return decode(Result, value, "result")


def _encode(value: object) -> dict[str, Any]:
    encoded: dict[str, Any] = encode(value, text=_bounded)
    return encoded


def _bounded(text: str) -> str:
    if len(text) <= MAX_TEXT_CHARACTERS:
        return valid_unicode(text)
    return truncate(text, MAX_TEXT_CHARACTERS, MAX_TEXT_CHARACTERS)


def _check_version(document: object) -> None:
    """Refuse what a newer release wrote before its unknown keys are taken for mistakes."""
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ReportError(
            f"report schema_version: expected a whole number from 1 to {SCHEMA_VERSION}, "
            f"found {show(version)}; name a report.json that pytest --trtcheck wrote"
        )
    if version > SCHEMA_VERSION:
        raise ReportError(
            f"report schema_version: expected at most {SCHEMA_VERSION}, found {show(version)}; "
            "a newer pytest-trtcheck wrote this report: upgrade to read it"
        )


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        twice = next(key for at, (key, _) in enumerate(pairs) if any(key == other for other, _ in pairs[:at]))
        raise ReportError(f"report (top level): expected every key once, found {show(twice)} twice in one object")
    return document


def _no_constant(name: str) -> float:
    raise ReportError(f"report (top level): expected finite numbers, found {name}")
