"""Engine providers with one mistake each: every one must be caught at level standard, by the check that it names."""

from __future__ import annotations

from pytest_trtcheck._suites.engine.broken.base import Broken
from pytest_trtcheck._suites.engine.broken.calibration import CALIBRATION
from pytest_trtcheck._suites.engine.broken.operations import OPERATIONS
from pytest_trtcheck._suites.engine.broken.precision import PRECISION
from pytest_trtcheck._suites.engine.broken.runtime import RUNTIME

BROKEN: tuple[type[Broken], ...] = (*OPERATIONS, *PRECISION, *CALIBRATION, *RUNTIME)
