"""INT8 by calibration: ranges of tensors, what they make of numbers, and whether a calibrator's are believable."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping

import numpy as np

from pytest_trtcheck._suites.engine.evaluate import Arithmetic
from pytest_trtcheck._suites.engine.found import WrongError
from pytest_trtcheck._suites.engine.numerics import LARGEST_INT8
from pytest_trtcheck.providers.engine import BuildRequest, Calibration, EngineCase

_INPUT_FACTORS = (0.5, 2.0)
_INNER_FACTORS = (0.25, 2.0)
"""A calibrator may choose ranges between these times the largest magnitude that it saw. Inputs are spread evenly, so
whatever it minimizes it gains nothing by cutting off much; sums of 288 products have tails, which it may cut off."""


def largest_of(
    case: EngineCase, weights: Mapping[str, np.ndarray], batches: Iterable[Mapping[str, np.ndarray]]
) -> dict[str, float]:
    """Return the largest magnitude of every input and of every result on some batches, computed exactly."""
    found: dict[str, float] = {}
    for batch in batches:
        values = Arithmetic(case.graph).values(weights, batch)
        for name, array in values.items():
            if name not in weights:
                found[name] = max(found.get(name, 0.0), float(np.abs(array).max()))
    return found


def believable_ranges(
    calibration: Calibration | None, case: EngineCase, request: BuildRequest, largest: Mapping[str, float]
) -> Mapping[str, float]:
    """Return the ranges that a build found; WrongError where batches were left out or the ranges are not theirs.

    ``largest``: see ``largest_of``.
    """
    if calibration is None:
        raise WrongError("expected what the calibrator found, found nothing: no calibrator was in this build")
    if request.calibration_cache and calibration.taken:
        raise WrongError(f"the calibrator was asked for {calibration.taken} batches beside a calibration cache")
    if not request.calibration_cache and calibration.taken != len(request.batches):
        raise WrongError(f"the calibrator was asked for {calibration.taken} of {len(request.batches)} batches")
    if not calibration.cache:
        raise WrongError("the calibrator wrote no cache")
    inputs = [one.name for one in case.graph.inputs]
    untold = [name for name in inputs if name not in calibration.ranges]
    if untold:
        raise WrongError(f"the calibration tells no range of input {', '.join(untold)}")
    for name, found in calibration.ranges.items():
        seen, (low, high) = largest.get(name, 0.0), _INPUT_FACTORS if name in inputs else _INNER_FACTORS
        is_judged = name in inputs or (seen and found)
        if is_judged and not (math.isfinite(found) and low * seen <= found <= high * seen):
            words = f"tensor {name} was calibrated for magnitudes up to {found:.4g}"
            raise WrongError(f"{words}, expected {low} to {high} times {seen:.4g}, the largest that it held")
    return calibration.ranges


def read_cache(cache: bytes) -> dict[str, float]:
    """Return the ranges in TensorRT's calibration cache; ValueError where it is none.

    A line that names release and algorithm, then ``name: scale`` with the scale as the eight hexadecimal digits of a
    big-endian fp32; the range is 127 times that.
    """
    head, *lines = cache.decode("utf-8", "replace").splitlines() or [""]
    if not head.startswith("TRT-"):
        raise ValueError(f"expected a calibration cache that begins with TRT-, found {head[:40]!r}")
    found = {}
    for line in filter(str.strip, lines):
        name, _, digits = line.rpartition(":")
        try:
            found[name.strip()] = LARGEST_INT8 * struct.unpack(">f", bytes.fromhex(digits.strip().zfill(8)))[0]
        except (ValueError, struct.error):
            raise ValueError(f"expected name: scale in a calibration cache, found {line[:80]!r}") from None
    return found


def write_cache(ranges: Mapping[str, float], head: str) -> bytes:
    """Return ranges as ``read_cache`` reads them; what stands in for TensorRT writes its caches so."""
    lines = [f"{name}: {struct.pack('>f', largest / LARGEST_INT8).hex()}" for name, largest in ranges.items()]
    return "\n".join([head, *lines, ""]).encode()
