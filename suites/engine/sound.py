"""Sound variants of the stand-in: what a library may do without being wrong. None may be flagged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import numpy as np

from pytest_trtcheck._suites.engine.evaluate import Arithmetic, Plain
from pytest_trtcheck._suites.engine.numerics import quantized, rounded
from pytest_trtcheck._suites.engine.standin import Batches, Standin
from pytest_trtcheck.providers.engine import EngineCase, Graph, Node

_ELEMENTWISE = frozenset({"add", "sub", "mul", "relu", "sigmoid", "tanh", "reciprocal", "sqrt"})
_PIECE = 16
"""Products that a tensor core adds up before it rounds."""


class _Variant(Standin):
    arithmetic_class: ClassVar[type[Arithmetic]]

    def arithmetic(self, graph: Graph) -> Arithmetic:
        """Compute in this variant's way."""
        return self.arithmetic_class(graph)


class _Single(Plain):
    def store(self, values: np.ndarray, node: Node, dtype: str) -> np.ndarray:
        """Keep what is fp16 or bf16 in fp32; what leaves or is quantized keeps its type."""
        return super().store(values, node, "fp32" if dtype in {"fp16", "bf16"} else dtype)


class _Fused(Plain):
    def store(self, values: np.ndarray, node: Node, dtype: str) -> np.ndarray:
        """Round what products, reductions and moves give; elementwise chains stay in registers in fp32."""
        return super().store(values, node, "fp32" if node.op in _ELEMENTWISE else dtype)


class _Folded(Plain):
    """Products as sums of outer products, each addition rounded."""

    accumulator: ClassVar[dict[str, str]] = {"fp16": "fp16", "bf16": "fp32", "fp32": "fp32"}

    def result(self, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
        """Add up one piece after the other."""
        if node.op != "matmul":
            return super().result(node, given)
        x, y = given[0], given[1].swapaxes(-1, -2) if node.settings.get("transpose") else given[1]
        total = np.zeros((*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1]))
        for at in self.pieces(x.shape[-1]):
            total = self.added(total, x[..., at] @ y[..., at, :], self.accumulator[self.graph.dtypes[node.output]])
        return total

    def pieces(self, terms: int) -> list[slice]:
        """Return which terms are added up before a rounding."""
        return [slice(at, at + 1) for at in range(terms)]

    def added(self, total: np.ndarray, piece: np.ndarray, dtype: str) -> np.ndarray:
        """Return a sum, rounded to nearest."""
        return rounded(total + piece, dtype)


class _Backwards(_Folded):
    def pieces(self, terms: int) -> list[slice]:
        """Begin at the end."""
        return super().pieces(terms)[::-1]


class _Pieces(_Folded):
    def pieces(self, terms: int) -> list[slice]:
        """Take 16 at once, as tensor cores do."""
        return [slice(at, at + _PIECE) for at in range(0, terms, _PIECE)]

    def added(self, total: np.ndarray, piece: np.ndarray, dtype: str) -> np.ndarray:
        """Return a sum, rounded towards zero."""
        found = total + piece
        nearest = rounded(found, dtype)
        return np.where(np.abs(nearest) > np.abs(found), rounded(2 * found - nearest, dtype), nearest)


class _LateDivision(Plain):
    def _softmax(self, node: Node, settings: object, x: np.ndarray) -> np.ndarray:  # noqa: ARG002
        raised = rounded(np.exp2(rounded((x - x.max(axis=-1, keepdims=True)) / np.log(2), "fp32")), "fp32")
        return raised * rounded(1 / raised.sum(axis=-1, keepdims=True), "fp32")


class _OnePassVariance(Plain):
    """Reductions in fp32, pairwise as NumPy adds up."""

    def _sum(self, node: Node, settings: object, x: np.ndarray) -> np.ndarray:  # noqa: ARG002
        found: np.ndarray = x.astype(np.float32).sum(axis=-1, keepdims=True).astype(np.float64)
        return found


class _EveryChannel(Plain):
    """Kernels with a step of its own for each channel, outputs never in INT8."""

    def int8(self, values: np.ndarray, name: str) -> np.ndarray:
        """Quantize all but outputs."""
        if name in self.graph.outputs:
            return values
        if self.ranges is None or name not in {one.name for one in self.graph.weights}:
            return super().int8(values, name)
        return np.stack([quantized(kernel, float(np.abs(kernel).max())) for kernel in values])


class _NoInt8(Plain):
    def int8(self, values: np.ndarray, name: str) -> np.ndarray:  # noqa: ARG002
        """Leave everything in fp32."""
        return values


class _CutOff(_Variant):
    """Chooses ranges as an optimizer of errors would."""

    def ranges_of(self, case: EngineCase, weights: Mapping[str, np.ndarray], batches: Batches) -> dict[str, float]:
        """Try ranges from a quarter of the largest magnitude up."""
        held = [Arithmetic(case.graph).values(weights, batch) for batch in batches]
        found = super().ranges_of(case, weights, batches)
        for name, largest in found.items():
            values = np.concatenate([one[name].ravel() for one in held])
            tried = largest * np.linspace(0.25, 1.0, 31)
            found[name] = float(min(tried, key=lambda at: float(np.square(quantized(values, at) - values).mean())))
        return found


class _Widened(_Variant):
    """Chooses coarse ranges."""

    def ranges_of(self, case: EngineCase, weights: Mapping[str, np.ndarray], batches: Batches) -> dict[str, float]:
        """Round up."""
        found = super().ranges_of(case, weights, batches)
        return {name: float(2.0 ** np.ceil(np.log2(largest))) for name, largest in found.items()}


def _variant(name: str, arithmetic: type[Arithmetic], about: str, base: type[_Variant] = _Variant) -> type[Standin]:
    contents = {"name": f"sound_{name}", "__doc__": about, "__module__": __name__, "arithmetic_class": arithmetic}
    return type(f"sound_{name}", (base,), contents)


Maker = Callable[[], Standin]
SOUND: tuple[type[Standin], ...] = (
    _variant("plain", Plain, "Every tensor rounded to its type."),
    _variant("exact", Arithmetic, "Nothing rounded until the end."),
    _variant("single", _Single, "fp16 and bf16 kept in fp32 throughout."),
    _variant("fused", _Fused, "Elementwise chains not rounded in between."),
    _variant("one_by_one", _Folded, "Products added up one by one, those of fp16 in fp16."),
    _variant("backwards", _Backwards, "The same from the end."),
    _variant("tensor_core", _Pieces, "Products added up 16 at once, sums cut off towards zero."),
    _variant("late_division", _LateDivision, "Softmax by powers of two, divided at the end."),
    _variant("single_sums", _OnePassVariance, "Reductions added up in fp32."),
    _variant("scale_of_every_channel", _EveryChannel, "INT8 kernels with a scale for each channel, outputs in fp32."),
    _variant("no_int8", _NoInt8, "What is calibrated runs in fp32 all the same."),
    _variant("cut_off_ranges", Plain, "Calibrated ranges that minimize the mean square of errors.", _CutOff),
    _variant("wide_ranges", Plain, "Calibrated ranges rounded up to powers of two.", _Widened),
)
