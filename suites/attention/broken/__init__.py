"""Deliberately broken kernels, one mistake each: every one must be caught at level quick."""

from __future__ import annotations

from pytest_trtcheck._suites.attention.broken.base import Broken
from pytest_trtcheck._suites.attention.broken.cache import CACHE
from pytest_trtcheck._suites.attention.broken.heads import HEADS
from pytest_trtcheck._suites.attention.broken.logits import LOGITS
from pytest_trtcheck._suites.attention.broken.masks import MASKS
from pytest_trtcheck._suites.attention.broken.outputs import OUTPUTS
from pytest_trtcheck._suites.attention.broken.precision import PRECISION
from pytest_trtcheck._suites.attention.broken.rotary import ROTARY

BROKEN: tuple[type[Broken], ...] = (*LOGITS, *MASKS, *HEADS, *ROTARY, *CACHE, *PRECISION, *OUTPUTS)
