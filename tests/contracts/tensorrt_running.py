"""How the stand-in's plans are loaded and run: on memory of this process, by torch."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from tests.contracts.tensorrt_building import log
from tests.contracts.tensorrt_numbers import tensorrt_dtype, torch_dtype, value_of
from tests.contracts.tensorrt_standin import Thing, behaves


@behaves("Runtime.deserialize_cuda_engine")
def deserialize_cuda_engine(runtime: Thing, plan: Any) -> Any:
    data, module = bytes(plan), runtime._module
    if data not in module.plans:
        log(runtime, f"stdArchiveReader: magic tag or length of the plan does not match ({len(data)} bytes)")
        return None
    network = module.plans[data]
    if "VERSION_COMPATIBLE" in network._state["config"]._state["flags"] and not runtime._values.get(
        "engine_host_code_allowed"
    ):
        log(runtime, "the plan holds host code, which is not allowed")
        return None
    return runtime.child("ICudaEngine", network=network)


@behaves("ICudaEngine.create_execution_context")
def create_execution_context(engine: Thing, *_: Any) -> Thing:
    engine._state["budget"] = {name: held for name, held in engine._values.items() if "budget" in name}
    return engine.child("IExecutionContext", network=engine._state["network"], addresses={}, shapes={})


def tensors_of(thing: Thing) -> dict[str, Thing]:
    network = thing._state["network"]
    return {**network._state["inputs"], **{tensor._values["name"]: tensor for tensor in network._state["outputs"]}}


def declared(thing: Thing) -> dict[str, Any]:
    """Return the dtype and shape of every input, -1 where the profile leaves it open."""
    inputs = thing._state["network"]._state["inputs"]
    return {name: (it._state["dtype"], it._state["shape"]) for name, it in inputs.items()}


def profile_of(network: Thing) -> dict[str, Any]:
    """Return the smallest, usual and largest shapes of the open inputs."""
    profiles = network._state["config"]._state["profiles"]
    return profiles[0]._state["shapes"] if profiles else {}


def zeros_of(thing: Thing, shapes: dict[str, Any]) -> dict[str, Any]:
    """Return inputs of zeros, of these shapes or the smallest that there are."""
    import torch

    smallest = {name: shape[0] for name, shape in profile_of(thing._state["network"]).items()}
    return {
        name: torch.zeros(shapes.get(name) or smallest.get(name) or shape, dtype=torch_dtype(dtype))
        for name, (dtype, shape) in declared(thing).items()
    }


def on_zeros(thing: Thing, shapes: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs for inputs of zeros, computed once: their shapes and types are right."""
    network = thing._state["network"]
    known = network._state.setdefault("on_zeros", {})
    key = tuple(sorted(shapes.items()))
    if key not in known:
        known[key] = evaluate(network, zeros_of(thing, shapes))
    found: dict[str, Any] = known[key]
    return found


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
    return tensorrt_dtype(engine._module, on_zeros(engine, {})[name].dtype)


@behaves("ICudaEngine.get_tensor_shape")
def get_tensor_shape(engine: Thing, name: str) -> tuple[int, ...]:
    known = declared(engine)
    return known[name][1] if name in known else tuple(on_zeros(engine, {})[name].shape)


@behaves("IExecutionContext.get_tensor_shape")
def get_context_tensor_shape(context: Thing, name: str) -> tuple[int, ...]:
    shapes: dict[str, tuple[int, ...]] = context._state["shapes"]
    return shapes[name] if name in shapes else tuple(on_zeros(context, shapes)[name].shape)


@behaves("IExecutionContext.set_input_shape")
def set_input_shape(context: Thing, name: str, shape: Sequence[int]) -> bool:
    _, wanted = declared(context)[name]
    low, _, high = profile_of(context._state["network"]).get(name, (wanted,) * 3)
    if not all(least <= size <= most for size, least, most in zip(shape, low, high, strict=True)):
        log(context, f"IExecutionContext::setInputShape: {name} has shape {shape}, the profile {low} to {high}")
        return False
    context._state["shapes"][name] = tuple(shape)
    return True


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

    shape = get_context_tensor_shape(context, name)
    dtype = torch_dtype(get_tensor_dtype(context, name))
    count = torch.Size(shape).numel()
    size = torch.empty(0, dtype=dtype).element_size() * count
    buffer = (ctypes.c_char * size).from_address(context._state["addresses"][name])
    return torch.frombuffer(buffer, dtype=dtype, count=count).view(shape)
