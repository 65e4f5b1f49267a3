"""Which sound variants a proof runs with which seed, and in which dtypes: all of them at once would take hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

VariantT = TypeVar("VariantT")


def due(sound: Sequence[VariantT], dtypes: Sequence[str], number: int) -> list[tuple[VariantT, str]]:
    """Return the sound variants that the seed of this number runs, from 0 on, each with its dtype.

    The first seed takes every variant; each later one the first variant and one more, in turn. So do dtypes.
    """
    dtype = dtypes[number % len(dtypes)]
    if number == 0 or len(sound) == 1:
        return [(variant, dtype) for variant in sound]
    rest = sound[1:]
    return [(variant, dtype) for variant in (sound[0], rest[number % len(rest)])]


def dtypes_of(device: str) -> tuple[str, ...]:
    """Return the dtypes of sound variants, that of broken ones first: its roundings hide the least."""
    return ("fp32", "bf16", "fp16") if device == "cuda" else ("fp32", "bf16")
