"""More layers of the stand-in: those that the engine suite's graphs are made of beside attention's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from tests.contracts.tensorrt_calibrating import in_int8
from tests.contracts.tensorrt_numbers import Values, _output, torch_dtype, value_of
from tests.contracts.tensorrt_standin import Thing, behaves

_FP8_LARGEST = 448.0


@behaves("INetworkDefinition.add_unary")
def add_unary(network: Thing, tensor: Thing, op: Any) -> Thing:
    kinds = {"EXP": "exp", "SQRT": "sqrt", "RECIP": "reciprocal"}
    return _output(network, "IUnaryLayer", tensor, compute=lambda _, x: getattr(x, kinds[op.name])())


@behaves("INetworkDefinition.add_reduce")
def add_reduce(network: Thing, tensor: Thing, op: Any, axes: int, keep_dims: bool) -> Thing:
    def compute(_: Any, x: Any) -> Any:
        axis = axes.bit_length() - 1
        assert axes == 1 << axis
        return {"AVG": x.mean, "SUM": x.sum}[op.name](axis, keepdim=keep_dims)

    return _output(network, "IReduceLayer", tensor, compute=compute)


@behaves("INetworkDefinition.add_identity")
def add_identity(network: Thing, tensor: Thing) -> Thing:
    return _output(network, "IIdentityLayer", tensor, compute=lambda _, x: x)


@behaves("INetworkDefinition.add_gather")
def add_gather(network: Thing, table: Thing, indices: Thing, axis: int) -> Thing:
    assert axis == 0
    return _output(network, "IGatherLayer", table, indices, compute=lambda _, x, at: x[at.long()])


@behaves("INetworkDefinition.add_concatenation")
def add_concatenation(network: Thing, tensors: Sequence[Thing]) -> Thing:
    import torch

    compute = lambda settings, *given: torch.cat(given, settings["axis"])  # noqa: E731
    return _output(network, "IConcatenationLayer", *tensors, compute=compute)


@behaves("INetworkDefinition.add_convolution_nd")
def add_convolution_nd(
    network: Thing, tensor: Thing, maps: int, size: Sequence[int], kernel: Thing, bias: Thing
) -> Thing:
    def compute(settings: dict[str, Any], x: Any) -> Any:
        import torch

        held, added = (one._state["tensor"] for one in (kernel, bias))
        assert x.dtype == held.dtype == added.dtype
        shaped = held.view(maps, -1, *size).double()
        padding, stride = (tuple(settings[name]) for name in ("padding_nd", "stride_nd"))
        data, shaped = in_int8(network, tensor, x.double(), shaped)
        return torch.nn.functional.conv2d(data, shaped, added.double(), stride, padding).to(x.dtype)

    network._state.setdefault("weights", []).extend((kernel, bias))
    return _output(network, "IConvolutionLayer", tensor, compute=compute)


@behaves("INetworkDefinition.add_quantize")
def add_quantize(network: Thing, tensor: Thing, scale: Thing, to: Any = None) -> Thing:
    def compute(settings: dict[str, Any], x: Any, factor: Any) -> Any:
        import torch

        assert x.dtype == factor.dtype
        assert factor.ndim == 0 or "axis" in settings
        scaled = x.double() / factor.double()
        if to is None or to.name == "INT8":
            return scaled.round().clamp(-128, 127).to(torch.int8)
        return scaled.clamp(-_FP8_LARGEST, _FP8_LARGEST).float().to(torch_dtype(to))

    return _output(network, "IQuantizeLayer", tensor, scale, compute=compute)


@behaves("INetworkDefinition.add_dequantize")
def add_dequantize(network: Thing, tensor: Thing, scale: Thing, to: Any = None) -> Thing:
    def compute(_: Any, x: Any, factor: Any) -> Any:
        wanted = factor.dtype if to is None else torch_dtype(to)
        if factor.ndim == x.ndim:
            for axis, (size, scales) in enumerate(zip(x.shape, factor.shape, strict=True)):
                factor = factor.repeat_interleave(size // scales, axis)
        return (x.double() * factor.double()).to(wanted)

    return _output(network, "IDequantizeLayer", tensor, scale, compute=compute)


@behaves("ILayer.set_output_type")
def set_output_type(layer: Thing, index: int, dtype: Any) -> None:
    layer._state["type"] = dtype


@behaves("INetworkDefinition.add_loop")
def add_loop(network: Thing) -> Thing:
    return network.child("ILoop", network=network)


@behaves("ILoop.add_trip_limit")
def add_trip_limit(loop: Thing, tensor: Thing, kind: Any) -> Thing:
    assert kind.name == "COUNT"
    loop._state["count"] = tensor
    return loop.child("ITripLimitLayer")


@behaves("ILoop.add_recurrence")
def add_recurrence(loop: Thing, initial: Thing) -> Thing:
    layer = loop.child("IRecurrenceLayer", initial=initial)
    layer._state["output"] = loop.child("ITensor", inputs=())
    return layer


@behaves("ILayer.set_input")
def set_input(layer: Thing, index: int, tensor: Thing) -> None:
    assert index == 1
    layer._state["next"] = tensor
    layer._state["output"]._state["recurrence"] = layer


@behaves("ILoop.add_loop_output")
def add_loop_output(loop: Thing, tensor: Thing, kind: Any, axis: int = 0) -> Thing:
    assert kind.name == "LAST_VALUE"
    layer = loop.child("ILoopOutputLayer")
    layer._state["output"] = loop.child("ITensor", loop=partial(_run, loop, tensor))
    return layer


def _run(loop: Thing, tensor: Thing, values: Values) -> Any:
    """Return the last state; rounds share what lies outside."""
    recurrence = tensor._state["recurrence"]
    state = value_of(recurrence._state["initial"], values)
    for _ in range(int(value_of(loop._state["count"], values))):
        state = value_of(recurrence._state["next"], {**values, id(tensor): state})
    return state
