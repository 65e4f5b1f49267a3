"""Facts that were looked up one by one: rows of further products, and rows and cells that the big sources lack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from matrix.derive.reader import Entry, Fact, ShapeError, load_source, read_fact
from matrix.derive.writer import ProductDraft, RowDraft
from pytest_trtcheck.rules.products import load_products

FILE = "additions.yaml"


def apply(drafts: list[ProductDraft]) -> list[ProductDraft]:
    """Return the products with the additions in them; a value that another source gives is never replaced."""
    top = Entry(load_source(FILE), FILE)
    top.text("schema")
    read_on = top.text("read_on")
    by_name = {draft.product: draft for draft in drafts}
    for group in top.entries("groups", "product"):
        name = group.text("product")
        if name not in load_products():
            raise ShapeError(f"{group.path}: products.json has no product {name!r}")
        draft = by_name.get(name)
        if draft is None:
            draft = by_name[name] = ProductDraft(name, read_on, (FILE,))
        elif FILE not in draft.derived_from:
            draft.derived_from = (*draft.derived_from, FILE)
        _group(group, draft, read_on)
    top.done()
    return list(by_name.values())


def _group(group: Entry, draft: ProductDraft, read_on: str) -> None:
    usual = {key: group.raw(key) for key in ("source", "confidence", "note") if key in group}
    for version, raw in group.raw("rows").items():
        path = f"{group.path}.rows[{version}]"
        if not isinstance(version, str):
            raise ShapeError(f"{path}: expected the version in quotes, found {version!r}")
        row = next((row for row in draft.rows if row.version == version), None)
        if row is None:
            row = RowDraft(draft.product, version, read_on)
            draft.rows.append(row)
        entry = Entry(raw, path)
        own = {**usual, **({"source": entry.raw("source")} if "source" in entry else {})}
        for name, fact in sourced_cells(entry.raw("cells"), own, path):
            if row.cells.get(name, {}).get("confidence") == "unknown":
                # The big sources say that they do not know.
                del row.cells[name]
            row.put(name, fact.value, fact)
        entry.done()
    group.done()


def sourced_cells(cells: Mapping[str, Any], usual: Mapping[str, str], path: str) -> Iterator[tuple[str, Fact]]:
    """Yield each cell as a fact; a cell is a plain value, or a mapping with value and what differs from the row."""
    for name, raw in cells.items():
        own = raw if isinstance(raw, dict) and "value" in raw else {"value": raw}
        # A source of its own does not carry the note of the group.
        base = {key: text for key, text in usual.items() if key != "note" or "source" not in own}
        yield name, read_fact({**base, **own}, f"{path}.{name}")
