"""The stand-in's ONNX parser: models are checked and computed by the real package ``onnx``."""

from __future__ import annotations

from typing import Any

from tests.contracts.tensorrt_numbers import torch_dtype
from tests.contracts.tensorrt_standin import Thing, behaves

_MEMBERS = {1: "FLOAT", 6: "INT32", 7: "INT64", 10: "HALF"}
"""Data types of inputs, by ``TensorProto.DataType``."""


@behaves("OnnxParser.parse")
def parse(parser: Thing, data: bytes, path: str | None = None) -> bool:
    import onnx

    errors = parser._state.setdefault("errors", [])
    try:
        model = onnx.load_from_string(data)
        newest = onnx.defs.onnx_opset_version()
        # As the real one does with an opset that it does not know: it tries.
        model.opset_import[0].version = min(model.opset_import[0].version, newest)
        for index, node in enumerate(model.graph.node):
            if not onnx.defs.has(node.op_type):
                errors.append((index, node.name, node.op_type, f"no importer for operator {node.op_type}"))
                return False
        onnx.checker.check_model(model)
    except Exception as error:  # noqa: BLE001 - protobuf's and the checker's have no base in common
        errors.append((-1, "", "", f"Failed to parse the model: {type(error).__name__}"))
        return False
    _add(parser._state["of"][0], model)
    return True


def _add(network: Thing, model: Any) -> None:
    """Add the model as one layer of which the package's own evaluator computes the outputs."""
    import numpy as np
    import torch
    from onnx.reference import ReferenceEvaluator

    given = []
    for one in model.graph.input:
        kind = one.type.tensor_type
        shape = [part.dim_value if part.HasField("dim_value") else -1 for part in kind.shape.dim]
        member = getattr(network._module.enums["DataType"], _MEMBERS[kind.elem_type])
        given.append((one.name, network.add_input(one.name, member, shape), torch_dtype(member)))
    names = [one.name for one in model.graph.output]

    def compute(name: str, *values: Any) -> Any:
        feed = {one[0]: value.numpy() for one, value in zip(given, values, strict=True)}
        found = ReferenceEvaluator(model).run([name], feed)[0]
        return torch.from_numpy(np.ascontiguousarray(found))

    for name in names:
        inputs = [tensor for _, tensor, _ in given]
        output = network.child("ITensor", inputs=inputs, compute=lambda *values, name=name: compute(name, *values))
        output.name = name
        network.mark_output(output)


@behaves("OnnxParser.num_errors")
def num_errors(parser: Thing) -> int:
    return len(parser._state["errors"])


@behaves("OnnxParser.get_error")
def get_error(parser: Thing, index: int) -> Thing:
    return parser.child("ParserError", error=parser._state["errors"][index])


@behaves("ParserError.node")
def node(error: Thing) -> int:
    found: int = error._state["error"][0]
    return found


@behaves("ParserError.node_name")
def node_name(error: Thing) -> str:
    return str(error._state["error"][1])


@behaves("ParserError.node_operator")
def node_operator(error: Thing) -> str:
    return str(error._state["error"][2])


@behaves("ParserError.desc")
def desc(error: Thing) -> str:
    return str(error._state["error"][3])
