"""Profiles: what a run must have found and run before it may be accepted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.model.components import BY_KEY, PLATFORM_TITLES
from pytest_trtcheck.rules.products import data_file
from pytest_trtcheck.rules.strict import Node, Readable, one_line, read_document, shown

_WHOSE = re.compile(r"[a-z_]+(:[a-z0-9_*]+)?")
PROFILES = ("auto", "tensorrt_llm", "tensorrt", "triton_server", "torch")


@dataclass(frozen=True)
class Profile:
    """What must have run. Whatever a profile names and did not run makes the run inconclusive."""

    name: str
    title: str
    required_components: tuple[str, ...]
    """Keys of the stack vocabulary that must be there."""
    any_of_components: tuple[str, ...]
    """Keys of which at least one must be there; empty asks for none."""
    required_checks: tuple[str, ...]
    """Names of results that must have run, ``TRC-IMP-001-tensorrt_llm``."""
    minimum_executed: Mapping[str, int]
    """Checks that must have run, at least: by suite, or suite and providers, ``batching:tensorrt_llm*``."""


def load_profile(name_or_path: str) -> Profile:
    """Return a bundled profile by name, or the one in a file whose name ends in .json.

    OptionError for a name that is none, MatrixError for a file that breaks the schema.
    """
    if name_or_path in PROFILES:
        file = f"profiles/{name_or_path}.json"
        return read_profile(data_file("profiles", f"{name_or_path}.json"), file)
    if name_or_path.endswith(".json"):
        path = Path(name_or_path)
        if not path.is_file():
            raise OptionError(f"profile {shown(name_or_path)}: there is no such file")
        return read_profile(path, one_line(name_or_path))
    valid = ", ".join(PROFILES)
    raise OptionError(f"profile {shown(name_or_path)}: expected one of {valid}, or a file ending in .json")


def read_profile(source: Readable | Path, file: str) -> Profile:
    """Return the profile of a file; MatrixError for the first fault in it."""
    top = read_document(source, file).expect(
        ("schema_version", "name", "title", "required_components", "required_checks", "minimum_executed"),
        optional=("any_of_components",),
    )
    top.child("schema_version").exactly(1)
    minimum = {_whose(key, node): node.integer(0) for key, node in top.child("minimum_executed").children()}
    any_of = top.child("any_of_components").items() if top.has("any_of_components") else ()
    return Profile(
        name=top.child("name").text(),
        title=top.child("title").text(),
        required_components=tuple(_component(node) for node in top.child("required_components").items()),
        any_of_components=tuple(_component(node) for node in any_of),
        required_checks=top.child("required_checks").texts(),
        minimum_executed=MappingProxyType(minimum),
    )


def _whose(key: str, node: Node) -> str:
    if not _WHOSE.fullmatch(key):
        raise node.fail("a suite, or suite:provider, as the key, such as batching or batching:tensorrt_llm*")
    return key


def _component(node: Node) -> str:
    if node.text() not in BY_KEY and node.text() not in PLATFORM_TITLES:
        raise node.fail("a key of the stack vocabulary, such as tensorrt_llm, torch, gpu or driver")
    return node.text()
