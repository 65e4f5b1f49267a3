"""What the stand-in's networks compute: each layer evaluated by torch, in the dtype that its tensors have."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tests.contracts.tensorrt_standin import Thing, behaves

_TORCH = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "BOOL": "bool", "INT32": "int32", "INT64": "int64"}
Values = dict[int, Any]


def _output(network: Thing, class_name: str, *inputs: Thing, compute: Callable[..., Any]) -> Thing:
    """Return a layer whose one output is computed from its inputs; ``compute`` is given the layer first."""
    layer = network.child(class_name)
    layer._state["output"] = network.child("ITensor", inputs=inputs, compute=partial(compute, layer._values))
    return layer


def value_of(tensor: Thing, values: Values) -> Any:
    """Return what a tensor holds, given the values of the network's inputs."""
    key = id(tensor)
    if key not in values:
        given = [value_of(one, values) for one in tensor._state["inputs"]]
        values[key] = tensor._state["compute"](*given)
    return values[key]


def torch_dtype(member: Any) -> Any:
    import torch

    return getattr(torch, _TORCH[member.name])


@behaves("Builder.create_network")
def create_network(builder: Thing, flags: int) -> Thing:
    network = builder.child("INetworkDefinition", flags=flags, inputs={}, outputs=[])
    builder._module.networks.append(network)
    return network


@behaves("Builder.create_builder_config")
def create_builder_config(builder: Thing) -> Thing:
    return builder.child("IBuilderConfig", flags=set(), cleared=set())


@behaves("Builder.create_optimization_profile")
def create_optimization_profile(builder: Thing) -> Thing:
    return builder.child("IOptimizationProfile", shapes={})


@behaves("IOptimizationProfile.set_shape")
def set_shape(profile: Thing, name: str, *shapes: Sequence[int]) -> None:
    profile._state["shapes"][name] = shapes


@behaves("IBuilderConfig.add_optimization_profile")
def add_optimization_profile(config: Thing, profile: Thing) -> int:
    complete = profile._state["shapes"]
    return 0 if complete else -1


@behaves("IBuilderConfig.clear_flag")
def clear_flag(config: Thing, flag: Any) -> None:
    config._state["cleared"].add(flag.name)


@behaves("IBuilderConfig.set_flag")
def set_flag(config: Thing, flag: Any) -> None:
    config._state["flags"].add(flag.name)


@behaves("IBuilderConfig.set_memory_pool_limit")
def set_memory_pool_limit(config: Thing, pool: Any, size: int) -> None:
    config._state["workspace"] = size


@behaves("Builder.build_serialized_network")
def build_serialized_network(builder: Thing, network: Thing, config: Thing) -> Thing:
    network._state["config"] = config
    for weights in network._state.get("weights", ()):
        # Only now is the memory read, from 10.0 on by its address: what was let go may hold anything.
        given = weights._state["given"]
        numbers = [ctypes.c_float.from_address(given[1]).value] if len(given) == 3 else list(given[0])
        weights._state["numbers"] = numbers
    return builder.child("IHostMemory", network=network)


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
    def compute(_: Any) -> Any:
        import torch

        return torch.tensor(weights._state["numbers"], dtype=torch.float32).view(*shape)

    network._state.setdefault("weights", []).append(weights)
    return _output(network, "IConstantLayer", compute=compute)


@behaves("INetworkDefinition.add_cast")
def add_cast(network: Thing, tensor: Thing, to_type: Any) -> Thing:
    return _output(network, "ICastLayer", tensor, compute=lambda _, x: x.to(torch_dtype(to_type)))


@behaves("INetworkDefinition.add_shuffle")
def add_shuffle(network: Thing, tensor: Thing) -> Thing:
    def compute(settings: dict[str, Any], x: Any) -> Any:
        x = x.permute(settings.get("first_transpose", tuple(range(x.ndim))))
        x = x.reshape(settings.get("reshape_dims", x.shape))
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
        return {"SUM": x.__add__, "PROD": x.__mul__}[op.name](y)

    return _output(network, "IElementWiseLayer", a, b, compute=compute)


@behaves("INetworkDefinition.add_activation")
def add_activation(network: Thing, tensor: Thing, kind: Any) -> Thing:
    return _output(network, "IActivationLayer", tensor, compute=lambda _, x: {"TANH": x.tanh}[kind.name]())


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


@behaves("Runtime.deserialize_cuda_engine")
def deserialize_cuda_engine(runtime: Thing, plan: Any) -> Any:
    return runtime.child("ICudaEngine", network=plan._state["network"])


@behaves("ICudaEngine.create_execution_context")
def create_execution_context(engine: Thing, *_: Any) -> Thing:
    return engine.child("IExecutionContext", network=engine._state["network"], addresses={}, shapes={})


def tensors_of(thing: Thing) -> dict[str, Thing]:
    network = thing._state["network"]
    return {**network._state["inputs"], **{tensor._values["name"]: tensor for tensor in network._state["outputs"]}}


def shape_of(thing: Thing, name: str) -> tuple[int, ...]:
    """Return a tensor's shape; an output's by computing the network on zeros."""
    import torch

    network = thing._state["network"]
    inputs = network._state["inputs"]
    if name in inputs:
        shape: tuple[int, ...] = inputs[name]._state["shape"]
        return shape
    zeros = {
        name: torch.zeros(it._state["shape"], dtype=torch_dtype(it._state["dtype"])) for name, it in inputs.items()
    }
    return tuple(evaluate(network, zeros)[name].shape)


def evaluate(network: Thing, given: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs of a network by name."""
    values = {id(tensor): given[name] for name, tensor in network._state["inputs"].items()}
    for made in network._state.get("attentions", ()):
        made._state["values"] = values
    return {tensor._values["name"]: value_of(tensor, values) for tensor in network._state["outputs"]}


@behaves("ICudaEngine.num_io_tensors")
def num_io_tensors(engine: Thing) -> int:
    return len(tensors_of(engine))


@behaves("ICudaEngine.get_tensor_name")
def get_tensor_name(engine: Thing, index: int) -> str:
    return list(tensors_of(engine))[index]


@behaves("ICudaEngine.get_tensor_mode")
def get_tensor_mode(engine: Thing, name: str) -> Any:
    modes = engine._module.enums["TensorIOMode"]
    return modes.INPUT if name in engine._state["network"]._state["inputs"] else modes.OUTPUT


@behaves("ICudaEngine.get_tensor_dtype")
def get_tensor_dtype(engine: Thing, name: str) -> Any:
    tensor = tensors_of(engine)[name]
    if "dtype" in tensor._state:
        return tensor._state["dtype"]
    if "dtype" in tensor._values:
        return tensor._values["dtype"]
    # Strongly typed: of the inputs' dtype, which is that of all float tensors here.
    return engine._state["network"]._state["inputs"]["q"]._state["dtype"]


@behaves("ICudaEngine.get_tensor_shape")
def get_tensor_shape(engine: Thing, name: str) -> tuple[int, ...]:
    return shape_of(engine, name)


@behaves("IExecutionContext.get_tensor_shape")
def get_context_tensor_shape(context: Thing, name: str) -> tuple[int, ...]:
    return shape_of(context, name)


@behaves("IExecutionContext.set_input_shape")
def set_input_shape(context: Thing, name: str, shape: Sequence[int]) -> bool:
    context._state["shapes"][name] = shape
    return tuple(shape) == shape_of(context, name)


@behaves("IExecutionContext.infer_shapes")
def infer_shapes(context: Thing) -> list[str]:
    return [name for name in context._state["network"]._state["inputs"] if name not in context._state["shapes"]]


@behaves("IExecutionContext.set_tensor_address")
def set_tensor_address(context: Thing, name: str, memory: int) -> bool:
    context._state["addresses"][name] = memory
    return True


@behaves("IExecutionContext.execute_async_v3")
def execute_async_v3(context: Thing, stream: int) -> bool:
    inputs = context._state["network"]._state["inputs"]
    memory = {name: at_address(context, name) for name in tensors_of(context)}
    outputs = evaluate(context._state["network"], {name: memory[name].clone() for name in inputs})
    for name, value in outputs.items():
        memory[name].copy_(value)
    return True


def at_address(context: Thing, name: str) -> Any:
    """Return the memory that was bound, as a tensor."""
    import torch

    shape = shape_of(context, name)
    dtype = torch_dtype(get_tensor_dtype(context, name))
    count = torch.Size(shape).numel()
    size = torch.empty(0, dtype=dtype).element_size() * count
    buffer = (ctypes.c_char * size).from_address(context._state["addresses"][name])
    return torch.frombuffer(buffer, dtype=dtype, count=count).view(shape)
