"""What a graph computes: exactly, plainly in its types, or with the errors that a sound implementation may make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pytest_trtcheck._suites.engine.numerics import SIGNIFICAND_BITS, quantized, rounded
from pytest_trtcheck.providers.engine import Graph, Node

Values = dict[str, np.ndarray]

_UNARY: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "exp": np.exp,
    "sqrt": np.sqrt,
    "reciprocal": lambda x: 1 / x,
    "identity": lambda x: x,
}
_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
}


class Arithmetic:
    """Exact: fp64, nothing rounded but by ``quantize``. A subclass says what is done to results and sums.

    ``ranges``: for a calibrated graph what 127 stands for, by tensor's name. What goes into convolutions and what
    leaves the graph then goes through INT8, tensors without a range by the largest magnitude that they have.
    """

    def __init__(self, graph: Graph, ranges: Mapping[str, float] | None = None) -> None:
        self.graph, self.ranges = graph, ranges

    def store(self, values: np.ndarray, node: Node, dtype: str) -> np.ndarray:  # noqa: ARG002 - for subclasses
        """Return a result as it is kept."""
        return values

    def summed(self, values: np.ndarray, squares: Callable[[], np.ndarray], terms: int, dtype: str) -> np.ndarray:  # noqa: ARG002
        """Return sums as they come out; ``squares`` gives the sums of their terms' squares."""
        return values

    def run(self, weights: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray]) -> Values:
        """Return the graph's outputs in fp64."""
        values = self.values(weights, inputs)
        return {name: self.int8(values[name], name) for name in self.graph.outputs}

    def values(self, weights: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray]) -> Values:
        """Return every tensor in fp64."""
        values: Values = {name: array.astype(np.float64) for name, array in (*weights.items(), *inputs.items())}
        with np.errstate(all="ignore"):
            self._nodes(self.graph.nodes, values)
        return values

    def int8(self, values: np.ndarray, name: str) -> np.ndarray:
        """Return a tensor as INT8 holds it, where the graph is calibrated."""
        return values if self.ranges is None else quantized(values, self.largest(values, name))

    def largest(self, values: np.ndarray, name: str) -> float:
        """Return what 127 stands for in a tensor."""
        return (self.ranges or {}).get(name) or float(np.abs(values).max())

    def _operands(self, node: Node, values: Values) -> list[np.ndarray]:
        given = [values[name] for name in node.inputs]
        if node.op == "conv":
            given[:2] = [self.int8(one, name) for one, name in zip(given, node.inputs[:2], strict=False)]
        return given

    def _nodes(self, nodes: Sequence[Node], values: Values) -> None:
        for node in nodes:
            if node.op == "repeat":
                self._repeat(node, values)
            else:
                found = self.result(node, self._operands(node, values))
                values[node.output] = self.store(found, node, self.graph.dtypes[node.output])

    def _repeat(self, node: Node, values: Values) -> None:
        body = node.settings["body"]
        inner = dict(values)
        for _ in range(node.settings["count"]):
            self._nodes(body, inner)
            inner[node.inputs[0]] = inner[body[-1].output]
        values[node.output] = inner[node.inputs[0]]

    def result(self, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
        """Return what one operation gives, before it is stored."""
        x, settings = given[0], node.settings
        if node.op in _UNARY:
            return np.asarray(_UNARY[node.op](x))
        if node.op in _BINARY:
            return np.asarray(_BINARY[node.op](x, given[1]))
        found: np.ndarray = getattr(self, f"_{node.op}")(node, settings, *given)
        return found

    def _matmul(self, node: Node, settings: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        y = y.swapaxes(-1, -2) if settings.get("transpose") else y
        dtype = self.graph.dtypes[node.output]
        return self.summed(x @ y, lambda: np.square(x) @ np.square(y), x.shape[-1], dtype)

    def _conv(self, node: Node, settings: Any, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
        patches = _patches(x, kernel.shape[2:], settings["padding"], settings["stride"])
        found = np.einsum("bchwij,ocij->bohw", patches, kernel, optimize=True)
        terms, dtype = int(np.prod(kernel.shape[1:])), self.graph.dtypes[node.output]
        squares = lambda: np.einsum("bchwij,ocij->bohw", patches**2, kernel**2, optimize=True)  # noqa: E731
        return self.summed(found, squares, terms, dtype) + bias[:, None, None]

    def _mean(self, node: Node, settings: Any, x: np.ndarray) -> np.ndarray:
        return self._sum(node, settings, x) / x.shape[-1]

    def _sum(self, node: Node, settings: Any, x: np.ndarray) -> np.ndarray:  # noqa: ARG002 - one signature for all
        found = x.sum(axis=-1, keepdims=True)
        dtype = self.graph.dtypes[node.output]
        return self.summed(found, lambda: np.square(x).sum(axis=-1, keepdims=True), x.shape[-1], dtype)

    def _softmax(self, node: Node, settings: Any, x: np.ndarray) -> np.ndarray:  # noqa: ARG002
        raised = np.exp(x - x.max(axis=-1, keepdims=True))
        return raised / raised.sum(axis=-1, keepdims=True)

    def _gather(self, node: Node, settings: Any, x: np.ndarray, ids: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return x[ids.astype(np.int64)]

    def _reshape(self, node: Node, settings: Any, x: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return x.reshape([x.shape[at] if size == 0 else size for at, size in enumerate(settings["shape"])])

    def _transpose(self, node: Node, settings: Any, x: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return x.transpose(settings["order"])

    def _concat(self, node: Node, settings: Any, *given: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return np.concatenate(given, axis=settings["axis"])

    def _cast(self, node: Node, settings: Any, x: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return x

    def _quantize(self, node: Node, settings: Any, x: np.ndarray, scale: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return rounded(x / _spread_out(scale, x, settings["axis"]), settings["to"])

    def _dequantize(self, node: Node, settings: Any, x: np.ndarray, scale: np.ndarray) -> np.ndarray:  # noqa: ARG002
        return x * _spread_out(scale, x, settings["axis"])


class Plain(Arithmetic):
    """Every result is rounded to its tensor's type; sums of one operation are kept in fp64 until then."""

    def store(self, values: np.ndarray, node: Node, dtype: str) -> np.ndarray:  # noqa: ARG002
        """Round."""
        return rounded(values, dtype)


_EXACT = frozenset({"identity", "gather", "reshape", "transpose", "concat", "quantize", "relu", "max", "repeat"})
"""Operations that move numbers and round none."""


_SUMS = 3.0
"""Standard deviations of a sum's error by which sums are disturbed; see ``Disturbed.summed``."""


class Disturbed(Arithmetic):
    """Every rounding becomes a random error of its size, to see what roundings do to the result, to first order."""

    def __init__(
        self,
        graph: Graph,
        seed: int,
        *,
        roundings: bool = True,
        sums: bool = True,
        ranges: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(graph, ranges)
        self._draw = np.random.default_rng(seed)
        self._roundings, self._sums = roundings, sums

    def int8(self, values: np.ndarray, name: str) -> np.ndarray:
        """Disturb a tensor by up to half a step of its range, and cut off what lies beyond."""
        if self.ranges is None or not self._roundings:
            return values
        return quantized(values, self.largest(values, name), self._draw)

    def store(self, values: np.ndarray, node: Node, dtype: str) -> np.ndarray:
        """Disturb a result by one rounding of its type, unless the operation rounds nothing."""
        if not self._roundings or node.op in _EXACT or dtype not in SIGNIFICAND_BITS:
            return values
        if node.op == "cast" and SIGNIFICAND_BITS[dtype] >= SIGNIFICAND_BITS[self.graph.dtypes[node.inputs[0]]]:
            return values
        return values * (1 + 2.0 ** -SIGNIFICAND_BITS[dtype] * self._draw.uniform(-1, 1, values.shape))

    def summed(self, values: np.ndarray, squares: Callable[[], np.ndarray], terms: int, dtype: str) -> np.ndarray:
        """Disturb sums by three times what adding up term after term costs, at the root mean square over all orders.

        Each of ``n`` partial sums is rounded: a third of their mean square, times the unit roundoff squared. Over all
        orders the squares of the partial sums of ``x``, which come to ``S``, add up to
        ``(n/6) (sum x^2 - S^2/n) + (n/3) S^2``. Products of fp16 may be added up in fp16, which is TensorRT's choice;
        all else is added up in fp32. Three times, because the largest of some ten thousand elements lies four standard
        deviations out, and the partial sums of one order may be half as large again as the mean of all: at twice, four
        of 3960 sound runs were flagged (40 seeds).
        """
        if not self._sums:
            return values
        unit = 2.0 ** -SIGNIFICAND_BITS["fp16" if dtype == "fp16" else "fp32"]
        apart = np.maximum(squares() - np.square(values) / terms, 0)
        partial_sums = terms / 6 * apart + terms / 3 * np.square(values)
        return values + _SUMS * unit * np.sqrt(partial_sums) * self._draw.uniform(-1, 1, values.shape)


def _patches(x: np.ndarray, size: tuple[int, ...], padding: int, stride: int) -> np.ndarray:
    """Return ``[batch, channels, height, width, *size]``: what each place of the result sees."""
    edge = (padding, padding)
    wide = np.pad(x, ((0, 0), (0, 0), edge, edge))
    seen = np.lib.stride_tricks.sliding_window_view(wide, size, axis=(2, 3))
    return seen[:, :, ::stride, ::stride]


def _spread_out(scale: np.ndarray, x: np.ndarray, axis: int | None) -> np.ndarray:
    """Return a scale that multiplies ``x`` element by element: one number, one per channel, or one per block."""
    if scale.ndim == 0 or axis is None:
        return scale
    if scale.ndim == 1:
        return scale.reshape([-1 if at == axis else 1 for at in range(x.ndim)])
    return np.repeat(scale, x.shape[axis] // scale.shape[axis], axis=axis)
