"""YAML and JSON into plain values that keep every scalar as text, with bounds on size, depth and cleverness.

PyYAML's events are read instead of its loaders: a loader turns 12.10 into the number 12.1, expands aliases without
end, keeps the last of two equal keys in silence, and composes nested nodes by recursion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pytest_trtcheck.described.describe import shown
from pytest_trtcheck.described.errors import DescribedError

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 8
MAX_DOCUMENTS = 100_000

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TEXT_TAG = "tag:yaml.org,2002:str"
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
# The C parser is ten times as fast; both give the same events.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Document:
    """One document of a stream."""

    number: int
    """From 1."""
    line: int
    """Line of the file on which it begins, from 1."""
    value: Any
    """Text, list or dict, scalars always as text; None in a document that is wrong."""
    error: DescribedError | None = None
    """What is wrong with this document; the ones after it are still read."""


class _TooDeepError(DescribedError):
    """Ends the stream: skipping what is nested without end may take as long as reading it."""


def read_text(path: Path, name: str) -> str:
    """Return the text of a file; DescribedError for what is no file, too large or not UTF-8."""
    try:
        if path.is_dir():
            raise DescribedError(name, "a file", "a folder")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DescribedError(name, "a file that can be read", reason) from error
    return decode_text(data, name)


def decode_text(data: bytes, name: str) -> str:
    """Return bytes as text; DescribedError when they are too many or not UTF-8."""
    if len(data) > MAX_BYTES:
        raise DescribedError(name, f"at most {MAX_BYTES // 1024 // 1024} MB", "more")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DescribedError(name, "UTF-8 text", f"byte {data[error.start]:#04x} on line {line}") from error


def read_documents(text: str, name: str) -> Iterator[Document]:
    """Yield the documents of a stream that are not empty.

    A document with an alias, a tag or a duplicate key comes with its error. Malformed YAML and nesting without end
    stop the stream: DescribedError is raised, naming the line.
    """
    try:
        yield from _documents(yaml.parse(text, Loader=_LOADER), name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" on line {mark.line + 1}" if mark is not None else ""
        raise DescribedError(name, "YAML or JSON", _one_line(error.problem or error.context) + line) from None
    except yaml.YAMLError as error:
        raise DescribedError(name, "YAML or JSON", _one_line(str(error))) from None


def _one_line(text: str | None) -> str:
    return _UNPRINTABLE.sub(" ", text.splitlines()[0])[:200] if text else "what no parser takes"


def _line_of(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1


def _documents(events: Iterator[Any], name: str) -> Iterator[Document]:
    number = 0
    for event in events:
        if not isinstance(event, yaml.DocumentStartEvent):
            continue
        number += 1
        if number > MAX_DOCUMENTS:
            raise DescribedError(name, f"at most {MAX_DOCUMENTS} documents", "more")
        line = _line_of(event)
        builder = _Builder(events, f"{name}: document {number}")
        try:
            value = builder.value(next(events), 0)
        except _TooDeepError:
            raise
        except DescribedError as error:
            builder.skip_document()
            yield Document(number, line, None, error)
            continue
        if value is not None:
            yield Document(number, line, value)


class _Builder:
    """Builds the value of one document from its events; the depth bound keeps the recursion small."""

    def __init__(self, events: Iterator[Any], place: str) -> None:
        self.events = events
        self.place = place

    def value(self, event: Any, depth: int) -> Any:
        """Return the value that begins with an event."""
        if isinstance(event, yaml.AliasEvent):
            raise self._error(event, "every value written out", f"the alias *{str(event.anchor)[:40]}")
        if event.anchor is not None:
            raise self._error(event, "every value written out", f"the anchor &{event.anchor[:40]}")
        if event.tag is not None and event.tag != _TEXT_TAG:
            raise self._error(event, "values without tags", f"the tag {shown(event.tag)}")
        if isinstance(event, yaml.ScalarEvent):
            text: str = event.value
            return None if text in _NULLS and event.implicit[0] and event.tag is None else text
        if depth == MAX_DEPTH:
            raise self._error(event, f"at most {MAX_DEPTH} levels of nesting", "more", _TooDeepError)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(depth + 1)
        return self._mapping(depth + 1)

    def skip_document(self) -> None:
        """Read on to the end of the document."""
        for event in self.events:
            if isinstance(event, yaml.DocumentEndEvent):
                return

    def _sequence(self, depth: int) -> list[Any]:
        items = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self.value(event, depth))
        return items

    def _mapping(self, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None or event.tag is not None:
                raise self._error(event, "a plain text as key", "something else")
            key = event.value
            if key in result:
                raise self._error(event, "each key once", f"{shown(key)} twice")
            result[key] = self.value(next(self.events), depth)
        return result

    def _error(
        self, event: Any, expected: str, found: str, kind: type[DescribedError] = DescribedError
    ) -> DescribedError:
        return kind(f"{self.place}, line {_line_of(event)}", expected, found)
