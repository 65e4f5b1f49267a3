"""Reading the sourced facts: every key of an entry must be taken, so that no fact is dropped in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SOURCES = Path(__file__).parent.parent / "sources"
WEAKEST = ("unknown", "derived", "measured", "stated")
_CELL = {"value", "source", "confidence", "note"}


class ShapeError(Exception):
    """A source holds a shape that this script does not know; it is extended by hand, never guessed."""


def load_source(name: str) -> dict[str, Any]:
    """Return a source file; ShapeError when its top is no mapping."""
    # The C loader is ten times faster, and not in every build of PyYAML.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load((SOURCES / name).read_text(encoding="utf-8"), Loader=loader)  # noqa: S506
    if not isinstance(document, dict):
        raise ShapeError(f"{name}: expected a mapping at the top")
    return document


@dataclass(frozen=True)
class Fact:
    """One sourced value."""

    value: Any
    source: str
    confidence: str
    note: str
    path: str

    @property
    def known(self) -> bool:
        """False when the sources do not say."""
        return self.confidence != "unknown"


def is_fact(value: object) -> bool:
    """Say whether a mapping is a sourced value and no group of them."""
    return isinstance(value, dict) and "value" in value and "source" in value


def read_fact(raw: Mapping[str, Any], path: str) -> Fact:
    """Return the fact; ShapeError when it has other keys, or says unknown in one place only."""
    if not is_fact(raw) or set(raw) - _CELL:
        raise ShapeError(f"{path}: expected value, source, confidence and note, found {sorted(raw)}")
    source = raw["source"]
    text = "; ".join(source) if isinstance(source, list) else source
    confidence = raw.get("confidence")
    if not isinstance(text, str) or not text or confidence not in WEAKEST:
        raise ShapeError(f"{path}: expected a source and a confidence, found {source!r}, {confidence!r}")
    if (raw["value"] == "unknown") != (confidence == "unknown"):
        raise ShapeError(f"{path}: value {raw['value']!r} with confidence {confidence}")
    return Fact(raw["value"], text, confidence, str(raw.get("note", "")), path)


class Entry:
    """A mapping of the source whose keys are taken one by one."""

    def __init__(self, raw: Mapping[str, Any], path: str) -> None:
        if not isinstance(raw, dict):
            raise ShapeError(f"{path}: expected a mapping, found {raw!r}")
        self._raw = raw
        self._left = set(raw)
        self.path = path

    def __contains__(self, key: object) -> bool:
        return key in self._raw

    def _take(self, key: str) -> Any:
        if key not in self._raw:
            raise ShapeError(f"{self.path}: expected the key {key}, found {sorted(map(str, self._raw))}")
        self._left.discard(key)
        return self._raw[key]

    def text(self, key: str) -> str:
        """Return a plain text under a key."""
        value = self._take(key)
        if not isinstance(value, str):
            raise ShapeError(f"{self.path}.{key}: expected a text, found {value!r}")
        return value

    def raw(self, key: str) -> Any:
        """Return whatever is under a key."""
        return self._take(key)

    def fact(self, key: str) -> Fact:
        """Return the sourced value under a key."""
        value = self._take(key)
        if not isinstance(value, dict):
            raise ShapeError(f"{self.path}.{key}: expected a sourced value, found {value!r}")
        return read_fact(value, f"{self.path}.{key}")

    def group(self, key: str) -> Entry:
        """Return a mapping under a key."""
        return Entry(self._take(key), f"{self.path}.{key}")

    def entries(self, key: str, name: str) -> Iterator[Entry]:
        """Yield the mappings of a list, each called by the text under ``name``."""
        for raw in self._take(key):
            yield Entry(raw, f"{self.path}.{key}[{raw.get(name)}]")

    def keys(self) -> tuple[str, ...]:
        """Return all keys, in the order of the source."""
        return tuple(self._raw)

    def done(self) -> None:
        """Raise ShapeError for a key that nobody took."""
        if self._left:
            raise ShapeError(f"{self.path}: keys that the script does not know: {sorted(map(str, self._left))}")


def joined(facts: Sequence[Fact]) -> Fact:
    """Return a fact without value that carries all sources and notes of several, and the weakest confidence."""
    sources = dict.fromkeys(part for fact in facts for part in fact.source.split("; "))
    notes = dict.fromkeys(fact.note for fact in facts if fact.note)
    weakest = min((fact.confidence for fact in facts), key=WEAKEST.index)
    return Fact(None, "; ".join(sources), weakest, "; ".join(notes), facts[0].path)


Parser = Callable[[Any], Any]
