"""Attention providers, one row for a span of releases, with the checks that a look-up relies on."""

from __future__ import annotations

from typing import Any

from matrix.derive.additions import sourced_cells
from matrix.derive.reader import Entry, ShapeError, load_source
from matrix.derive.writer import ProductDraft, RowDraft
from pytest_trtcheck.model.versions import Capability
from pytest_trtcheck.rules.attention import DEVICES, DTYPES, FEATURES, PRODUCT

FILE = "attention.yaml"
_NAMED = ("provider", "component", "device", "since", "until")
_WORDS = {"works": FEATURES, "refused": FEATURES, "dtypes": DTYPES, "refused_devices": DEVICES}


def derive() -> ProductDraft:
    """Return the rows."""
    top = Entry(load_source(FILE), FILE)
    top.text("schema")
    # Values that several rows name; YAML has put them where they belong.
    top.raw("shared")
    draft = ProductDraft(PRODUCT, top.text("read_on"), (FILE,))
    for entry in top.entries("rows", "name"):
        _row(entry, draft)
    top.done()
    return draft


def _row(entry: Entry, draft: ProductDraft) -> None:
    row = draft.row(entry.text("name"))
    usual = {"source": entry.text("source"), "confidence": entry.text("confidence")}
    # A null takes back what a row has from the one before.
    cells = {name: value for name, value in entry.raw("cells").items() if value is not None}
    for name, fact in sourced_cells(cells, usual, entry.path):
        row.put(name, fact.value, fact)
    entry.done()
    _check(row)


def _check(row: RowDraft) -> None:
    missing = [name for name in _NAMED if name not in row.cells]
    if missing:
        raise ShapeError(f"{row.id}: expected the cells {', '.join(_NAMED)}, without {', '.join(missing)}")
    if row.value("device") not in DEVICES or not row.version.startswith(row.value("provider") + " "):
        raise ShapeError(f"{row.id}: expected a name that begins with its provider, and a device of {DEVICES}")
    for name, words in _WORDS.items():
        unknown = [word for word in _value(row, name) if word not in words]
        if unknown:
            raise ShapeError(f"{row.id}.{name}: expected words out of {', '.join(words)}, found {unknown}")
    contradicted = [word for word in _value(row, "works") if word in _value(row, "refused")]
    if contradicted:
        raise ShapeError(f"{row.id}: expected features that work or are refused, found both of {contradicted}")
    _check_limits(row)


def _check_limits(row: RowDraft) -> None:
    """Raise ShapeError where what is said to work lies outside a limit: a lost limit must not become a promise."""
    sizes = [int(size) for size in _value(row, "head_sizes")]
    most, step = (_single(row, name) for name in ("head_size_max", "head_size_multiple"))
    wrong: list[Any] = [size for size in sizes if (most and size > most) or (step and size % step)]
    found = [Capability.parse(text) for text in _value(row, "compute_capabilities")]
    least, limit = (_single(row, f"{end}_compute_capability") for end in ("min", "max"))
    # A type's own floor counts too: a GPU below it is left out of the list for every type.
    floors = [*([least] if least else []), *(_single(row, "dtype_min_compute_capability") or {}).values()]
    wrong += [one.dotted for one in found if any(one < Capability.parse(floor) for floor in floors)]
    wrong += [one.dotted for one in found if limit and one > Capability.parse(limit)]
    if wrong:
        raise ShapeError(f"{row.id}: said to work, and outside the row's own limits: {wrong}")


def _value(row: RowDraft, name: str) -> list[str]:
    return list(row.cells[name]["value"]) if name in row.cells else []


def _single(row: RowDraft, name: str) -> Any:
    return row.value(name) if name in row.cells else None
