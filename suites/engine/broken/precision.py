"""Precision lowered behind one's back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from pytest_trtcheck._suites.engine.broken.base import Broken
from pytest_trtcheck._suites.engine.evaluate import Plain
from pytest_trtcheck._suites.engine.numerics import rounded
from pytest_trtcheck.providers.base import Where
from pytest_trtcheck.providers.engine import EngineCase, Node

_PRODUCTS = ("matmul", "conv")


class _ProductsIn(Plain):
    """Operands of products are rounded first."""

    dtype: ClassVar[str]

    def result(self, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
        """Round what goes into a product."""
        if node.op in _PRODUCTS:
            given = [rounded(values, self.dtype) for values in given]
        return super().result(node, given)


class _InTf32(_ProductsIn):
    dtype = "tf32"


class _InFp8(_ProductsIn):
    dtype = "fp8_e4m3"


class _StoredIn(Plain):
    """Results are stored in a narrower type."""

    narrower: ClassVar[dict[str, str]]

    def store(self, values: np.ndarray, node: Node, dtype: str) -> np.ndarray:
        """Round to the narrower type."""
        return super().store(values, node, self.narrower.get(dtype, dtype))


class _HalfForSingle(_StoredIn):
    narrower: ClassVar[dict[str, str]] = {"fp32": "fp16"}


class _BrainForHalf(_StoredIn):
    narrower: ClassVar[dict[str, str]] = {"fp16": "bf16"}


class Tf32(Broken):
    """Products of fp32 in TF32."""

    name = "broken_tf32"
    ops = frozenset(_PRODUCTS)
    arithmetic_class = _InTf32

    def why_not(self, case: EngineCase, where: Where) -> str:
        """Shown by cases in fp32, unless their numbers are few and small."""
        shows = case.dtype == "fp32" and "quantize" not in {node.op for node in case.graph.nodes}
        return super().why_not(case, where) if shows else "fp32 only"


class HalfForSingle(Broken):
    """What is fp32 in the graph is kept in fp16, inside of norms too."""

    name = "broken_half_for_single"
    arithmetic_class = _HalfForSingle

    def why_not(self, case: EngineCase, where: Where) -> str:
        """Shown by cases in fp32, and by squares that fp16 cannot hold."""
        return "" if case.dtype == "fp32" or "range" in case.features else super().why_not(case, where) or "fp32 only"


class BrainForHalf(Broken):
    """What is fp16 in the graph is kept in bf16."""

    name = "broken_bf16_for_fp16"
    arithmetic_class = _BrainForHalf

    def why_not(self, case: EngineCase, where: Where) -> str:  # noqa: ARG002
        """Shown by cases in fp16."""
        return "" if case.dtype == "fp16" else "fp16 only"


class Fp8Products(Broken):
    """Products of fp16 and bf16 are quantized to FP8 unasked."""

    name = "broken_fp8_products"
    ops = frozenset(_PRODUCTS)
    arithmetic_class = _InFp8

    def why_not(self, case: EngineCase, where: Where) -> str:
        """Shown where operands are not FP8 anyway."""
        return "operands are few-bit numbers" if "qdq" in case.name else super().why_not(case, where)


PRECISION: tuple[type[Broken], ...] = (Tf32, HalfForSingle, BrainForHalf, Fp8Products)
