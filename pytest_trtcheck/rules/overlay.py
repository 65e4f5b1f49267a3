"""Site overlays: a folder of JSON files that add rows or override cells, each cell with its own source and date."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_trtcheck.errors import MatrixError
from pytest_trtcheck.rules.products import Product, load_products
from pytest_trtcheck.rules.rows import Cell, Row, build_cell
from pytest_trtcheck.rules.strict import Node, one_line, read_document, shown
from pytest_trtcheck.rules.tables import Table, check_names, day

MAX_FILES = 1000
_SHOWN_CHANGES = 20


@dataclass(frozen=True)
class Change:
    """One row that an overlay adds, or whose cells it overrides."""

    node: Node
    id: str
    product: Product
    version: str
    date: str
    cells: Mapping[str, Cell]
    adds: bool
    before: Row | None
    """The bundled row that is overridden."""

    def raw(self) -> str:
        """Return the change as canonical JSON."""
        return json.dumps([self.adds, self.node.value], sort_keys=True)

    def in_words(self) -> str:
        """Return what it does, in words."""
        if self.before is None:
            return f"added {one_line(self.id)} ({len(self.cells)} cells)"
        parts = [
            f"{name} ({shown(self.before.value(name))} to {shown(cell.value)})" for name, cell in self.cells.items()
        ]
        return f"overrode {one_line(self.id)} {', '.join(parts)}"


@dataclass(frozen=True)
class Overlay:
    """One overlay folder."""

    folder: str
    changes: tuple[Change, ...] = field(repr=False)

    def in_words(self) -> str:
        """Return the folder with what it added and overrode."""
        words = [change.in_words() for change in self.changes[:_SHOWN_CHANGES]]
        if len(self.changes) > _SHOWN_CHANGES:
            words.append(f"and {len(self.changes) - _SHOWN_CHANGES} more rows")
        return f"{self.folder}: {'; '.join(words)}"


def read_overlay(folder: Path, table_of: Callable[[str], Table]) -> Overlay:
    """Return what a folder says; MatrixError for the first thing in it that is not as the schema wants it."""
    name = one_line(str(folder))
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json")
    except OSError as error:
        raise MatrixError(name, "", "a readable folder", error.strerror or type(error).__name__) from error
    if not paths or len(paths) > MAX_FILES:
        raise MatrixError(name, "", f"1 to {MAX_FILES} files ending in .json", str(len(paths)))
    changes = [change for path in paths for change in _read_file(path, table_of)]
    if not changes:
        raise MatrixError(name, "", "at least one row under add or override", "none")
    _refuse_disagreement(changes)
    # The name of a file must not matter, so neither may the order in which files are read.
    changes.sort(key=lambda change: (change.id, change.raw()))
    return Overlay(name, tuple(changes))


def _read_file(path: Path, table_of: Callable[[str], Table]) -> Iterator[Change]:
    file = one_line(str(path))
    if not path.is_file():
        raise MatrixError(file, "", "a regular file", "something else")
    top = read_document(path, file).expect(("schema_version",), ("title", "add", "override"))
    top.child("schema_version").exactly(1)
    if top.has("title"):
        top.child("title").text()
    for key in ("add", "override"):
        if top.has(key):
            for node in top.child(key).items():
                yield _read_change(node, table_of, adds=key == "add")


def _read_change(
    node: Node,
    table_of: Callable[[str], Table],
    *,
    adds: bool,
) -> Change:
    node.expect(("id", "date", "cells"))
    name, _, version = node.child("id").text().partition("/")
    try:
        table = table_of(name)
    except KeyError:
        expected = f"PRODUCT/VERSION with a product out of {', '.join(load_products())}"
        raise node.child("id").fail(expected) from None
    product = table.product
    version = table.index.canonical(version) or ""
    if not version or version != version.strip():
        raise node.child("id").fail(f"an id like {name}/VERSION, looked up by {product.key}")
    before = table.index.exact(version)
    if adds and before is not None:
        raise node.child("id").fail("a row that is not there yet; use override", f"{shown(before.id)} in the matrix")
    if not adds and before is None:
        raise node.child("id").fail("the id of a row of the matrix; use add for a new one")
    date = day(node.child("date"))
    cells = node.child("cells")
    check_names(cells, product)
    if not cells.value:
        raise cells.fail("at least one cell")
    built = {key: build_cell(cell, product.kinds[key], date, ()) for key, cell in cells.children()}
    identity = before.id if before else f"{name}/{version}"
    return Change(node, identity, product, before.version if before else version, date, built, adds, before)


def _refuse_disagreement(changes: Sequence[Change]) -> None:
    """Raise MatrixError when two files of one folder say different things about one cell."""
    seen: dict[tuple[str, str], tuple[Change, Cell]] = {}
    for change in changes:
        for name, cell in change.cells.items():
            first, other = seen.setdefault((change.id, name), (change, cell))
            if other.value != cell.value:
                found = f"{shown(cell.value)} here and {shown(other.value)} in {first.node.file}"
                raise (
                    change.node.child("cells").child(name).fail(f"one value for {name} of {one_line(change.id)}", found)
                )


def apply_overlays(overlays: Sequence[Overlay], table_of: Callable[[str], Table]) -> tuple[dict[str, Table], str]:
    """Return the tables that overlays change, and a digest of the changes. A later folder overrides an earlier one."""
    rows: dict[str, dict[str, Row]] = {}
    products: dict[str, Product] = {}
    digest = hashlib.sha256()
    for overlay in overlays:
        for change in overlay.changes:
            digest.update(change.raw().encode())
            product = change.product.name
            products[product] = change.product
            known = rows.setdefault(product, {row.id: row for row in table_of(product).rows})
            row = known.get(change.id) or _new_row(change)
            known[change.id] = row.with_cells(change.cells)
    tables = {name: table_of(name).with_rows(tuple(known.values())) for name, known in rows.items()}
    return tables, digest.hexdigest()


def _new_row(change: Change) -> Row:
    nothing = Node(change.node.file, {}, change.node.pointer)
    return Row(
        change.id, change.product.name, change.version, change.date, (), nothing, change.product.kinds, ()
    )  # fmt: skip
