"""Numbers as the types of graphs hold them, on NumPy, which knows neither bfloat16 nor FP8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pytest_trtcheck.providers.engine import EngineCase, Input, Weight

Arrays = Mapping[str, np.ndarray]
SIGNIFICAND_BITS = {"fp64": 53, "fp32": 24, "fp16": 11, "bf16": 8, "tf32": 11, "fp8_e4m3": 4}
LARGEST = {"fp16": 65504.0, "fp8_e4m3": 448.0, "bf16": 3.3895313892515355e38}
_LEAST_EXPONENT = {"fp16": -14, "fp8_e4m3": -6, "bf16": -126, "fp32": -126, "tf32": -126}
"""Of normal numbers; below, the distance between numbers stays as it is."""
INTEGER_RANGE = {"int8": (-128, 127), "int4": (-8, 7)}
LARGEST_INT8 = 127
"""Stands for the end of a calibrated range, which is symmetric."""
HOST = {"fp32": np.float32, "fp16": np.float16, "int32": np.int32}
"""Types of what goes in and comes out."""
_MOST_IDS = 64
_INPUT_SCALE = 2.0**-4
_ID_OF_WEIGHTS = 7919
BATCHES = 4
"""Batches that a calibrator is given."""
_FIRST_BATCH = 1000
_EVEN = {"even": 1.0, "even_wide": 32.0}


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return fp64 values as a type holds them: nearest, ties to even; beyond the largest finite number infinity.

    FP8 E4M3 has no infinity and is saturated, as TensorRT's quantization does.
    """
    if dtype in {"fp64", "int32"}:
        return values
    if dtype == "fp32":
        with np.errstate(over="ignore"):
            return values.astype(np.float32).astype(np.float64)
    if dtype in INTEGER_RANGE:
        return np.clip(np.rint(values), *INTEGER_RANGE[dtype])
    _, exponent = np.frexp(values)
    exponent = np.maximum(exponent, _LEAST_EXPONENT[dtype] + 1) - SIGNIFICAND_BITS[dtype]
    found = np.ldexp(np.rint(np.ldexp(values, -exponent)), exponent)
    if dtype == "fp8_e4m3":
        return np.clip(found, -LARGEST[dtype], LARGEST[dtype])
    return np.where(np.abs(found) > LARGEST.get(dtype, np.inf), np.copysign(np.inf, found), found)


def quantized(values: np.ndarray, largest: float, draw: np.random.Generator | None = None) -> np.ndarray:
    """Return values through INT8 and back, 127 standing for ``largest``, as TensorRT has it.

    With ``draw`` each takes a random error of up to half a step instead.
    """
    step = largest / LARGEST_INT8
    if not step > 0:
        return values
    if draw is not None:
        return np.clip(values, -largest, largest) + draw.uniform(-0.5, 0.5, values.shape) * step
    return rounded(values / step, "int8") * step


@dataclass(frozen=True)
class Drawn:
    """What a case is run with."""

    weights: dict[str, np.ndarray]
    """fp64, exactly representable in the type of each."""
    seed: int

    @classmethod
    def of(cls, case: EngineCase, seed: int) -> Drawn:
        """Draw the constants."""
        draw = np.random.default_rng([seed, _ID_OF_WEIGHTS])
        return cls({one.name: _weight(one, draw) for one in case.graph.weights}, seed)

    def inputs(self, case: EngineCase, sizes: Mapping[str, int], number: int = 0) -> dict[str, np.ndarray]:
        """Draw inputs for some sizes, in the types that go in."""
        draw = np.random.default_rng([self.seed, number, *sizes.values()])
        shapes = case.shapes(sizes)
        return {one.name: _input(one, shapes[one.name], draw) for one in case.graph.inputs}

    def batches(self, case: EngineCase) -> tuple[dict[str, np.ndarray], ...]:
        """Draw inputs of the usual sizes to calibrate with: none that a check runs on."""
        return tuple(self.inputs(case, case.sizes(1), _FIRST_BATCH + number) for number in range(BATCHES))


def _weight(one: Weight, draw: np.random.Generator) -> np.ndarray:
    if one.value is not None:
        return rounded(np.full(one.shape, one.value), one.dtype)
    if one.dtype in INTEGER_RANGE:
        low, high = INTEGER_RANGE[one.dtype]
        return draw.integers(low, high, one.shape, endpoint=True).astype(np.float64)
    if one.name.endswith("_scale"):
        return np.ldexp(1.0, draw.integers(-9, -6, one.shape, endpoint=True))
    spread = one.spread * (16 if one.dtype == "fp8_e4m3" else 1)
    return rounded(draw.standard_normal(one.shape) * spread, one.dtype)


def _input(one: Input, shape: tuple[int, ...], draw: np.random.Generator) -> np.ndarray:
    if one.fill == "ids":
        return draw.integers(0, _MOST_IDS, shape).astype(np.int32)
    if one.fill == "causal":
        hidden = np.triu(np.ones(shape[-2:]), 1)
        return np.broadcast_to(np.where(hidden, -1e4, 0.0), shape).astype(np.float32)
    if one.fill == "int8":
        return (draw.integers(-127, 127, shape, endpoint=True) * _INPUT_SCALE).astype(np.float32)
    if one.fill == "fp8_e4m3":
        return (rounded(draw.standard_normal(shape) * 8, one.fill) * _INPUT_SCALE).astype(np.float32)
    if one.fill in _EVEN:
        return rounded(draw.uniform(-1, 1, shape) * _EVEN[one.fill], "fp16").astype(np.float32)
    values = draw.standard_normal(shape) * (400.0 if one.fill == "wide" else 1.0)
    # Every type of a case holds what goes in, so that a cast at the entrance costs nothing.
    return rounded(rounded(values, "bf16"), "fp16").astype(HOST[one.dtype])
