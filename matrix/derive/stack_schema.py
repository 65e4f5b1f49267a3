"""The JSON Schema of described stacks and the table in their documentation, from the vocabulary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_trtcheck.described.vocabulary import EXTRA, UNSPECIFIED, VOCABULARY, Entry, Kind

PATH = "schema/stack.schema.json"
PAGE = "../docs/described-stacks.md"
_BEGIN, _END = "<!-- vocabulary: begin -->\n", "<!-- vocabulary: end -->"

_SCALAR = {"type": ["string", "integer"], "minLength": 1}
_WHOLE = {
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": f"^([0-9]{{1,9}}|{UNSPECIFIED})$"}]
}
# Numbers in JSON and YAML are read as they are written: 12.10 stays 12.10.
_VERSION = {"type": ["string", "number"], "minLength": 1}


def texts() -> dict[str, str]:
    """Return the schema and the page with its table, by their paths under matrix/."""
    return {PATH: json.dumps(_schema(), indent=1) + "\n", PAGE: _page()}


def _page() -> str:
    text = (Path(__file__).parent.parent / PAGE).read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    rows = ["| key | value | meaning | example |", "|---|---|---|---|"]
    for entry in VOCABULARY.values():
        several = ", or several" if entry.many else ""
        rows.append(f"| `{entry.key}` | {entry.kind.value}{several} | {entry.meaning} | `{entry.example}` |")
    return before + _BEGIN + "\n".join(rows) + "\n" + _END + after


def _schema() -> dict[str, Any]:
    environment = {"$ref": "#/$defs/environment"}
    wrapped = [
        {"type": "object", "required": [wrapper], "properties": {"name": {"type": "string"}, wrapper: environment}}
        for wrapper in ("environment", "stack")
    ]
    one = {"anyOf": [{"$ref": "#/$defs/named"}, *wrapped]}
    many = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/one"}}
    lists = [{"type": "object", "required": [key], "properties": {key: many}} for key in ("stacks", "cases")]
    properties = {key: _property(entry) for key, entry in VOCABULARY.items()}
    properties[EXTRA] = {"type": "object", "description": "Kept and never judged"}
    closed = {"type": "object", "minProperties": 1, "additionalProperties": False}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Described stack",
        "description": "One document of a described stack: an environment, one with a name, or a list of them. "
        f"A version may be '{UNSPECIFIED}' or a bound such as '>=12.1'.",
        "anyOf": [{"$ref": "#/$defs/one"}, many, *lists],
        "$defs": {
            "one": one,
            "environment": {**closed, "properties": properties},
            "named": {
                **closed,
                "properties": {"name": {"type": "string"}, "id": {"type": "string"}, **properties},
            },
        },
    }


def _property(entry: Entry) -> dict[str, Any]:
    value = _value(entry)
    if entry.many:
        value = {"anyOf": [value, {"type": "array", "minItems": 1, "items": _VERSION}]}
    return {"title": entry.title, "description": entry.meaning, "examples": [entry.example], **value}


def _value(entry: Entry) -> dict[str, Any]:
    if entry.kind is Kind.INT:
        return _WHOLE
    if entry.kind is Kind.FLAG:
        words = [*(entry.words or ()), "true", "false", "yes", "no", UNSPECIFIED]
        return {"anyOf": [{"type": "boolean"}, {"enum": words}]}
    if entry.kind is Kind.LIST:
        several = {"type": "array", "minItems": 1, "items": _SCALAR}
        return {"anyOf": [_SCALAR, several, {"type": "object", "minProperties": 1}]}
    if entry.words:
        return {"type": ["string", "boolean"], "minLength": 1}
    return _VERSION
