"""Stacks made by hand, for tests that judge and not probe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pytest_trtcheck.model.components import COMPONENTS
from pytest_trtcheck.model.facts import Copy, Distribution, Fact, Gpu, ImportOutcome, Stack, State


def fact(key: str, value: str | None, **fields: Any) -> Fact:
    """Return a fact that was found."""
    return Fact(key, State.FOUND, value, where=fields.pop("where", f"/made/by/hand/{key}"), how="by hand", **fields)


def copy(path: str, version: str | None, soname: str, *needed: str) -> Copy:
    """Return one copy of a library."""
    return Copy(path, version, "by hand", "site-packages/nvidia", soname, needed)


def dist(name: str, version: str, *requires: str, python: str = "") -> Distribution:
    """Return an installed distribution."""
    return Distribution(
        name,
        version,
        f"/site-packages/{name.replace('-', '_')}-{version}.dist-info",
        requires=requires,
        requires_python=python,
    )


def gpu(name: str = "NVIDIA H200", capability: str = "9.0", **fields: Any) -> Gpu:
    """Return a GPU."""
    return Gpu(fields.pop("index", 0), name, fields.pop("uuid", "GPU-made-by-hand"), capability, **fields)


def stack(
    *facts: Fact,
    gpus: Iterable[Gpu] = (),
    dists: Iterable[Distribution] = (),
    imports: Iterable[ImportOutcome] = (),
    kind: str = "host",
    **values: str | None,
) -> Stack:
    """Return a stack: each keyword is a fact found with that value, every other component is absent."""
    absent = {component.key: Fact(component.key, State.ABSENT, reason="looked everywhere") for component in COMPONENTS}
    for key in ("gpu", "driver"):
        absent[key] = Fact(key, State.ABSENT, reason="no driver")
    found = {key: fact(key, value) for key, value in values.items()}
    found.update({given.key: given for given in facts})
    return Stack(kind, "made by hand", {**absent, **found}, tuple(gpus), tuple(dists), tuple(imports))


def with_fact(base: Stack, *facts: Fact) -> Stack:
    """Return the stack with these facts added or replaced."""
    return replace(base, facts={**base.facts, **{given.key: given for given in facts}})
