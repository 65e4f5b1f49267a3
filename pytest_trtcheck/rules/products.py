"""What products the matrix has, how each is looked up and which cells its rows may carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from pytest_trtcheck.rules.kinds import is_kind
from pytest_trtcheck.rules.strict import Readable, read_document

DATA_PACKAGE = "pytest_trtcheck._matrix"
KEYS = ("dotted", "package", "capability", "month", "gpu", "name")


@dataclass(frozen=True)
class Product:
    """One kind of thing that rows describe."""

    name: str
    title: str
    key: str
    """How a version finds its row: dotted, package, capability, month, gpu or name."""
    kinds: Mapping[str, str]
    """Kind of value by cell name."""
    meanings: Mapping[str, str]
    """What a cell says, by cell name."""


def data_file(*parts: str) -> Readable:
    """Return a file of the bundled matrix, from wheel and editable install alike."""
    path = files(DATA_PACKAGE)
    for part in parts:
        path = path / part
    return path


@cache
def load_products() -> Mapping[str, Product]:
    """Return all products by name."""
    top = read_document(data_file("products.json"), "products.json").expect(("schema_version", "products"))
    top.child("schema_version").exactly(1)
    products = {}
    for name, node in top.child("products").children():
        node.expect(("title", "key", "cells"))
        kinds, meanings = {}, {}
        for cell, entry in node.child("cells").children():
            entry.expect(("kind", "means"))
            kind = entry.child("kind")
            if not is_kind(kind.text()):
                raise kind.fail("a kind of value that exists")
            kinds[cell] = kind.text()
            meanings[cell] = entry.child("means").text()
        products[name] = Product(
            name,
            node.child("title").text(),
            node.child("key").choice(*KEYS),
            MappingProxyType(kinds),
            MappingProxyType(meanings),
        )
    return MappingProxyType(products)
