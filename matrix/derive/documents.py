"""What else follows from products.json: the JSON schemas of rows and overlays, and the table of the README."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matrix.derive.reader import ShapeError
from pytest_trtcheck.rules.kinds import GPU_CLASSES, LISTS
from pytest_trtcheck.rules.products import load_products
from pytest_trtcheck.rules.rows import CONFIDENCES

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_BEGIN, _END = "<!-- cells: begin -->", "<!-- cells: end -->"
_DOTTED = r"^[vV]?[0-9]{1,9}(\.[0-9]{1,9}){0,7}$"
_SPAN = r"^((>=|<=|==|!=|>|<) *[0-9][0-9.]*(\.\*)?)( *, *(>=|<=|==|!=|>|<) *[0-9][0-9.]*(\.\*)?)*$"
_FILLED = {"type": "string", "pattern": r"\S"}


def _text(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern}


_SCALARS: dict[str, dict[str, Any]] = {
    "text": _FILLED,
    "optional_text": {"anyOf": [{"const": False}, _FILLED]},
    "bool": {"type": "boolean"},
    "support": {"enum": [True, False, "partial"]},
    "int": {"type": "integer"},
    "number": {"type": "number"},
    "date": _text(r"^20\d{2}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"),
    "version": _text(_DOTTED),
    "package": _text(r"^[0-9][0-9A-Za-z.+!_-]*$"),
    "range": _text(_SPAN),
    "pin": {"anyOf": [{"const": False}, {"type": "string"}]},
    "capability": _text(r"^[1-9]\d?\.\d$"),
    "python": _text(r"^3\.\d{1,2}$"),
    "month": _text(r"^\d{2}\.(0[1-9]|1[0-2])$"),
    "major": _text(r"^\d{1,4}$"),
    "family": _text(r"^(\d{1,4}\.x|[vV]?[0-9]{1,9}(\.[0-9]{1,9}){0,7})$"),
    "class": {"enum": list(GPU_CLASSES)},
    "abi": {"enum": ["on", "off"]},
}


def value_schema(kind: str) -> dict[str, Any]:
    """Return the schema of a value of that kind, null aside."""
    if kind.startswith("map:"):
        return {"type": "object", "additionalProperties": value_schema(kind.removeprefix("map:"))}
    if kind in LISTS:
        return {"type": "array", "uniqueItems": True, "items": _SCALARS[LISTS[kind]]}
    return _SCALARS[kind]


def _cell(kind: str, source: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["value", "source", "confidence"],
        "additionalProperties": False,
        "properties": {
            "value": {"anyOf": [{"type": "null"}, value_schema(kind)]},
            "source": source,
            "confidence": {"enum": list(CONFIDENCES)},
            "note": _FILLED,
        },
    }


def _kinds() -> list[str]:
    return sorted({kind for product in load_products().values() for kind in product.kinds.values()})


def _definitions(source: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {f"cell {kind}": _cell(kind, source) for kind in _kinds()}
    products = {
        f"cells of {name}": {
            "type": "object",
            "additionalProperties": False,
            "properties": {cell: {"$ref": f"#/$defs/cell {kind}"} for cell, kind in product.kinds.items()},
        }
        for name, product in load_products().items()
    }
    return kinds | products


def _row(name: str, required: list[str], *, filled: bool) -> dict[str, Any]:
    cells: dict[str, Any] = {"$ref": f"#/$defs/cells of {name}"}
    properties = {
        "id": _text(rf"^{name}/\S"),
        "version": _FILLED,
        "date": _SCALARS["date"],
        "cells": {**cells, "minProperties": 1} if filled else cells,
    }
    return {
        "type": "object",
        "required": required,
        "additionalProperties": False,
        "properties": {key: value for key, value in properties.items() if key in required},
    }


def row_schema() -> dict[str, Any]:
    """Return the schema of the files in rows/."""
    index = {"type": "integer", "minimum": 0}
    claim = {
        "type": "object",
        "required": ["by", "value"],
        "additionalProperties": False,
        "properties": {"by": _FILLED, "value": True, "source": index, "confidence": {"enum": list(CONFIDENCES)}},
    }
    contradiction = {
        "type": "object",
        "required": ["topic", "claims", "rows"],
        "additionalProperties": False,
        "properties": {
            "topic": _FILLED,
            "claims": {"type": "array", "minItems": 2, "items": claim},
            "used": _FILLED,
            "rows": {"type": "array", "items": _FILLED},
        },
    }
    note = {
        "type": "object",
        "required": ["text", "source", "confidence"],
        "additionalProperties": False,
        "properties": {"text": _FILLED, "source": index, "confidence": {"enum": list(CONFIDENCES)}},
    }
    by_product = [
        {
            "if": {"properties": {"product": {"const": name}}},
            "then": {
                "properties": {
                    "rows": {"items": _row(name, ["id", "version", "date", "cells"], filled=False)},
                },
            },
        }
        for name in load_products()
    ]
    required = ["schema_version", "product", "read_on", "derived_from", "sources", "notes", "contradictions", "rows"]
    return {
        "$schema": _DRAFT,
        "title": "Row file of one product",
        "type": "object",
        "required": required,
        "additionalProperties": False,
        "properties": {
            "schema_version": {"const": 1},
            "product": {"enum": list(load_products())},
            "read_on": _SCALARS["date"],
            "derived_from": {"type": "array", "minItems": 1, "items": _FILLED},
            "sources": {"type": "array", "uniqueItems": True, "items": _FILLED},
            "notes": {"type": "array", "items": note},
            "contradictions": {"type": "array", "items": contradiction},
            "rows": {"type": "array", "minItems": 1},
        },
        "allOf": by_product,
        "$defs": _definitions(index),
    }


def overlay_schema() -> dict[str, Any]:
    """Return the schema of the files of a site overlay."""
    rows = {"anyOf": [_row(name, ["id", "date", "cells"], filled=True) for name in load_products()]}
    listed = {"type": "array", "items": rows}
    return {
        "$schema": _DRAFT,
        "title": "Site overlay: rows to add, cells to override",
        "type": "object",
        "required": ["schema_version"],
        "additionalProperties": False,
        "properties": {"schema_version": {"const": 1}, "title": _FILLED, "add": listed, "override": listed},
        "$defs": _definitions(_FILLED),
    }


def cell_table() -> str:
    """Return the table of products and cells for the README."""
    parts = []
    for name, product in load_products().items():
        parts += [f"### `{name}`", "", f"{product.title}. Looked up by: {product.key}.", ""]
        parts += ["| cell | kind | says |", "|---|---|---|"]
        parts += [f"| `{cell}` | {kind} | {product.meanings[cell]} |" for cell, kind in product.kinds.items()]
        parts.append("")
    return "\n".join(parts)


def texts() -> dict[str, str]:
    """Return the text of every document by its name under matrix/."""
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    before, begin, rest = readme.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ShapeError(f"README.md: expected the lines {_BEGIN} and {_END}")
    return {
        "schema/rows.schema.json": json.dumps(row_schema(), indent=1) + "\n",
        "schema/overlay.schema.json": json.dumps(overlay_schema(), indent=1) + "\n",
        "README.md": f"{before}{begin}\n{cell_table()}{end}{after}",
    }
