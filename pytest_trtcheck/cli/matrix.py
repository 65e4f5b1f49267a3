"""``matrix list``, ``matrix show PRODUCT VERSION`` and ``matrix search CELL=VALUE…``: browse the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.cli.options import add_format, add_matrix, matrix_of, print_json
from pytest_trtcheck.errors import OptionError

if TYPE_CHECKING:
    import argparse

    from pytest_trtcheck.cli import Subparsers
    from pytest_trtcheck.rules.load import Matrix
    from pytest_trtcheck.rules.rows import Row

_NOT_FOUND = 10


def add_parser(commands: Subparsers) -> argparse.ArgumentParser:
    """Declare the command and its three actions."""
    parser = commands.add_parser("matrix", help="Browse the rows of the version matrix")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="Products, with the number of rows and the day of the newest")
    show = actions.add_parser("show", help="The rows of a product, or one row with its sources")
    show.add_argument("product", metavar="PRODUCT", help="Such as tensorrt_llm, torch, triton_container or gpu")
    show.add_argument("version", metavar="VERSION", nargs="?", help="Such as 1.2.1; without it, all versions")
    search = actions.add_parser("search", help="Rows whose cells hold the given values; status 10 when there are none")
    search.add_argument("terms", metavar="CELL=VALUE", nargs="+", help="Such as cuda=12.9; all have to hold")
    search.add_argument("--product", metavar="NAME", help="Search this product only")
    for action in (listing, show, search):
        add_format(action)
        add_matrix(action)
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the answer and return the exit status."""
    matrix = matrix_of(options)
    actions = {"list": _list, "show": _show, "search": _search}
    return actions[options.action](matrix, options)


def _list(matrix: Matrix, options: argparse.Namespace) -> int:
    products = [
        {
            "product": name,
            "rows": len(matrix.rows(name)),
            "newest": max((row.date for row in matrix.rows(name)), default=""),
            "title": matrix.product(name).title,
        }
        for name in matrix.products
    ]
    identity = matrix.identity
    if options.format == "json":
        overlays = list(identity.overlays)
        print_json({"date": identity.date, "digest": identity.digest, "overlays": overlays, "products": products})
        return 0
    print(f"matrix of {identity.date}, {identity.digest}, {identity.rows} rows")
    print("\n".join(identity.overlays), end="\n" if identity.overlays else "")
    for entry in products:
        print(f"  {entry['product']:<20} {entry['rows']:>3} rows, read {entry['newest']}  {entry['title']}")
    return 0


def _show(matrix: Matrix, options: argparse.Namespace) -> int:
    product = _product(matrix, options.product)
    if options.version is None:
        rows = matrix.rows(product)
        if options.format == "json":
            print_json([row.id for row in rows])
        else:
            print("\n".join(row.version for row in rows))
        return 0
    row = _row(matrix, product, options.version)
    if options.format == "json":
        print_json(_as_json(row))
    else:
        print("\n".join(_lines(matrix, row)))
    return 0


def _search(matrix: Matrix, options: argparse.Namespace) -> int:
    terms = dict(_term(text) for text in options.terms)
    products = (_product(matrix, options.product),) if options.product else matrix.products
    able = [name for name in products if terms.keys() <= matrix.product(name).kinds.keys()]
    if not able:
        cells = sorted({cell for name in products for cell in matrix.product(name).kinds})
        unknown = next((cell for cell in terms if cell not in cells), None)
        what = f"the cell {unknown!r}" if unknown else f"all of {', '.join(terms)}"
        raise OptionError(f"matrix search: no product has {what}{_nearest(unknown or '', cells)}")
    rows = [row for name in able for row in matrix.rows(name) if _holds(row, terms)]
    if options.format == "json":
        print_json([_as_json(row) for row in rows])
    else:
        for row in rows:
            print(f"{row.id:<32} {', '.join(f'{cell} {_words(row.value(cell))}' for cell in terms)}")
        if not rows:
            print(f"no row with {' and '.join(options.terms)} in the matrix of {matrix.identity.date}")
    return 0 if rows else _NOT_FOUND


def _product(matrix: Matrix, name: str) -> str:
    key = name.lower().replace("-", "_")
    if key in matrix.products:
        return key
    raise OptionError(f"no product {name!r}{_nearest(key, matrix.products)}; they are {', '.join(matrix.products)}")


def _row(matrix: Matrix, product: str, version: str) -> Row:
    row = matrix.row(product, version) or matrix.match(product, version)
    if row is not None:
        return row
    versions = [row.version for row in matrix.candidates(product, version) or matrix.rows(product)]
    near = ", ".join(get_close_matches(version, versions, n=4, cutoff=0.4) or versions[-4:])
    raise OptionError(f"no row {product}/{version} in the matrix of {matrix.identity.date}; near it: {near}")


def _nearest(name: str, names: Any) -> str:
    near = get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _term(text: str) -> tuple[str, str]:
    cell, equals, value = text.partition("=")
    if not (cell.strip() and equals and value.strip()):
        raise OptionError(f"matrix search: expected CELL=VALUE such as cuda=12.9, found {text!r}")
    return cell.strip(), value.strip()


def _holds(row: Row, terms: Mapping[str, str]) -> bool:
    names = set(row.names())
    return all(cell in names and _is(row.value(cell), wanted) for cell, wanted in terms.items())


def _is(value: Any, wanted: str) -> bool:
    """Tell whether a value is the wanted one, begins with its numbers, or has such a one among its values."""
    if isinstance(value, Mapping):
        return any(_is(item, wanted) for item in (*value, *value.values()))
    if isinstance(value, tuple):
        return any(_is(item, wanted) for item in value)
    text = _words(value).lower()
    wanted = wanted.lower()
    return text == wanted or text.startswith((f"{wanted}.", f"{wanted}+"))


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_words(item)}" for key, item in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(_words, value)) or "none"
    return {None: "unknown", True: "true", False: "false"}.get(value, str(value))


def _cell_words(kind: str, value: Any) -> str:
    if kind == "pin" and not value:
        return "any version" if value == "" else "not required"
    return _words(value)


def _as_json(row: Row) -> dict[str, Any]:
    cells = {}
    for name in row.names():
        cell = row.get(name)
        assert cell
        cells[name] = {"value": _plain(cell.value), "source": cell.source, "confidence": cell.confidence}
        cells[name] |= {"note": cell.note} if cell.note else {}
    return {"id": row.id, "product": row.product, "version": row.version, "date": row.date, "cells": cells}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _lines(matrix: Matrix, row: Row) -> Iterator[str]:
    """Yield a row as text: known cells first, then by name what is unknown, then sources and contradictions."""
    yield f"{row.id} (read {row.date}): {matrix.product(row.product).title}"
    kinds = matrix.product(row.product).kinds
    cells = {name: cell for name in row.names() if (cell := row.get(name))}
    sources = list(dict.fromkeys(cell.source for cell in cells.values()))
    known = {name: cell for name, cell in cells.items() if cell.value is not None}
    width = max(map(len, known), default=0)
    for name, cell in known.items():
        sure = "" if cell.confidence == "stated" else f" ({cell.confidence})"
        yield f"  {name:<{width}}  {_cell_words(kinds[name], cell.value)}{sure} [{sources.index(cell.source) + 1}]"
        if cell.note:
            yield f"  {'':<{width}}  note: {cell.note}"
    unknown = [name for name in cells if name not in known]
    if unknown:
        yield f"  unknown: {', '.join(unknown)}"
    for number, source in enumerate(sources, start=1):
        yield f"  [{number}] {source}"
    for disagreement in row.contradictions:
        claims = "; ".join(f"{claim.by}: {_words(claim.value)}" for claim in disagreement.claims)
        yield f"  sources disagree on {disagreement.topic}: {claims}; the row follows {disagreement.used or 'neither'}"
