"""The row file of one product: read, held to its structure, and turned into rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_trtcheck.errors import MatrixError
from pytest_trtcheck.rules.kinds import is_date
from pytest_trtcheck.rules.lookup import INDEXES, Index
from pytest_trtcheck.rules.products import Product, data_file
from pytest_trtcheck.rules.rows import Claim, Contradiction, Row, freeze
from pytest_trtcheck.rules.strict import Node, one_line, read_bytes

_TOP = ("schema_version", "product", "read_on", "derived_from", "sources", "notes", "contradictions", "rows")


@dataclass(frozen=True)
class Note:
    """A statement about a product that belongs to no single row."""

    text: str
    source: str
    confidence: str


@dataclass(frozen=True)
class Table:
    """All rows of one product."""

    product: Product
    rows: tuple[Row, ...]
    notes: tuple[Note, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    data: bytes = field(default=b"", repr=False)
    """The bytes it was read from, for the digest of the matrix."""
    index: Index = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Build the index of the rows."""
        object.__setattr__(self, "index", INDEXES[self.product.key](self.rows))

    def with_rows(self, rows: Sequence[Row]) -> Table:
        """Return the table with other rows."""
        return Table(self.product, tuple(rows), self.notes, self.contradictions, self.data)


def day(node: Node) -> str:
    """Return an ISO day."""
    if not is_date(node.value):
        raise node.fail("a day like 2026-11-20")
    return str(node.value)


def row_id(node: Node, product: str) -> str:
    """Return the version part of a row id, ``tensorrt_llm/1.2.1``."""
    text = node.text()
    prefix = f"{product}/"
    if not text.startswith(prefix) or not text.removeprefix(prefix).strip():
        raise node.fail(f"an id like {product}/VERSION")
    return text.removeprefix(prefix)


def check_names(cells: Node, product: Product) -> None:
    """Raise MatrixError for a cell that the product does not have."""
    unknown = [name for name in cells.mapping().value if name not in product.kinds]
    if unknown:
        import difflib

        near = difflib.get_close_matches(unknown[0], product.kinds, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise cells.fail(f"cells of product {product.name}{hint}", f"the unknown cell {one_line(unknown[0])[:80]!r}")


def read_table(product: Product) -> Table:
    """Return the table of a bundled row file."""
    file = f"rows/{product.name}.json"
    data = read_bytes(data_file("rows", f"{product.name}.json"), file)
    try:
        # The bundled files are written by matrix.derive and tested; duplicates need no hook here.
        document: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MatrixError(file, "", "a JSON document", one_line(str(error))) from error
    return build_table(product, Node(file, document), data)


def build_table(product: Product, top: Node, data: bytes = b"") -> Table:
    """Return the table of a document; cells are looked into when a rule asks for them."""
    top.expect(_TOP)
    top.child("schema_version").exactly(1)
    top.child("product").exactly(product.name)
    day(top.child("read_on"))
    sources = top.child("sources").texts()
    contradictions = tuple(_contradiction(node, sources) for node in top.child("contradictions").items())
    by_row: dict[str, tuple[Contradiction, ...]] = {}
    for entry in contradictions:
        for row in entry.rows:
            by_row[row] = (*by_row.get(row, ()), entry)
    rows: dict[str, Row] = {}
    for node in top.child("rows").items():
        node.expect(("id", "version", "date", "cells"))
        version = row_id(node.child("id"), product.name)
        node.child("version").exactly(version)
        identity = f"{product.name}/{version}"
        if identity in rows:
            raise node.child("id").fail("each row once")
        check_names(node.child("cells"), product)
        rows[identity] = Row(
            identity, product.name, version, day(node.child("date")), by_row.get(identity, ()),
            node.child("cells"), product.kinds, sources,
        )  # fmt: skip
    unknown = next((row for row in by_row if row not in rows), None)
    if unknown:
        raise top.child("contradictions").fail("ids of rows of this file", one_line(unknown))
    notes = tuple(_note(node, sources) for node in top.child("notes").items())
    return Table(product, tuple(rows.values()), notes, contradictions, data)


def _source(node: Node, sources: Sequence[str]) -> str:
    if isinstance(node.value, int) and not isinstance(node.value, bool) and 0 <= node.value < len(sources):
        return sources[node.value]
    raise node.fail(f"an index from 0 below {len(sources)}")


def _note(node: Node, sources: Sequence[str]) -> Note:
    node.expect(("text", "source", "confidence"))
    confidence = node.child("confidence").text()
    return Note(node.child("text").text(), _source(node.child("source"), sources), confidence)


def _contradiction(node: Node, sources: Sequence[str]) -> Contradiction:
    node.expect(("topic", "claims", "rows"), ("used",))
    claims = []
    for claim in node.child("claims").items():
        claim.expect(("by", "value"), ("source", "confidence"))
        source = _source(claim.child("source"), sources) if claim.has("source") else ""
        confidence = claim.child("confidence").text() if claim.has("confidence") else ""
        claims.append(Claim(claim.child("by").text(), freeze(claim.child("value").value), source, confidence))
    used = node.child("used").text() if node.has("used") else ""
    return Contradiction(node.child("topic").text(), tuple(claims), used, node.child("rows").texts())
