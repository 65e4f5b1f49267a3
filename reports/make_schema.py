"""Write the JSON Schemas of ``report.json`` and ``compatibility.json`` from the data model, or check those published.

    python reports/make_schema.py            writes reports/report.schema.v3.json and compatibility.schema.v1.json
    python reports/make_schema.py --check    exit status 1 when a file differs from the model

The descriptions are the docstrings of the model.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import json
import sys
import textwrap
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pytest_trtcheck.model.codec import MAX_TEXT_CHARACTERS, is_required
from pytest_trtcheck.model.compatibility import COMPATIBILITY_VERSION, Compatibility
from pytest_trtcheck.model.report import SCHEMA_VERSION, RunReport

_FILES: dict[str, tuple[type, int]] = {
    "report": (RunReport, SCHEMA_VERSION),
    "compatibility": (Compatibility, COMPATIBILITY_VERSION),
}
_SCALARS: dict[type, dict[str, Any]] = {
    str: {"type": "string", "maxLength": MAX_TEXT_CHARACTERS},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
}


def make_schema(name: str) -> dict[str, Any]:
    """Return the schema of a document as this release writes and reads it."""
    cls, version = _FILES[name]
    definitions: dict[str, Any] = {}
    root = _schema_of(cls, definitions)
    definitions[cls.__name__]["properties"]["schema_version"]["const"] = version
    definitions[cls.__name__]["required"].append("schema_version")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:pytest-trtcheck:{name}:v{version}",
        "title": f"{name}.json of pytest-trtcheck",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _schema_of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return {}
    if origin in (Union, UnionType):
        (inner,) = (argument for argument in arguments if argument is not NoneType)
        return {"anyOf": [_schema_of(inner, definitions), {"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": _schema_of(arguments[0], definitions)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1], definitions)}
    if hint in _SCALARS:
        return dict(_SCALARS[hint])
    if hint.__name__ not in definitions:
        define = _enum if issubclass(hint, Enum) else _dataclass
        definitions[hint.__name__] = define(hint, definitions)
    return {"$ref": f"#/$defs/{hint.__name__}"}


def _enum(cls: type[Enum], _definitions: dict[str, Any]) -> dict[str, Any]:
    words = _attribute_docs(cls)
    members = [f"{member.value}: {words[member.name]}" for member in cls if member.name in words]
    return {
        "description": " ".join([inspect.getdoc(cls) or "", *members]),
        "enum": [member.value for member in cls],
    }


def _dataclass(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    hints, words = get_type_hints(cls), _attribute_docs(cls)
    properties = {}
    for field in dataclasses.fields(cls):
        described = {"description": words[field.name]} if field.name in words else {}
        properties[field.name] = {**described, **_schema_of(hints[field.name], definitions)}
    return {
        "description": inspect.getdoc(cls),
        "type": "object",
        "properties": properties,
        "required": [field.name for field in dataclasses.fields(cls) if is_required(field)],
        "additionalProperties": False,
    }


def _attribute_docs(cls: type) -> dict[str, str]:
    """Return the text that stands under each attribute in the source of a class."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for statement, after in zip(body.body, body.body[1:], strict=False):
        match statement, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = " ".join(text.split())
            case _:
                pass
    return docs


def main() -> int:
    """Write or check the file; return the exit status."""
    parser = argparse.ArgumentParser(description="Write the JSON Schema of report.json from the data model.")
    parser.add_argument("--check", action="store_true", help="Write nothing; fail when the file is out of date")
    arguments = parser.parse_args()
    status = 0
    for name, (_, version) in _FILES.items():
        path = Path(__file__).with_name(f"{name}.schema.v{version}.json")
        text = json.dumps(make_schema(name), indent=2, ensure_ascii=False) + "\n"
        if not arguments.check:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            print(f"{path.name} is not what the model says; run python reports/make_schema.py")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
