"""Reading JSON documents that a person wrote: every doubt ends in one MatrixError with file, path, wanted and found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pytest_trtcheck.errors import MatrixError

MAX_BYTES = 10 * 1024 * 1024
_SHOWN = 80


class Readable(Protocol):
    """A file of the package or on disk."""

    def open(self, mode: Any = ...) -> Any:
        """Open it."""


def one_line(text: str) -> str:
    """Return the text with everything that is not printable escaped, so that a message stays one line."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def shown(value: object) -> str:
    """Return a short one-line form of a found value."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return one_line(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


class _DuplicateKeyError(ValueError):
    """An object names one key twice."""


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(key)
            seen.add(key)
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"the constant {name}")


def read_bytes(source: Readable, file: str) -> bytes:
    """Return the bytes of a file; MatrixError when it cannot be read or is larger than MAX_BYTES."""
    try:
        with source.open("rb") as stream:
            data: bytes = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise MatrixError(file, "", "a readable file", error.strerror or type(error).__name__) from error
    if len(data) > MAX_BYTES:
        raise MatrixError(file, "", f"at most {MAX_BYTES // 1024 // 1024} MB", "a larger file")
    return data


def parse_document(data: bytes, file: str) -> Any:
    """Return the JSON value; MatrixError for anything that strict JSON in UTF-8 is not."""
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
        # Half of a surrogate pair is legal JSON and breaks every later write.
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise MatrixError(file, "", "UTF-8 text", f"byte {error.start} that is not UTF-8") from error
    except UnicodeEncodeError as error:
        raise MatrixError(file, "", "whole characters", "half of a surrogate pair") from error
    except _DuplicateKeyError as error:
        raise MatrixError(file, "", "each key once in an object", f"{shown(str(error))} twice") from error
    except RecursionError as error:
        raise MatrixError(file, "", "a document of a few levels", "very deep nesting") from error
    except ValueError as error:
        raise MatrixError(file, "", "a JSON document", one_line(str(error))) from error
    return document


@dataclass(frozen=True)
class Node:
    """A value in a document, with the way to it."""

    file: str
    value: Any
    pointer: str = ""

    def fail(self, expected: str, found: str | None = None) -> MatrixError:
        """Return the error to raise."""
        return MatrixError(self.file, self.pointer, expected, shown(self.value) if found is None else found)

    def child(self, key: str | int) -> Node:
        """Return the value under a key or index that is there."""
        if isinstance(key, int):
            return Node(self.file, self.value[key], f"{self.pointer}[{key}]")
        name = key if key.isidentifier() else f"[{shown(key)}]"
        dot = "." if self.pointer and key.isidentifier() else ""
        return Node(self.file, self.value[key], f"{self.pointer}{dot}{name}")

    def expect(self, required: Sequence[str], optional: Sequence[str] = ()) -> Node:
        """Return self; MatrixError unless it is an object with all required keys and no unknown one."""
        value = self.mapping().value
        for key in required:
            if key not in value:
                raise self.fail(f"the key {key}", f"only {', '.join(map(shown, value)) or 'no key'}"[:300])
        unknown = [key for key in value if key not in required and key not in optional]
        if unknown:
            known = ", ".join((*required, *optional))
            raise self.fail(f"only the keys {known}", f"the unknown key {shown(unknown[0])}")
        return self

    def mapping(self) -> Node:
        """Return self; MatrixError unless it is an object."""
        if not isinstance(self.value, dict):
            raise self.fail("an object")
        return self

    def has(self, key: str) -> bool:
        """Say whether the object has the key."""
        return key in self.value

    def children(self) -> Iterator[tuple[str, Node]]:
        """Yield the keys and values of an object."""
        for key in self.mapping().value:
            yield key, self.child(key)

    def items(self) -> Iterator[Node]:
        """Yield the values of a list."""
        if not isinstance(self.value, list):
            raise self.fail("a list")
        for index in range(len(self.value)):
            yield self.child(index)

    def text(self, *, empty: bool = False) -> str:
        """Return a string, not empty unless allowed."""
        if not isinstance(self.value, str) or not (empty or self.value.strip()):
            raise self.fail("a text")
        return self.value

    def texts(self) -> tuple[str, ...]:
        """Return a list of strings."""
        return tuple(item.text() for item in self.items())

    def choice(self, *allowed: str) -> str:
        """Return a string out of a few."""
        if self.value not in allowed:
            raise self.fail(f"one of {', '.join(allowed)}")
        return str(self.value)

    def integer(self, minimum: int) -> int:
        """Return a whole number of at least ``minimum``."""
        if isinstance(self.value, bool) or not isinstance(self.value, int) or self.value < minimum:
            raise self.fail(f"a whole number from {minimum}")
        return self.value

    def exactly(self, wanted: object) -> Node:
        """Return self; MatrixError unless it is that value, of that type."""
        if type(self.value) is not type(wanted) or self.value != wanted:
            raise self.fail(shown(wanted))
        return self


def read_document(source: Readable | Path, file: str) -> Node:
    """Return the top of a JSON document."""
    return Node(file, parse_document(read_bytes(source, file), file))
