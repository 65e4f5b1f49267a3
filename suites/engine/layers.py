"""Graphs as layers of TensorRT's network API, releases 8.6 to 11.4.

In a strongly typed network tensors have the types of the graph. Before that (8.6) types are wishes, so each layer is
told its precision and the builder to obey. INT8 constants are real numbers before 10.0, and are quantized again there.
In a calibrated network convolutions are told INT8, which the builder is to prefer, and all else is its choice.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_trtcheck._suites.engine.packed import packed
from pytest_trtcheck.model.versions import DottedVersion
from pytest_trtcheck.providers.engine import EngineCase, Node

if TYPE_CHECKING:
    from pytest_trtcheck._suites.support.tensorrt import Draft

_ACTIVATIONS = {"relu": "RELU", "tanh": "TANH", "sigmoid": "SIGMOID"}
_UNARY = {"exp": "EXP", "sqrt": "SQRT", "reciprocal": "RECIP"}
_BINARY = {"add": "SUM", "sub": "SUB", "mul": "PROD", "div": "DIV", "max": "MAX"}
_REDUCTIONS = {"mean": "AVG", "sum": "SUM"}
_FREE_TYPES = frozenset({"cast", "quantize", "dequantize", "repeat"})
"""Operations whose layers say by themselves what type comes out."""
_QUANTIZED = frozenset({"int8", "int4", "fp8_e4m3"})
_BYTES_FROM = DottedVersion.parse("10.0")
"""First release that takes constants by address, and constants in INT8."""


class Layers:
    """Adds a case's graph to a draft. Constants live as long as this object: TensorRT reads them when it builds."""

    def __init__(self, draft: Draft, case: EngineCase, weights: Mapping[str, np.ndarray]) -> None:
        self.draft, self.case, self.weights = draft, case, weights
        self.trt = draft.api.module
        self.dtypes = case.graph.dtypes
        self.kept: list[Any] = []
        self._constants: dict[str, Any] = {}

    def add(self) -> None:
        """Add everything, and mark the outputs."""
        graph = self.case.graph
        tensors: dict[str, Any] = {
            one.name: self.draft.input(
                one.name, one.dtype, tuple(-1 if isinstance(part, str) else part for part in one.shape)
            )
            for one in graph.inputs
        }
        self._nodes(graph.nodes, tensors)
        for name in graph.outputs:
            self.draft.output(tensors[name], name, self.dtypes[name])

    def _nodes(self, nodes: Sequence[Node], tensors: dict[str, Any]) -> None:
        for node in nodes:
            tensor = self._repeat(node, tensors) if node.op == "repeat" else self._node(node, tensors)
            if self.case.calibrated:
                # A calibration cache tells ranges by tensor's name.
                tensor.name = node.output
            tensors[node.output] = tensor

    def _node(self, node: Node, tensors: Mapping[str, Any]) -> Any:
        if node.op == "dequantize" and node.inputs[0] in self.weights and self._must_requantize(node.inputs[0]):
            return self._requantized(node)
        if node.op == "conv":
            layer = self._conv(node, self._tensor(node.inputs[0], tensors))
        else:
            layer = self._layer(node, [self._tensor(name, tensors) for name in node.inputs])
        if self.case.calibrated:
            if node.op == "conv":
                layer.precision = self.draft.api.dtype("int8")
        elif not self.draft.strongly_typed and node.op not in _FREE_TYPES:
            dtype = self.draft.api.dtype(self.dtypes[node.output])
            layer.precision = dtype
            layer.set_output_type(0, dtype)
        return layer.get_output(0)

    def _layer(self, node: Node, given: Sequence[Any]) -> Any:
        draft, trt, x, rank = self.draft, self.trt, given[0], self._rank(node)
        if node.op in _ACTIVATIONS:
            return draft.add("activation", x, getattr(trt.ActivationType, _ACTIVATIONS[node.op]))
        if node.op in _UNARY:
            return draft.add("unary", x, getattr(trt.UnaryOperation, _UNARY[node.op]))
        if node.op in _BINARY:
            return draft.add("elementwise", x, given[1], getattr(trt.ElementWiseOperation, _BINARY[node.op]))
        if node.op in _REDUCTIONS:
            return draft.add("reduce", x, getattr(trt.ReduceOperation, _REDUCTIONS[node.op]), 1 << (rank - 1), True)
        return getattr(self, f"_{node.op}")(node, given)

    def _identity(self, node: Node, given: Sequence[Any]) -> Any:  # noqa: ARG002 - one signature for all
        return self.draft.add("identity", given[0])

    def _matmul(self, node: Node, given: Sequence[Any]) -> Any:
        kinds = self.trt.MatrixOperation
        second = kinds.TRANSPOSE if node.settings.get("transpose") else kinds.NONE
        return self.draft.add("matrix_multiply", given[0], kinds.NONE, given[1], second)

    def _softmax(self, node: Node, given: Sequence[Any]) -> Any:
        layer = self.draft.add("softmax", given[0])
        layer.axes = 1 << (self._rank(node) - 1)
        return layer

    def _gather(self, node: Node, given: Sequence[Any]) -> Any:  # noqa: ARG002
        return self.draft.add("gather", given[0], given[1], 0)

    def _reshape(self, node: Node, given: Sequence[Any]) -> Any:
        layer = self.draft.add("shuffle", given[0])
        layer.reshape_dims = tuple(node.settings["shape"])
        return layer

    def _transpose(self, node: Node, given: Sequence[Any]) -> Any:
        layer = self.draft.add("shuffle", given[0])
        layer.first_transpose = self.trt.Permutation(list(node.settings["order"]))
        return layer

    def _concat(self, node: Node, given: Sequence[Any]) -> Any:
        layer = self.draft.add("concatenation", list(given))
        layer.axis = node.settings["axis"]
        return layer

    def _cast(self, node: Node, given: Sequence[Any]) -> Any:
        return self.draft.add("cast", given[0], self.draft.api.dtype(node.settings["to"]))

    def _quantize(self, node: Node, given: Sequence[Any]) -> Any:
        return self._scaled("quantize", node, given)

    def _dequantize(self, node: Node, given: Sequence[Any]) -> Any:
        return self._scaled("dequantize", node, given)

    def _scaled(self, layer: str, node: Node, given: Sequence[Any]) -> Any:
        """Add a layer of quantization; the type of its output is an argument from 10.0 on, and must be one in 11."""
        to = (self.draft.api.dtype(node.settings["to"]),) if self._takes_bytes else ()
        added = self.draft.add(layer, *given, *to)
        if node.settings["axis"] is not None:
            added.axis = node.settings["axis"]
        return added

    def _conv(self, node: Node, x: Any) -> Any:
        kernel, bias = (self._given_weights(name) for name in node.inputs[1:])
        shape = self.weights[node.inputs[1]].shape
        layer = self.draft.add("convolution_nd", x, shape[0], tuple(shape[2:]), kernel, bias)
        layer.padding_nd = (node.settings["padding"],) * 2
        layer.stride_nd = (node.settings["stride"],) * 2
        for name, held in zip(node.inputs[1:], (kernel, bias), strict=True):
            self._name(held, name)
        return layer

    def _repeat(self, node: Node, tensors: dict[str, Any]) -> Any:
        """Add a loop that ends after a number of rounds known at build time."""
        loop = self.draft.network.add_loop()
        count = np.array(node.settings["count"], dtype=np.int32)
        self.kept.append(count)
        limit = self.draft.result("constant", (), self.trt.Weights(count.reshape(1)))
        self.draft.api.checked(loop.add_trip_limit(limit, self.trt.TripLimit.COUNT), "limit a loop")
        state = loop.add_recurrence(tensors[node.inputs[0]])
        inner = {**tensors, node.inputs[0]: state.get_output(0)}
        self._nodes(node.settings["body"], inner)
        state.set_input(1, inner[node.settings["body"][-1].output])
        return loop.add_loop_output(state.get_output(0), self.trt.LoopOutput.LAST_VALUE).get_output(0)

    def _tensor(self, name: str, tensors: Mapping[str, Any]) -> Any:
        return tensors[name] if name in tensors else self._constant(name)

    def _constant(self, name: str) -> Any:
        """Return a constant's tensor, the same one each time."""
        if name not in self._constants:
            held = self._given_weights(name)
            tensor = self.draft.result("constant", self.weights[name].shape, held, doing=f"constant {name}")
            self._name(held, name)
            if self._stored_type(name) != self.dtypes[name]:
                tensor = self.draft.result("cast", tensor, self.draft.api.dtype(self.dtypes[name]))
            self._constants[name] = tensor
        return self._constants[name]

    def _given_weights(self, name: str) -> Any:
        held, weights = weights_of(self.draft.api, self.weights[name], self._stored_type(name))
        self.kept.append(held)
        return weights

    def _stored_type(self, name: str) -> str:
        """Return the type in which a constant is given: fp32 where NumPy has no such type and only NumPy is taken."""
        dtype = self.dtypes[name]
        return "fp32" if dtype == "bf16" and not self._takes_bytes else dtype

    def _must_requantize(self, name: str) -> bool:
        return self.dtypes[name] in _QUANTIZED and not self._takes_bytes

    def _requantized(self, node: Node) -> Any:
        """Return a quantized constant as real numbers, quantized and dequantized: nothing is lost, scale by scale."""
        name, scale = node.inputs
        real = self.weights[name] * self.weights[scale]
        held, weights = weights_of(self.draft.api, real, "fp32")
        self.kept.append(held)
        tensor = self.draft.result("constant", real.shape, weights, doing=f"constant {name}")
        factor = self._constant(scale)
        quantized = self.draft.result("quantize", tensor, factor)
        return self.draft.result("dequantize", quantized, factor)

    def _name(self, weights: Any, name: str) -> None:
        """Name a constant, so that it can be refitted."""
        self.draft.api.checked(self.draft.network.set_weights_name(weights, name), f"name the constant {name}")

    def _rank(self, node: Node) -> int:
        """Return the rank of an operation's first input."""
        return self.case.graph.ranks[node.inputs[0]]

    @property
    def _takes_bytes(self) -> bool:
        return bool(self.draft.api.release >= _BYTES_FROM)


def weights_of(api: Any, values: np.ndarray, dtype: str) -> tuple[Any, Any]:
    """Return what must be kept alive, and ``Weights`` that point at it."""
    held = packed(values, dtype)
    if api.release >= _BYTES_FROM:
        address = held.ctypes.data_as(ctypes.c_void_p).value or 0
        return held, api.module.Weights(api.dtype(dtype), address, int(values.size))
    return held, api.module.Weights(held.reshape(-1))
