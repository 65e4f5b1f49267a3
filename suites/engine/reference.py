"""Reference of a case at one set of sizes: the exact outputs, and how far off each may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pytest_trtcheck._suites.engine.evaluate import Arithmetic, Disturbed, Plain
from pytest_trtcheck._suites.support.tolerance import TOLERANCES, Bound, Expectable, compare
from pytest_trtcheck.model.report import Comparison
from pytest_trtcheck.providers.engine import EngineCase

_SAMPLES = 8
"""Disturbed runs: the root mean square of so few is within a third of what many would give."""


@dataclass(frozen=True)
class Output:
    """One output of the reference, as rows of channels (the last axis)."""

    expected: np.ndarray
    """fp64 ``[rows, channels]``."""
    scale: np.ndarray
    """fp64 ``[rows]``: mean magnitude of the row, or of everything where a row is nearly nothing."""
    groups: np.ndarray
    """int64 ``[rows]``: entry of the batch."""
    bound: Bound


@dataclass(frozen=True)
class Reference:
    """All outputs of a case for one set of inputs."""

    outputs: Mapping[str, Output]
    shapes: Mapping[str, tuple[int, ...]]

    def poisoned(self) -> dict[str, np.ndarray]:
        """Return arrays for the outputs, full of NaN: what is not written is seen."""
        return {name: np.full(shape, np.nan, dtype=np.float32) for name, shape in self.shapes.items()}

    def judge(self, found: Mapping[str, np.ndarray]) -> tuple[str, Comparison]:
        """Return the output that fares worst, and its comparison."""
        judged = {
            name: compare(_rows(found[name]), output.expected, output.scale, output.groups, output.bound)
            for name, output in self.outputs.items()
        }
        worst = max(judged, key=lambda name: _badness(judged[name]))
        return worst, judged[worst]


def make_reference(
    case: EngineCase,
    weights: Mapping[str, np.ndarray],
    inputs: Mapping[str, np.ndarray],
    ranges: Mapping[str, float] | None = None,
) -> Reference:
    """Compute the exact outputs, the plain ones, and what roundings and orders of summation may do to them.

    ``ranges``: what a calibrated engine says that it found. Expected is what the graph gives without INT8. Allowed is
    twice the error of the plain computation with what goes into convolutions and what leaves rounded to a step of the
    range over 127, kernels to a step of their largest number over 127, cut off beyond: a library may leave any of these
    roundings out, and scale kernels channel by channel, which makes steps smaller. The error of one rounding is evenly
    spread over a step ``s``, so a product with a kernel ``k`` takes an error of variance ``(s^2 sum k^2 + t^2 sum x^2)
    / 12``, ``t`` being the kernel's step; ``Disturbed`` finds the same by drawing, second layers included.
    """
    exact = Arithmetic(case.graph).run(weights, inputs)
    plain = Plain(case.graph, ranges).run(weights, inputs)
    rounding = [Disturbed(case.graph, seed, sums=False, ranges=ranges).run(weights, inputs) for seed in range(_SAMPLES)]
    summing = [Disturbed(case.graph, seed, roundings=False).run(weights, inputs) for seed in range(_SAMPLES)]
    tolerance = TOLERANCES[case.dtype]
    outputs = {}
    for name, right in exact.items():
        expected = _rows(right)
        magnitudes = np.abs(expected).mean(axis=1)
        scale = np.maximum(magnitudes, magnitudes.mean() / 16)
        scale = np.where(scale > 0, scale, 1.0)
        groups = np.repeat(np.arange(right.shape[0]), expected.shape[0] // right.shape[0])
        roundings = _spread(rounding, name, expected) / scale[:, None] / tolerance.unit_roundoff
        sums = _spread(summing, name, expected) / scale[:, None] / TOLERANCES["fp32"].unit_roundoff
        error = (_rows(plain[name]) - expected) / scale[:, None]
        expectable = Expectable(summation=sums.max(axis=1), intermediate=roundings)
        outputs[name] = Output(expected, scale, groups, Bound.of(error, groups, tolerance, expectable))
    return Reference(outputs, {name: right.shape for name, right in exact.items()})


def _rows(values: np.ndarray) -> np.ndarray:
    """Return ``[rows, channels]`` in fp64; the last axis of images is a row of pixels, which serves as well."""
    return values.astype(np.float64).reshape(-1, values.shape[-1])


def _spread(runs: list[dict[str, np.ndarray]], name: str, expected: np.ndarray) -> np.ndarray:
    """Return the root mean square of disturbed outputs' errors, element by element."""
    squares = [np.square(_rows(run[name]) - expected) for run in runs]
    found: np.ndarray = np.sqrt(np.mean(squares, axis=0))
    return found


def _badness(comparison: Comparison) -> float:
    return float("inf") if comparison.error is None else comparison.error / comparison.allowed
