"""What the stand-in's networks compute: each layer evaluated by torch, in the dtype that its tensors have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tests.contracts.tensorrt_standin import Thing, behaves

_TORCH = {
    "FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "BOOL": "bool", "INT32": "int32", "INT64": "int64",
    "INT8": "int8", "FP8": "float8_e4m3fn", "INT4": "int8",
}  # fmt: skip
_TENSORRT = {torch: name for name, torch in _TORCH.items() if name != "INT4"}
Values = dict[int, Any]


def _output(network: Thing, class_name: str, *inputs: Thing, compute: Callable[..., Any]) -> Thing:
    """Return a layer whose one output is computed from its inputs; ``compute`` is given the layer first."""
    layer = network.child(class_name)
    layer._state["output"] = network.child(
        "ITensor", inputs=inputs, layer=layer, compute=partial(compute, layer._values)
    )
    network._state.setdefault("layers", []).append(layer)
    return layer


def value_of(tensor: Thing, values: Values) -> Any:
    """Return what a tensor holds, given the values of the network's inputs."""
    key = id(tensor)
    if key not in values:
        if "loop" in tensor._state:
            values[key] = tensor._state["loop"](values)
        else:
            given = [value_of(one, values) for one in tensor._state["inputs"]]
            values[key] = tensor._state["compute"](*given)
        declared = tensor._state["layer"]._state.get("type") if "layer" in tensor._state else None
        assert declared is None or values[key].dtype == torch_dtype(declared), f"{declared} was declared"
    return values[key]


def torch_dtype(member: Any) -> Any:
    import torch

    return getattr(torch, _TORCH[member.name])


def tensorrt_dtype(module: Any, dtype: Any) -> Any:
    """Return the member of ``DataType`` for a type of torch's."""
    return getattr(module.enums["DataType"], _TENSORRT[str(dtype).removeprefix("torch.")])


@behaves("Builder.create_network")
def create_network(builder: Thing, flags: int) -> Thing:
    network = builder.child("INetworkDefinition", flags=flags, inputs={}, outputs=[])
    builder._module.networks.append(network)
    return network


@behaves("Builder.create_builder_config")
def create_builder_config(builder: Thing) -> Thing:
    return builder.child("IBuilderConfig", flags=set(), cleared=set(), profiles=[])


@behaves("IBuilderConfig.clear_flag")
def clear_flag(config: Thing, flag: Any) -> None:
    config._state["cleared"].add(flag.name)


@behaves("IBuilderConfig.set_flag")
def set_flag(config: Thing, flag: Any) -> None:
    config._state["flags"].add(flag.name)


@behaves("IBuilderConfig.set_memory_pool_limit")
def set_memory_pool_limit(config: Thing, pool: Any, size: int) -> None:
    config._state["workspace"] = size


@behaves("INetworkDefinition.add_input")
def add_input(network: Thing, name: str, dtype: Any, shape: Sequence[int]) -> Thing:
    tensor = network.child("ITensor", inputs=(), dtype=dtype, shape=tuple(shape))
    network._state["inputs"][name] = tensor
    return tensor


@behaves("INetworkDefinition.mark_output")
def mark_output(network: Thing, tensor: Thing) -> None:
    network._state["outputs"].append(tensor)


@behaves("ILayer.get_output")
def get_output(layer: Thing, index: int) -> Any:
    return layer._state["output"]


@behaves("INetworkDefinition.add_constant")
def add_constant(network: Thing, shape: Sequence[int], weights: Any) -> Thing:
    network._state.setdefault("weights", []).append(weights)
    return _output(network, "IConstantLayer", compute=lambda _: weights._state["tensor"].view(tuple(shape)))


@behaves("INetworkDefinition.add_cast")
def add_cast(network: Thing, tensor: Thing, to_type: Any) -> Thing:
    return _output(network, "ICastLayer", tensor, compute=lambda _, x: x.to(torch_dtype(to_type)))


@behaves("INetworkDefinition.add_shuffle")
def add_shuffle(network: Thing, tensor: Thing) -> Thing:
    def compute(settings: dict[str, Any], x: Any) -> Any:
        x = x.permute(settings.get("first_transpose", tuple(range(x.ndim))))
        # 0 takes over the dimension of the input at that place.
        dims = settings.get("reshape_dims", x.shape)
        x = x.reshape([x.shape[at] if part == 0 else part for at, part in enumerate(dims)])
        return x.permute(settings.get("second_transpose", tuple(range(x.ndim))))

    return _output(network, "IShuffleLayer", tensor, compute=compute)


@behaves("INetworkDefinition.add_matrix_multiply")
def add_matrix_multiply(network: Thing, a: Thing, op_a: Any, b: Thing, op_b: Any) -> Thing:
    def compute(_: Any, x: Any, y: Any) -> Any:
        assert x.ndim == y.ndim
        assert x.dtype == y.dtype
        x, y = (tensor.mT if op.name == "TRANSPOSE" else tensor for tensor, op in ((x, op_a), (y, op_b)))
        return x @ y

    return _output(network, "IMatrixMultiplyLayer", a, b, compute=compute)


@behaves("INetworkDefinition.add_elementwise")
def add_elementwise(network: Thing, a: Thing, b: Thing, op: Any) -> Thing:
    def compute(_: Any, x: Any, y: Any) -> Any:
        assert x.ndim == y.ndim
        assert x.dtype == y.dtype
        return {"SUM": x.__add__, "PROD": x.__mul__, "SUB": x.__sub__, "DIV": x.__truediv__, "MAX": x.maximum}[op.name](
            y
        )

    return _output(network, "IElementWiseLayer", a, b, compute=compute)


@behaves("INetworkDefinition.add_activation")
def add_activation(network: Thing, tensor: Thing, kind: Any) -> Thing:
    return _output(
        network,
        "IActivationLayer",
        tensor,
        compute=lambda _, x: {"TANH": x.tanh, "SIGMOID": x.sigmoid, "RELU": x.relu}[kind.name](),
    )


@behaves("INetworkDefinition.add_select")
def add_select(network: Thing, condition: Thing, then: Thing, other: Thing) -> Thing:
    def compute(_: Any, c: Any, x: Any, y: Any) -> Any:
        assert c.ndim == x.ndim == y.ndim
        assert x.dtype == y.dtype
        return x.where(c, y)

    return _output(network, "ISelectLayer", condition, then, other, compute=compute)


@behaves("INetworkDefinition.add_softmax")
def add_softmax(network: Thing, tensor: Thing) -> Thing:
    def compute(settings: dict[str, Any], x: Any) -> Any:
        axis = settings["axes"].bit_length() - 1
        assert settings["axes"] == 1 << axis
        return x.softmax(axis)

    return _output(network, "ISoftMaxLayer", tensor, compute=compute)


def attention(network: Thing, q: Thing, k: Thing, v: Thing, norm_op: Any, *, upper_left: bool) -> Thing:
    """Attention without a scale, as the operator's header has it."""
    made = network.child("IAttention")

    def compute(*given: Any) -> Any:
        import torch

        x, y, z = given[:3]
        y, z = (tensor.repeat_interleave(x.shape[1] // tensor.shape[1], 1) for tensor in (y, z))
        logits = x @ y.mT
        assert norm_op.name == "SOFTMAX"
        assert not (upper_left and "mask" in made._values), "a causal operator takes no mask"
        if upper_left:
            logits = logits.masked_fill(torch.ones_like(logits, dtype=torch.bool).triu(1), float("-inf"))
        if "mask" in made._values:
            mask = value_of(made._values["mask"], made._state["values"])
            assert mask.dtype in {torch.bool, logits.dtype}
            logits = logits.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else logits + mask
        return logits.softmax(-1) @ z

    made._state["output"] = network.child("ITensor", inputs=(q, k, v), compute=compute)
    network._state.setdefault("attentions", []).append(made)
    return made


@behaves("INetworkDefinition.add_attention")
def add_attention(network: Thing, *given: Any) -> Thing:
    return attention(network, *given[:4], upper_left=given[4])


@behaves("INetworkDefinition.add_attention_v2")
def add_attention_v2(network: Thing, *given: Any) -> Thing:
    return attention(network, *given[:4], upper_left=given[4].name == "UPPER_LEFT")


@behaves("IAttention.get_output")
def get_attention_output(made: Thing, index: int) -> Any:
    return made._state["output"]
