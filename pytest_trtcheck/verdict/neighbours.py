"""Rows of releases between two releases that were read: what both neighbours say holds between them too."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_trtcheck.verdict import spans

if TYPE_CHECKING:
    from pytest_trtcheck.model.versions import PackageVersion
    from pytest_trtcheck.rules.load import Matrix
    from pytest_trtcheck.rules.rows import Row


@lru_cache(maxsize=20_000)
def bracket(matrix: Matrix, product: str, text: str) -> tuple[Row, Row] | None:
    """Return the rows of the nearest releases before and after a version, a nightly's too; None at either end."""
    version = spans.package(text)
    if version is None:
        return None
    ordered = _ordered(matrix, product)
    below = [row for have, row in ordered if have < version]
    above = [row for have, row in ordered if have > version]
    return (below[-1], above[0]) if below and above else None


@lru_cache(maxsize=20_000)
def agreed(matrix: Matrix, product: str, text: str, cell: str) -> tuple[Row, object] | None:
    """Return row and value of a cell where the release has a row, or both its neighbours say the same."""
    version = spans.package(text)
    if version is None:
        return None
    row = matrix.row(product, version.public)
    if row is not None:
        value = row.value(cell)
        return (row, value) if value is not None else None
    if version.pep440.is_devrelease:
        return None
    around = bracket(matrix, product, text)
    value = around[0].value(cell) if around else None
    return (around[0], value) if around and value is not None and value == around[1].value(cell) else None


@lru_cache(maxsize=50)
def _ordered(matrix: Matrix, product: str) -> tuple[tuple[PackageVersion, Row], ...]:
    pairs = ((spans.package(row.version), row) for row in matrix.rows(product))
    return tuple(sorted(((have, row) for have, row in pairs if have), key=lambda pair: pair[0]))
