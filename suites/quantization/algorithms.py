"""Algorithms by id, from the matrix that ships with the tool."""

from __future__ import annotations

from functools import cache

from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.rules.quantization import Algorithm, algorithms


@cache
def all_algorithms() -> dict[str, Algorithm]:
    """Return every algorithm, those of a KV cache by their type and ``_kv``."""
    return algorithms(load_matrix())


def algorithm_of(name: str) -> Algorithm:
    """Return an algorithm by its id; ValueError when there is none."""
    known = all_algorithms()
    if name not in known:
        raise ValueError(f"no such algorithm of quantization: {name!r:.60}; there are {', '.join(known)}")
    return known[name]
