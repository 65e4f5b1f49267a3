"""The check that is made of calibrated cases alone: the calibration cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_trtcheck._suites.engine.found import MOST_WORDS, Found, WrongError
from pytest_trtcheck.providers.engine import BuildRequest

if TYPE_CHECKING:
    from pytest_trtcheck._suites.engine.judge import Bench


def calibration(bench: Bench) -> Found:
    """Check that a second build takes the first one's calibration cache in place of batches, and is right with it."""
    first = bench.built("inspect")
    assert first.calibration is not None
    with bench.session(first, "inspect") as session:
        bench.compared(bench.run(session, {}), {})
    request = BuildRequest(calibration_cache=first.calibration.cache)
    second = bench.build(request, "build with that calibration cache")
    assert second.calibration is not None
    told, again = first.calibration.ranges, second.calibration.ranges
    other = [name for name in told if not np.isclose(again.get(name, 0.0), told[name])]
    if other:
        raise WrongError(f"with the cache of the first build the second has other ranges of {', '.join(other)}")
    with bench.session(second) as session:
        comparison = bench.compared(bench.run(session, {}), {})
    ranges = ", ".join(f"{one.name} {told[one.name]:.4g}" for one in bench.case.graph.inputs)
    types = ", ".join(sorted({layer.types for layer in first.layers or ()} - {""}))
    return f"ranges {ranges}; layers in {types or 'types that are not told'}"[:MOST_WORDS], comparison
