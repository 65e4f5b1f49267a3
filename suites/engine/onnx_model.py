"""Graphs as ONNX models, written without the package ``onnx``: TensorRT's parser does not need it, nor do images.

Operators of opset 17 where these do, 21 for bfloat16 and four-bit constants. Field numbers: onnx/onnx.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_trtcheck._suites.engine import protobuf
from pytest_trtcheck._suites.engine.packed import packed
from pytest_trtcheck.providers.engine import EngineCase, Node

_TYPES = {"fp32": 1, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "fp16": 10, "bf16": 16, "fp8_e4m3": 17, "int4": 22}
"""``TensorProto.DataType``."""
_OPERATORS = {
    "relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "exp": "Exp", "sqrt": "Sqrt", "reciprocal": "Reciprocal",
    "identity": "Identity", "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "mean": "ReduceMean",
    "sum": "ReduceSum", "matmul": "MatMul", "conv": "Conv", "softmax": "Softmax", "gather": "Gather",
    "reshape": "Reshape", "transpose": "Transpose", "concat": "Concat", "cast": "Cast", "quantize": "QuantizeLinear",
    "dequantize": "DequantizeLinear", "repeat": "Loop",
}  # fmt: skip
_OPSET, _LATER_OPSET = 17, 21
_NEEDS_LATER = frozenset({"bf16", "fp8_e4m3", "int4"})
_IR_VERSION = {_OPSET: 8, _LATER_OPSET: 10}
_INT, _GRAPH, _INTS = 2, 5, 7
"""``AttributeProto.AttributeType``."""


def onnx_model(case: EngineCase, weights: Mapping[str, np.ndarray], opset: int | None = None) -> bytes:
    """Return the model of a case, as a file holds it. ``opset`` claims another one, whatever the operators are."""
    needed = _LATER_OPSET if _NEEDS_LATER & set(case.graph.dtypes.values()) else _OPSET
    return wrapped(_Writer(case, weights, needed).graph(), needed if opset is None else opset)


def unknown_operator(name: str, operator: str) -> bytes:
    """Return a model whose one node has a name and an operator that there is not."""
    node = _node(operator, ("x",), "y", name=name)
    graph = node + protobuf.text(2, "unknown") + _value(11, "x", "fp32", (1, 4)) + _value(12, "y", "fp32", (1, 4))
    return wrapped(graph, _OPSET)


def wrapped(graph: bytes, opset: int) -> bytes:
    """Return a model of a graph."""
    version = _IR_VERSION.get(opset, _IR_VERSION[_OPSET])
    header = protobuf.number(1, version) + protobuf.text(2, "pytest-trtcheck") + protobuf.text(7, graph)
    return header + protobuf.text(8, protobuf.text(1, "") + protobuf.number(2, opset))


class _Writer:
    def __init__(self, case: EngineCase, weights: Mapping[str, np.ndarray], opset: int) -> None:
        self.case, self.weights, self.opset = case, weights, opset
        self.dtypes = case.graph.dtypes
        self.extra: dict[str, bytes] = {}
        """Constants that operators want as inputs: shapes, axes, trip counts."""

    def graph(self) -> bytes:
        """Return the graph."""
        graph = self.case.graph
        nodes = b"".join(self.node(node) for node in graph.nodes)
        constants = [protobuf.text(5, tensor(one.name, self.weights[one.name], one.dtype)) for one in graph.weights]
        constants += [protobuf.text(5, one) for one in self.extra.values()]
        inputs = [_value(11, one.name, one.dtype, one.shape) for one in graph.inputs]
        outputs = [self.open_value(12, name) for name in graph.outputs]
        return nodes + protobuf.text(2, self.case.name) + b"".join((*constants, *inputs, *outputs))

    def node(self, node: Node) -> bytes:
        """Return one operation, with what its operator wants before it."""
        write = getattr(self, f"_{node.op}", None)
        if write is not None:
            written: bytes = write(node)
            return written
        return _node(_OPERATORS[node.op], node.inputs, node.output)

    def open_value(self, field: int, name: str, called: str = "") -> bytes:
        """Return an input or output with all dimensions open."""
        shape = [f"{called or name}_{axis}" for axis in range(self.case.graph.ranks[name])]
        return _value(field, called or name, self.dtypes[name], shape)

    def constant(self, name: str, values: Any, dtype: str = "int64") -> str:
        """Return the name of a constant, made where it is new."""
        self.extra[name] = tensor(name, np.asarray(values), dtype)
        return name

    def _matmul(self, node: Node) -> bytes:
        if not node.settings.get("transpose"):
            return _node("MatMul", node.inputs, node.output)
        turned = f"{node.output}_turned"
        order = _attribute("perm", ints=(0, 1, 3, 2))
        return _node("Transpose", node.inputs[1:], turned, order) + _node(
            "MatMul", (node.inputs[0], turned), node.output
        )

    def _conv(self, node: Node) -> bytes:
        padding, stride = node.settings["padding"], node.settings["stride"]
        settings = _attribute("pads", ints=(padding,) * 4) + _attribute("strides", ints=(stride,) * 2)
        return _node("Conv", node.inputs, node.output, settings)

    def _mean(self, node: Node) -> bytes:
        axis = _attribute("axes", ints=(-1,)) if self.opset < 18 else b""
        inputs = node.inputs if axis else (*node.inputs, self.constant("last_axis", [-1]))
        return _node("ReduceMean", inputs, node.output, axis)

    def _sum(self, node: Node) -> bytes:
        return _node("ReduceSum", (*node.inputs, self.constant("last_axis", [-1])), node.output)

    def _softmax(self, node: Node) -> bytes:
        return _node("Softmax", node.inputs, node.output, _attribute("axis", integer=-1))

    def _reshape(self, node: Node) -> bytes:
        shape = self.constant(f"{node.output}_shape", list(node.settings["shape"]))
        return _node("Reshape", (*node.inputs, shape), node.output)

    def _transpose(self, node: Node) -> bytes:
        return _node("Transpose", node.inputs, node.output, _attribute("perm", ints=node.settings["order"]))

    def _concat(self, node: Node) -> bytes:
        return _node("Concat", node.inputs, node.output, _attribute("axis", integer=node.settings["axis"]))

    def _cast(self, node: Node) -> bytes:
        return _node("Cast", node.inputs, node.output, _attribute("to", integer=_TYPES[node.settings["to"]]))

    def _quantize(self, node: Node) -> bytes:
        """Return a quantization; the type of what comes out is that of the zero point."""
        zero = self.constant(f"{node.output}_zero", np.zeros(self.weights[node.inputs[1]].shape), node.settings["to"])
        return _node("QuantizeLinear", (*node.inputs, zero), node.output, self._axis(node))

    def _dequantize(self, node: Node) -> bytes:
        return _node("DequantizeLinear", node.inputs, node.output, self._axis(node))

    def _axis(self, node: Node) -> bytes:
        axis = node.settings["axis"]
        if axis is None:
            return b""
        scale, values = (self.weights.get(name) for name in node.inputs[::-1])
        found = _attribute("axis", integer=axis)
        if scale is not None and values is not None and scale.ndim == values.ndim:
            found += _attribute("block_size", integer=values.shape[axis] // scale.shape[axis])
        return found

    def _repeat(self, node: Node) -> bytes:
        """Return a loop whose condition stays true, with one state. Names inside must not be those outside."""
        body, state = node.settings["body"], node.inputs[0]
        inside = f"{state}_inside"
        count = self.constant(f"{node.output}_count", node.settings["count"])
        always = self.constant(f"{node.output}_always", True, "bool")
        renamed = [replace(one, inputs=tuple(inside if name == state else name for name in one.inputs)) for one in body]
        inner = b"".join(self.node(one) for one in renamed) + _node("Identity", ("go_on",), "go_on_out")
        inner += protobuf.text(2, "body") + _value(11, "round", "int64", ()) + _value(11, "go_on", "bool", ())
        inner += self.open_value(11, state, inside) + _value(12, "go_on_out", "bool", ())
        inner += self.open_value(12, body[-1].output)
        return _node("Loop", (count, always, state), node.output, _attribute("body", graph=inner))


def _node(operator: str, inputs: Sequence[str], output: str, attributes: bytes = b"", name: str = "") -> bytes:
    """Return a node as a field of its graph; attributes come encoded."""
    given = b"".join(protobuf.text(1, one) for one in inputs) + protobuf.text(2, output)
    return protobuf.text(1, given + protobuf.text(3, name or output) + protobuf.text(4, operator) + attributes)


def _attribute(name: str, *, integer: int | None = None, ints: Sequence[int] = (), graph: bytes | None = None) -> bytes:
    if graph is not None:
        value = protobuf.text(6, graph) + protobuf.number(20, _GRAPH)
    elif integer is not None:
        value = protobuf.number(3, integer) + protobuf.number(20, _INT)
    else:
        value = protobuf.numbers(8, ints) + protobuf.number(20, _INTS)
    return protobuf.text(5, protobuf.text(1, name) + value)


def tensor(name: str, values: np.ndarray, dtype: str) -> bytes:
    """Return a constant, its numbers as raw bytes in the order of little-endian machines."""
    kept = values.astype(np.bool_) if dtype == "bool" else packed(values, dtype)
    shape = protobuf.numbers(1, values.shape)
    return shape + protobuf.number(2, _TYPES[dtype]) + protobuf.text(8, name) + protobuf.text(9, kept.tobytes())


def _value(field: int, name: str, dtype: str, shape: Sequence[int | str]) -> bytes:
    """Return an input or output; a name in the shape is an open dimension."""
    parts = (protobuf.text(2, part) if isinstance(part, str) else protobuf.number(1, part) for part in shape)
    described = protobuf.number(1, _TYPES[dtype]) + protobuf.text(2, b"".join(protobuf.text(1, part) for part in parts))
    return protobuf.text(field, protobuf.text(1, name) + protobuf.text(2, protobuf.text(1, described)))
