"""Exact values as the bytes of a type, for libraries that take constants by their bytes."""

from __future__ import annotations

import numpy as np

_FP8_BIAS, _FP8_FRACTION_BITS = 7, 3


def packed(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return values that a type holds exactly as it holds them.

    For bf16 16-bit words, for fp8 bytes, for int4 bytes of two numbers, the first in the lower half.
    """
    plain = {"fp32": np.float32, "fp16": np.float16, "int8": np.int8, "int32": np.int32, "int64": np.int64}
    if dtype in plain:
        return np.ascontiguousarray(values.astype(plain[dtype]))
    if dtype == "bf16":
        words: np.ndarray = np.ascontiguousarray(values.astype(np.float32)).view(np.uint32) >> 16
        return words.astype(np.uint16)
    if dtype == "fp8_e4m3":
        return _fp8(values)
    halves = np.ascontiguousarray(values.astype(np.int8)).reshape(-1).view(np.uint8) & 0xF
    halves = np.append(halves, np.zeros(halves.size % 2, np.uint8))
    pairs: np.ndarray = halves[0::2] | (halves[1::2] << 4)
    return pairs


def _fp8(values: np.ndarray) -> np.ndarray:
    """Return E4M3 bytes: sign, four bits of exponent with bias 7, three of fraction."""
    magnitude = np.abs(values)
    _, exponent = np.frexp(np.where(magnitude > 0, magnitude, 1.0))
    biased = np.maximum(exponent - 1 + _FP8_BIAS, 0)
    # Below the smallest normal number the exponent stays that of biased 1, without the leading one.
    scale = np.maximum(biased, 1) - _FP8_BIAS - _FP8_FRACTION_BITS
    fraction = np.ldexp(magnitude, -scale).astype(np.int64)
    code = np.where(biased > 0, (biased << _FP8_FRACTION_BITS) + (fraction - 8), fraction)
    code = np.where(magnitude > 0, code, 0) | (np.signbit(values).astype(np.int64) << 7)
    found: np.ndarray = code.astype(np.uint8)
    return found
