"""How the stand-in calibrates: as TensorRT asks a calibrator, with ranges up to the largest magnitude."""

from __future__ import annotations

import ctypes
from typing import Any

from pytest_trtcheck._suites.engine.int8 import read_cache, write_cache
from tests.contracts.tensorrt_numbers import torch_dtype, value_of
from tests.contracts.tensorrt_standin import Thing


def calibrate(network: Thing, config: Thing) -> None:
    """Ask the configuration's calibrator, if there is one: for a cache, else for batches until there are no more."""
    calibrator = config._values.get("int8_calibrator")
    if calibrator is None:
        return
    assert "INT8" in config._state["flags"]
    assert calibrator.get_batch_size() == 1
    cache = calibrator.read_calibration_cache()
    ranges = read_cache(cache) if cache else _ranges(network, calibrator)
    cache = cache or write_cache(ranges, f"TRT-{network._module.__version__}-EntropyCalibration2")
    calibrator.write_calibration_cache(memoryview(cache))
    network._state["ranges"] = ranges


def _ranges(network: Thing, calibrator: Any) -> dict[str, float]:
    names = list(network._state["inputs"])
    found: dict[str, float] = {}
    while (addresses := calibrator.get_batch(names)) is not None:
        assert len(addresses) == len(names)
        given = {name: _at(network, name, address) for name, address in zip(names, addresses, strict=True)}
        values = {id(tensor): given[name] for name, tensor in network._state["inputs"].items()}
        for layer in network._state["layers"]:
            tensor = layer._state["output"]
            if "name" in tensor._values:
                given[tensor._values["name"]] = value_of(tensor, values)
        for name, value in given.items():
            found[name] = max(found.get(name, 0.0), float(value.abs().max()))
    return found


def _at(network: Thing, name: str, address: int) -> Any:
    import torch

    tensor = network._state["inputs"][name]
    dtype, shape = torch_dtype(tensor._state["dtype"]), tensor._state["shape"]
    count = torch.Size(shape).numel()
    data = ctypes.string_at(address, count * torch.empty(0, dtype=dtype).element_size())
    return torch.frombuffer(bytearray(data), dtype=dtype, count=count).view(shape)


def in_int8(network: Thing, tensor: Thing, x: Any, kernel: Any) -> tuple[Any, Any]:
    """Return what goes into a convolution, through INT8 where the network is calibrated; kernels channel by channel."""
    ranges = network._state.get("ranges")
    if ranges is None:
        return x, kernel
    names = {id(one): name for name, one in network._state["inputs"].items()}
    step = ranges[names.get(id(tensor)) or tensor._values["name"]] / 127
    steps = kernel.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    return (x / step).round().clamp(-128, 127) * step, (kernel / steps).round() * steps
