"""Backends with one mistake each, small changes of the built-in engine: the suite has to catch every one."""

from __future__ import annotations

from pytest_trtcheck._suites.decoding.broken import beams, drawing, ending, forward, guiding, telling
from pytest_trtcheck._suites.decoding.broken.base import BrokenEngine

BROKEN: tuple[type[BrokenEngine], ...] = (
    *drawing.BROKEN,
    *ending.BROKEN,
    *guiding.BROKEN,
    *telling.BROKEN,
    *beams.BROKEN,
    *forward.BROKEN,
)
