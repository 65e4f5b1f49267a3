"""Building rows from facts and writing them, one cell a line, always in the same order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matrix.derive.reader import Entry, Fact, Parser, ShapeError, is_fact, joined, read_fact
from matrix.derive.values import Parsed
from pytest_trtcheck.rules.kinds import problem
from pytest_trtcheck.rules.products import load_products


@dataclass
class RowDraft:
    """A row being built."""

    product: str
    version: str
    date: str
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The id of the row."""
        return f"{self.product}/{self.version}"

    def put(self, name: str, value: Any, fact: Fact, *, derived: str = "") -> None:
        """Add a cell; ``derived`` says how the value follows from the fact, when the fact does not state it."""
        confidence = fact.confidence
        note = fact.note
        if derived:
            confidence = "derived" if value is not None or fact.known else "unknown"
            note = "; ".join(filter(None, (derived, note)))
        if isinstance(value, Parsed):
            note = "; ".join(filter(None, (note, value.note)))
            value = value.value
        kinds = load_products()[self.product].kinds
        if name not in kinds or name in self.cells:
            raise ShapeError(f"{self.id}: cell {name} is unknown to products.json or set twice")
        fault = problem(kinds[name], value) if value is not None else None
        if fault or (value is None and confidence != "unknown" and not note):
            raise ShapeError(f"{self.id}.{name}{(fault or ('', ''))[0]}: {value!r} is not {kinds[name]} ({fact.path})")
        self.cells[name] = {"value": value, "source": fact.source, "confidence": confidence}
        if note:
            self.cells[name]["note"] = note

    def take(self, entry: Entry, key: str, parser: Parser, name: str = "", *, drop_note: bool = False) -> Fact:
        """Take a fact, parse it and add the cell; return the fact."""
        fact = entry.fact(key)
        self.parse(name or key, fact, parser, drop_note=drop_note)
        return fact

    def parse(self, name: str, fact: Fact, parser: Parser, *, drop_note: bool = False) -> None:
        """Parse a fact and add the cell; an unknown one becomes null."""
        if not fact.known:
            self.put(name, None, fact)
            return
        try:
            value = parser(fact.value)
        except ShapeError as error:
            raise ShapeError(f"{fact.path}: {error}") from error
        note = "" if drop_note else fact.note
        self.put(name, value, Fact(fact.value, fact.source, fact.confidence, note, fact.path))

    def value(self, name: str) -> Any:
        """Return the value of a cell that was set."""
        return self.cells[name]["value"]

    def as_fact(self, *names: str) -> Fact:
        """Return the sources of cells of this row, for a value derived from them."""
        facts = [
            Fact(None, cell["source"], cell["confidence"], "", f"{self.id}.{name}")
            for name, cell in self.cells.items()
            if name in names
        ]
        return joined(facts)


@dataclass
class ProductDraft:
    """A row file being built."""

    product: str
    read_on: str
    derived_from: tuple[str, ...]
    rows: list[RowDraft] = field(default_factory=list)
    notes: list[Fact] = field(default_factory=list)
    contradictions: list[dict[str, Any]] = field(default_factory=list)

    def row(self, version: str) -> RowDraft:
        """Add a row."""
        if any(row.version == version for row in self.rows):
            raise ShapeError(f"{self.product}/{version}: two rows")
        draft = RowDraft(self.product, version, self.read_on)
        self.rows.append(draft)
        return draft

    def find(self, version: str) -> RowDraft:
        """Return a row that was added."""
        for row in self.rows:
            if row.version == version:
                return row
        raise ShapeError(f"{self.product}/{version}: no such row")

    def note(self, text: Any, source: str = "", confidence: str = "stated") -> None:
        """Keep a note of the source; a plain text has the source file as its source."""
        if is_fact(text):
            fact = read_fact(text, f"{self.product}.notes")
            words = json.dumps(fact.value) if not isinstance(fact.value, str) else fact.value
            note = f"{words} ({fact.note})" if fact.note else words
            self.notes.append(Fact(note, fact.source, fact.confidence, "", fact.path))
        elif isinstance(text, str):
            self.notes.append(Fact(text, source or f"matrix/sources/{self.derived_from[0]}", confidence, "", ""))
        else:
            raise ShapeError(f"{self.product}: expected a note, found {text!r}")

    def contradict(self, raw: Mapping[str, Any], versions: Sequence[str]) -> None:
        """Keep a contradiction, attached to the rows of these versions."""
        self.contradictions.append(contradiction(raw, [self.find(version).id for version in versions], self.product))


# The source writes this one without quotes, so that YAML reads Python 3.10 as a number.
_NUMBERS = {3.1: "3.10"}


def contradiction(raw: Mapping[str, Any], rows: Sequence[str], product: str) -> dict[str, Any]:
    """Return a contradiction in the form of the row files."""
    entry = Entry(raw, f"{product}.contradictions[{raw.get('topic')}]")
    topic = entry.text("topic")
    result: dict[str, Any] = {"topic": f"{entry.text('id')}: {topic}" if "id" in entry else topic, "claims": []}
    if "values" in entry:
        result["claims"] = [{"by": by, "value": value} for by, value in entry.raw("values").items()]
    else:
        for by in ("a", "b"):
            fact = entry.fact(by)
            claim = {"by": by, "value": fact.value, "source": fact.source, "confidence": fact.confidence}
            result["claims"].append(claim)
    if "used" in entry:
        used = entry.raw("used")
        used = _NUMBERS.get(used, used) if isinstance(used, float) else used
        if not isinstance(used, str):
            raise ShapeError(f"{entry.path}.used: expected a text, found {used!r}")
        result["used"] = used
    entry.done()
    result["rows"] = list(rows)
    return result


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def render(draft: ProductDraft) -> str:
    """Return the text of a row file: one cell a line, sources interned in the order of first use."""
    sources: dict[str, int] = {}

    def intern(cell: Mapping[str, Any]) -> dict[str, Any]:
        if "source" not in cell:
            return dict(cell)
        return {**cell, "source": sources.setdefault(cell["source"], len(sources))}

    rows = []
    for row in draft.rows:
        cells = ",\n".join(f"   {_line(name)}: {_line(intern(cell))}" for name, cell in row.cells.items())
        head = f'{{"id": {_line(row.id)}, "version": {_line(row.version)}, "date": {_line(row.date)}, "cells": {{'
        rows.append(f"  {head}\n{cells}}}}}")
    notes = [
        "  " + _line(intern({"text": note.value, "source": note.source, "confidence": note.confidence}))
        for note in draft.notes
    ]
    contradictions = [
        "  " + _line({**entry, "claims": [intern(claim) for claim in entry["claims"]]})
        for entry in draft.contradictions
    ]
    parts = [
        ' "schema_version": 1',
        f' "product": {_line(draft.product)}',
        f' "read_on": {_line(draft.read_on)}',
        f' "derived_from": {_line(list(draft.derived_from))}',
        _list("sources", [f"  {_line(source)}" for source in sources]),
        _list("notes", notes),
        _list("contradictions", contradictions),
        _list("rows", rows),
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _list(name: str, lines: Sequence[str]) -> str:
    body = ",\n".join(lines)
    return f' "{name}": [\n{body}\n ]' if lines else f' "{name}": []'
