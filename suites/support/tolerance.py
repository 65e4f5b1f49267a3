"""The one table of tolerances, and the one comparison of an answer with its reference.

An answer passes when its error is at most ``k`` times the error of the same computation done plainly in the case's
dtype (every intermediate result stored in it), plus a floor of a few roundings of that dtype.

Why ``k`` = 2. FlashAttention holds its kernels to twice the error of the plain low-precision computation
(github.com/Dao-AILab/flash-attention tests/test_flash_attn.py). It follows from the roundings as well: a sound kernel
rounds at no more places than the plain one, in another order. Two independent errors of one size add up to the
square root of 2 of it, and what remains covers the spread of a root mean square over a few dozen elements.

Why the floor. Where the plain computation happens to be exact (one key carries all the weight) a sound kernel may still
round its weights, its normalisation and its output once each: three roundings of half a unit in the last place. And
its sums, which are kept in fp32, may be taken in any order: summing ``n`` terms costs about the square root of ``n``
roundings of the sum of their magnitudes (Higham and Mary, SIAM J. Sci. Comput. 41(5), 2019), which matters in fp32
only.

One run of the plain computation is one sample of its error. Where few rows make a group it may be small by chance, so
it is replaced by its expectation where that is larger: what rounding every intermediate number once does, to first
order.

Errors are measured in units of the row's scale, the mean over the channels of ``sum_j p_j |v_j|``: what a relative
error of 1 in every product would make of this row. Two statistics are held against their bounds: the root mean square
over each group of rows (one head of one sequence), which shows what is wrong a little everywhere, and the largest
element of all, which shows what is wrong in one place.

Arrays are torch's or NumPy's, all of one kind: engines are judged where torch is absent. Only what both libraries spell
alike is used.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import Any

from pytest_trtcheck.model.report import Comparison

Array = Any
"""``torch.Tensor`` or ``numpy.ndarray``."""


@dataclass(frozen=True)
class Tolerance:
    """How far an answer in a dtype may be from the reference."""

    unit_roundoff: float
    """Half of the distance between 1 and the next number."""
    k: float
    """Allowed error over the plain computation's."""
    roundings: float
    """The floor, in unit roundoffs."""


_PEAK = "largest element"
_RMS = "root mean square"

_K = 2.0
_ROUNDINGS = 3.0

TOLERANCES = {
    "fp32": Tolerance(2.0**-24, _K, _ROUNDINGS),
    "fp16": Tolerance(2.0**-11, _K, _ROUNDINGS),
    "bf16": Tolerance(2.0**-8, _K, _ROUNDINGS),
}
"""By dtype of the case. Unit roundoffs: IEEE 754-2019 binary32 and binary16, and bfloat16's 8 bits of significand."""


@dataclass(frozen=True)
class Expectable:
    """Errors that a sound implementation may make, to first order and without running one."""

    summation: Array
    """fp64 ``[rows]``: what summing in another order may cost, in unit roundoffs of fp32."""
    intermediate: Array
    """fp64 ``[rows, channels]``: what rounding every intermediate number once does, in unit roundoffs of the dtype."""


@dataclass(frozen=True)
class Bound:
    """What is allowed, by the plain computation's error."""

    rms: Array
    """fp64 ``[groups]``."""
    peak: float

    @classmethod
    def of(cls, plain_error: Array, groups: Array, tolerance: Tolerance, expectable: Expectable) -> Bound:
        """Take the plain computation's error, ``[rows, channels]`` in units of the row's scale, and rows' groups."""
        xp = _library(plain_error)
        floor = tolerance.roundings * tolerance.unit_roundoff
        error = xp.nan_to_num(plain_error, nan=0.0)
        expected = xp.nan_to_num(expectable.intermediate, nan=0.0) * tolerance.unit_roundoff
        sums = xp.nan_to_num(expectable.summation, nan=0.0) * TOLERANCES["fp32"].unit_roundoff
        # No group is held to more than all rows together.
        least = float((error * error).mean())
        squares = xp.maximum(_group_mean_square(error, groups), _group_mean_square(expected, groups))
        squares = xp.clip(squares, least, None)
        rms = tolerance.k * squares**0.5 + floor + _group_mean_square(sums[:, None], groups) ** 0.5
        # The largest of many elements lies beyond its standard deviation.
        peak = max(float(abs(error).max()), math.sqrt(2) * float(expected.max()))
        return cls(rms, tolerance.k * peak + floor + float(sums.max()))


def compare(found: Array, expected: Array, scale: Array, groups: Array, bound: Bound) -> Comparison:
    """Hold an answer against the reference.

    ``found`` and ``expected``: ``[rows, channels]``, expected in fp64; ``scale``: fp64 ``[rows]``; ``groups``: int64
    ``[rows]``. NaN must stand exactly where the reference has NaN. The index in the result is (row, channel).
    """
    xp = _library(expected)
    found = xp.asarray(found, dtype=xp.float64)
    strange = (xp.isnan(found) != xp.isnan(expected)) | xp.isinf(found)
    if bool(strange.any()):
        return _comparison(None, bound.peak, _PEAK, xp.asarray(strange, dtype=xp.uint8), expected, found)
    error = abs(xp.nan_to_num((found - expected) / scale[:, None], nan=0.0))
    rms = _group_mean_square(error, groups) ** 0.5
    excess = rms / bound.rms
    group = int(excess.argmax())
    peak = float(error.max())
    if peak / bound.peak >= float(excess[group]):
        return _comparison(peak, bound.peak, _PEAK, error, expected, found)
    inside = xp.where((groups == group)[:, None], error, -1.0)
    return _comparison(float(rms[group]), float(bound.rms[group]), _RMS, inside, expected, found)


def _comparison(
    error: float | None,
    allowed: float,
    statistic: str,
    badness: Array,
    expected: Array,
    found: Array,
) -> Comparison:
    row, channel = divmod(int(badness.argmax()), badness.shape[1])
    there = [float(tensor[row, channel]) for tensor in (expected, found)]
    numbers = [value if math.isfinite(value) else None for value in there]
    return Comparison(error, allowed, statistic, ("row", "channel"), (row, channel), *numbers)


def _group_mean_square(error: Array, groups: Array) -> Array:
    xp = _library(error)
    # The second argument weighs each row.
    return xp.bincount(groups, (error * error).mean(1)) / xp.bincount(groups)


def _library(array: Array) -> Any:
    """Return ``torch`` or ``numpy``, whichever an array is of."""
    return importlib.import_module(type(array).__module__.partition(".")[0])
