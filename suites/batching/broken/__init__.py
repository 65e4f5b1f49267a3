"""Deliberately broken backends: each has one mistake that real engines have had, and must be caught."""

from __future__ import annotations

from pytest_trtcheck._suites.batching.broken import (
    answers,
    blocks,
    limits,
    parallel,
    places,
    prompts,
    reuse,
    scheduling,
)
from pytest_trtcheck._suites.batching.broken.base import Variant

BROKEN: tuple[type[Variant], ...] = tuple(
    variant
    for module in (blocks, places, prompts, reuse, scheduling, answers, limits, parallel)
    for variant in module.BROKEN
)
