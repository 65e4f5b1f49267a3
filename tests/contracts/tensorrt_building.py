"""How the stand-in builds: profiles, constants read by address, timing caches, plans that begin as real ones."""

from __future__ import annotations

import ctypes
import itertools
import json
from collections.abc import Sequence
from typing import Any

from tests.contracts import tables
from tests.contracts.tensorrt_calibrating import calibrate
from tests.contracts.tensorrt_numbers import tensorrt_dtype, torch_dtype, value_of
from tests.contracts.tensorrt_standin import Thing, behaves

_numbers = itertools.count()


def log(thing: Thing, words: str) -> None:
    """Log an error where an object logs."""
    thing._state["logger"].log(thing._module.enums["ILogger.Severity"].ERROR, words)


@behaves("Builder.create_optimization_profile")
def create_optimization_profile(builder: Thing) -> Thing:
    return builder.child("IOptimizationProfile", shapes={})


@behaves("IOptimizationProfile.set_shape")
def set_shape(profile: Thing, name: str, *shapes: Sequence[int]) -> None:
    profile._state["shapes"][name] = shapes


@behaves("IBuilderConfig.add_optimization_profile")
def add_optimization_profile(config: Thing, profile: Thing) -> int:
    for name, shapes in profile._state["shapes"].items():
        if not all(0 < low <= usual <= high for low, usual, high in zip(*shapes, strict=True)):
            log(config, f"input {name}: the profile has shapes {shapes}, which are not in order")
            return -1
    if not profile._state["shapes"]:
        return -1
    config._state["profiles"].append(profile)
    return len(config._state["profiles"]) - 1


@behaves("Builder.build_serialized_network")
def build_serialized_network(builder: Thing, network: Thing, config: Thing) -> Any:
    network._state["config"] = config
    shapes = config._state["profiles"][0]._state["shapes"] if config._state["profiles"] else {}
    without = [
        name for name, one in network._state["inputs"].items() if -1 in one._state["shape"] and name not in shapes
    ]
    if without:
        log(builder, f"{without[0]}: dynamic dimensions without a profile")
        return None
    for weights in network._state.get("weights", ()):
        # Only now is the memory read, from 10.0 on by its address: what was let go may hold anything.
        weights._state["tensor"] = numbers_of(weights)
    if "int8_calibrator" in config._values and network._state["flags"] & strongly_typed(network._module):
        log(builder, "a strongly typed network takes no calibrator")
        return None
    calibrate(network, config)
    release = (*tables.number(builder._module.__version__), 0, 0, 0)[:4]
    header = b"ftrt" + bytes(20) + bytes(release)
    data = header + b"network %d" % next(_numbers)
    builder._module.plans[data] = network
    if "cache" in config._state:
        config._state["cache"]._state["data"] += b"timed"
    return builder.child("IHostMemory", data=data)


def strongly_typed(module: Any) -> int:
    """Return the bit of strong typing in the flags of a network; 0 where a release has none."""
    member = getattr(module.enums["NetworkDefinitionCreationFlag"], "STRONGLY_TYPED", None)
    return 0 if member is None else 1 << int(member)


def numbers_of(weights: Thing) -> Any:
    """Return what lies in the memory of constants, as a flat tensor of torch's."""
    import torch

    given = weights._state["given"]
    if len(given) == 1:
        array = given[0]
        return (
            torch.from_numpy(array.copy())
            if hasattr(array, "copy") and hasattr(array, "dtype")
            else torch.tensor(array)
        )
    member, address, count = given
    size = (
        (count + 1) // 2 if member.name == "INT4" else count * torch.empty(0, dtype=torch_dtype(member)).element_size()
    )
    data = torch.frombuffer(bytearray(ctypes.string_at(address, size)), dtype=torch.uint8)
    if member.name != "INT4":
        return data.view(torch_dtype(member)).clone()
    halves = torch.stack([data & 0xF, data >> 4], dim=-1).flatten()[:count].to(torch.int8)
    return torch.where(halves > 7, halves - 16, halves)


@behaves("INetworkDefinition.set_weights_name")
def set_weights_name(network: Thing, weights: Thing, name: str) -> bool:
    names = network._state.setdefault("names", {})
    is_used = any(weights is one for one in network._state.get("weights", ()))
    if not is_used or names.get(name, weights) is not weights:
        return False
    names[name] = weights
    return True


@behaves("IBuilderConfig.create_timing_cache")
def create_timing_cache(config: Thing, data: bytes) -> Thing:
    return config.child("ITimingCache", data=bytes(data))


@behaves("IBuilderConfig.set_timing_cache")
def set_timing_cache(config: Thing, cache: Thing, ignore_mismatch: bool) -> bool:
    config._state["cache"] = cache
    return True


@behaves("IBuilderConfig.get_timing_cache")
def get_timing_cache(config: Thing) -> Any:
    return config._state.get("cache")


@behaves("ITimingCache.serialize")
def serialize(cache: Thing) -> Thing:
    return cache.child("IHostMemory", data=cache._state["data"])


@behaves("Refitter.get_all_weights")
def get_all_weights(refitter: Thing) -> list[str]:
    engine = refitter._state["of"][0]
    network = engine._state["network"]
    assert "REFIT" in network._state["config"]._state["flags"]
    return list(network._state["names"])


@behaves("Refitter.set_named_weights")
def set_named_weights(refitter: Thing, name: str, weights: Thing) -> bool:
    old = refitter._state["of"][0]._state["network"]._state["names"][name]
    new = numbers_of(weights)
    if (new.dtype, new.shape) != (old._state["tensor"].dtype, old._state["tensor"].shape):
        log(refitter, f"{name} has other types or counts")
        return False
    refitter._state.setdefault("new", {})[name] = (old, new)
    return True


@behaves("Refitter.get_missing_weights")
def get_missing_weights(refitter: Thing) -> list[str]:
    return []


@behaves("Refitter.refit_cuda_engine")
def refit_cuda_engine(refitter: Thing) -> bool:
    for old, new in refitter._state["new"].values():
        old._state["tensor"] = new
    return True


@behaves("ICudaEngine.streamable_weights_size")
def streamable_weights_size(engine: Thing) -> int:
    assert "WEIGHT_STREAMING" in engine._state["network"]._state["config"]._state["flags"]
    return 1 << 20


@behaves("ICudaEngine.weight_streaming_budget")
def weight_streaming_budget(engine: Thing) -> Any:
    return engine._values.get("weight_streaming_budget", 0)


@behaves("ICudaEngine.weight_streaming_budget_v2")
def weight_streaming_budget_v2(engine: Thing) -> Any:
    return engine._values.get("weight_streaming_budget_v2", 0)


@behaves("ICudaEngine.num_layers")
def num_layers(engine: Thing) -> int:
    return len(engine._state["network"]._state["layers"])


@behaves("ICudaEngine.create_engine_inspector")
def create_engine_inspector(engine: Thing) -> Thing:
    return engine.child("EngineInspector", engine=engine)


@behaves("EngineInspector.get_layer_information")
def get_layer_information(inspector: Thing, index: int, kind: Any) -> str:
    from tests.contracts.tensorrt_running import evaluate, zeros_of

    engine = inspector._state["engine"]
    network = engine._state["network"]
    verbosity = network._state["config"]._values.get("profiling_verbosity")
    name = f"(Unnamed Layer* {index})"
    if verbosity is None or verbosity.name != "DETAILED":
        return json.dumps(name)
    values = zeros_of(engine, {})
    evaluate(network, values)
    output = network._state["layers"][index]._state["output"]
    inside = {id(network._state["inputs"][name]): held for name, held in values.items()}
    try:
        member = tensorrt_dtype(engine._module, value_of(output, inside).dtype)
    except KeyError:
        return json.dumps({"Name": name})
    words = {"FLOAT": "FP32", "HALF": "Half"}.get(member.name, member.name.title())
    return json.dumps(
        {"Name": name, "Outputs": [{"Name": "out", "Format/Datatype": f"Row major linear {words} format"}]}
    )
