"""Rows and cells of the matrix, as rules see them: frozen, and built when they are first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pytest_trtcheck.model.finding import Source
from pytest_trtcheck.rules.kinds import problem
from pytest_trtcheck.rules.strict import Node, shown

CONFIDENCES = ("stated", "derived", "measured", "unknown")


@dataclass(frozen=True)
class Cell:
    """One value of a row, with where it comes from."""

    value: Any
    """None when unknown; lists come as tuples, objects as read-only mappings."""
    source: str
    confidence: str
    note: str
    date: str
    """The day its source was read."""


@dataclass(frozen=True)
class Claim:
    """One side of a contradiction."""

    by: str
    value: Any
    source: str = ""
    confidence: str = ""


@dataclass(frozen=True)
class Contradiction:
    """Sources that disagree; kept, never settled in silence."""

    topic: str
    claims: tuple[Claim, ...]
    used: str
    """Which side the row follows; empty when the sources do not say."""
    rows: tuple[str, ...]
    """Ids of the rows it concerns; empty when it concerns the product as a whole."""


def freeze(value: Any) -> Any:
    """Return the value with lists as tuples and objects as read-only mappings."""
    if isinstance(value, list):
        return tuple(map(freeze, value))
    if isinstance(value, dict):
        return MappingProxyType({key: freeze(item) for key, item in value.items()})
    return value


def build_cell(node: Node, kind: str, date: str, sources: tuple[str, ...]) -> Cell:
    """Return the cell; MatrixError when it breaks its kind. A number as source is an index into ``sources``."""
    node.expect(("value", "source", "confidence"), ("note",))
    source = node.child("source")
    if sources and isinstance(source.value, int) and not isinstance(source.value, bool):
        if not 0 <= source.value < len(sources):
            raise source.fail(f"an index below {len(sources)}")
        document = sources[source.value]
    else:
        document = source.text()
    confidence = node.child("confidence").choice(*CONFIDENCES)
    note = node.child("note").text() if node.has("note") else ""
    value = node.child("value")
    if value.value is None:
        if confidence != "unknown" and not note:
            raise node.fail("a note that says why the value is null", "none")
    else:
        if confidence == "unknown":
            raise value.fail("null, as the confidence is unknown")
        fault = problem(kind, value.value)
        if fault:
            raise Node(value.file, value.value, value.pointer + fault[0]).fail(fault[1])
    return Cell(freeze(value.value), document, confidence, note, date)


@dataclass(frozen=True, eq=False)
class Row:
    """One release, image, device or rule."""

    id: str
    """``tensorrt_llm/1.2.1``."""
    product: str
    version: str
    """The version or name as the row gives it."""
    date: str
    """The day its sources were read."""
    contradictions: tuple[Contradiction, ...]
    _raw: Node = field(repr=False)
    _kinds: Mapping[str, str] = field(repr=False)
    _sources: tuple[str, ...] = field(repr=False)
    _set: tuple[str, ...] = field(default=(), repr=False)
    """Names of the cells that an overlay set."""
    _cells: dict[str, Cell] = field(default_factory=dict, repr=False)

    def get(self, name: str) -> Cell | None:
        """Return the cell, or None when the row has none of that name."""
        cell = self._cells.get(name)
        if cell is None and name in self._raw.value:
            cell = build_cell(self._raw.child(name), self._kinds[name], self.date, self._sources)
            self._cells[name] = cell
        elif cell is None and name not in self._kinds:
            raise KeyError(f"product {self.product} has no cell {shown(name)}")
        return cell

    def value(self, name: str) -> Any:
        """Return the value; None when it is unknown or there is no such cell."""
        cell = self.get(name)
        return cell.value if cell else None

    def source(self, name: str) -> Source:
        """Return where the cell comes from, for a finding; KeyError when the row has no such cell."""
        cell = self.get(name)
        if cell is None:
            raise KeyError(f"row {self.id} has no cell {shown(name)}")
        return Source(cell.source, cell.date, self.id, cell.confidence)

    def names(self) -> Iterator[str]:
        """Yield the names of the row's cells."""
        raw = self._raw.value
        yield from raw
        yield from (name for name in self._cells if name not in raw)

    def overridden(self) -> Iterator[Cell]:
        """Yield the cells that an overlay set."""
        yield from (self._cells[name] for name in self._set)

    def with_cells(self, cells: Mapping[str, Cell]) -> Row:
        """Return the row with some cells replaced or added."""
        names = tuple(dict.fromkeys((*self._set, *cells)))
        return replace(self, _set=names, _cells={**self._cells, **cells})
