"""The matrix: rows by product, read on first use, with site overlays laid over the bundled data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from pytest_trtcheck.errors import MatrixError
from pytest_trtcheck.model.report import MatrixIdentity
from pytest_trtcheck.rules.overlay import apply_overlays, read_overlay
from pytest_trtcheck.rules.products import Product, load_products
from pytest_trtcheck.rules.rows import Contradiction, Row
from pytest_trtcheck.rules.tables import Note, Table, read_table


class Matrix:
    """All rows. Nothing in it changes after it is built; a product's file is read when it is first asked for."""

    def __init__(
        self, tables: Mapping[str, Table] | None = None, overlays: Sequence[str] = (), changes: str = ""
    ) -> None:
        """Take ready tables for some products; the others come from the bundled files.

        ``overlays`` says in words, and ``changes`` as a digest, what was laid over the bundled data.
        """
        self._products = load_products()
        self._tables: dict[str, Table] = dict(tables or {})
        self._overlays = tuple(overlays)
        self._changes = changes

    @property
    def products(self) -> tuple[str, ...]:
        """Names of all products."""
        return tuple(self._products)

    def product(self, name: str) -> Product:
        """Return what a product's rows hold; KeyError for a name that is none."""
        return self._products[name]

    def table(self, product: str) -> Table:
        """Return all that is known of a product; KeyError for a name that is none."""
        table = self._tables.get(product)
        if table is None:
            table = self._tables[product] = read_table(self._products[product])
        return table

    def rows(self, product: str) -> tuple[Row, ...]:
        """Return all rows of a product, in the order of the file; overlay rows last."""
        return self.table(product).rows

    def row(self, product: str, version: str) -> Row | None:
        """Return the row of exactly that version, in any of its spellings."""
        return self.table(product).index.exact(version)

    def match(self, product: str, text: str) -> Row | None:
        """Return the row of the same release when the text has more or fewer digits or words than the row.

        The longest row that the text begins with, else the only row that begins with the text; never another
        release, so 10.14.1.48 finds 10.14.1 and 10.14.2 finds nothing.
        """
        return self.table(product).index.match(text)

    def candidates(self, product: str, text: str) -> tuple[Row, ...]:
        """Return every row that a short text may mean: 10.13 may be 10.13.0, 10.13.2 or 10.13.3."""
        return self.table(product).index.candidates(text)

    def notes(self, product: str) -> tuple[Note, ...]:
        """Return the statements that belong to no single row."""
        return self.table(product).notes

    def contradictions(self, product: str) -> tuple[Contradiction, ...]:
        """Return what the sources of a product disagree about."""
        return self.table(product).contradictions

    @cached_property
    def identity(self) -> MatrixIdentity:
        """Which matrix this is; reads every product."""
        digest = hashlib.sha256()
        for name in sorted(self._products):
            digest.update(hashlib.sha256(self.table(name).data).digest())
        digest.update(self._changes.encode())
        rows = [row for name in self._products for row in self.rows(name)]
        # A day of an overridden cell is a day of the row too.
        dates = [cell.date for row in rows for cell in row.overridden()] + [row.date for row in rows]
        return MatrixIdentity(max(dates), digest.hexdigest()[:12], len(rows), self._overlays)


def load_matrix(overlays: Sequence[Path] = ()) -> Matrix:
    """Return the matrix; MatrixError for an overlay that is malformed or makes rows disagree."""
    if not overlays:
        return Matrix()
    bundled = Matrix()
    read = [read_overlay(folder, bundled.table) for folder in overlays]
    changed, digest = apply_overlays(read, bundled.table)
    tables = {name: changed.get(name) or bundled.table(name) for name in bundled.products}
    ends = _check_overlaid(Matrix(tables), bundled, [overlay.folder for overlay in read])
    return Matrix(tables, [*(overlay.in_words() for overlay in read), *ends], digest)


def _check_overlaid(matrix: Matrix, bundled: Matrix, folders: Iterable[str]) -> tuple[str, ...]:
    """Refuse what cannot be right; what a site says against other rows is its right, and stands in the identity."""
    from pytest_trtcheck.rules.crosscheck import faults, loose_ends

    fresh = faults(matrix)
    if fresh:
        more = f" and {len(fresh) - 1} more" if len(fresh) > 1 else ""
        raise MatrixError(", ".join(folders), "", "rows that agree with each other", fresh[0] + more)
    known = set(loose_ends(bundled))
    return tuple(f"after overlays: {end}" for end in loose_ends(matrix) if end not in known)
