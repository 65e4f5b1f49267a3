"""A stand-in for the module pynvml, put on the path of the child; ``FAKE_NVML`` (JSON) says what it plays.

It plays states of a machine that has none of them: mismatch, lost GPU, MIG without instances. The names and
numbers are those of nvidia-ml-py.
"""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace
from typing import Any

NVML_ERROR_NOT_SUPPORTED = 3
NVML_ERROR_NO_DATA = 21
NVML_FEATURE_ENABLED = 1
NVML_DEVICE_MIG_ENABLE = 1
NVML_MEMORY_ERROR_TYPE_UNCORRECTED = 1
NVML_VOLATILE_ECC = 0

_play: dict[str, Any] = json.loads(os.environ.get("FAKE_NVML", "{}"))


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"fake error {value}")
        self.value = value


def _gpu(handle: Any, field: str) -> Any:
    value = handle.get(field, {"error": NVML_ERROR_NOT_SUPPORTED})
    if value == "hang":
        time.sleep(100)
    if isinstance(value, dict) and "error" in value:
        raise NVMLError(value["error"])
    return value


def nvmlInit() -> None:  # noqa: N802 - NVML's own name, as all below
    print("libraries print to stdout")
    if "init" in _play:
        raise NVMLError(_play["init"])


def nvmlDeviceGetCount() -> int:  # noqa: N802
    return len(_play["gpus"])


def nvmlSystemGetDriverVersion() -> bytes:  # noqa: N802
    if "driver" not in _play:
        raise NVMLError(1)
    return str(_play["driver"]).encode()


def nvmlSystemGetCudaDriverVersion_v2() -> int:  # noqa: N802
    return int(_play["cuda"])


def nvmlDeviceGetHandleByIndex(index: int) -> Any:  # noqa: N802
    handle = _play["gpus"][index]
    _gpu(handle | {"handle": handle.get("handle", 0)}, "handle")
    return handle


def nvmlDeviceGetName(handle: Any) -> Any:  # noqa: N802
    return _gpu(handle, "name")


def nvmlDeviceGetUUID(handle: Any) -> Any:  # noqa: N802
    return _gpu(handle, "uuid")


def nvmlDeviceGetCudaComputeCapability(handle: Any) -> Any:  # noqa: N802
    return _gpu(handle, "capability")


def nvmlDeviceGetMemoryInfo(handle: Any) -> Any:  # noqa: N802
    total, free = _gpu(handle, "memory")
    return SimpleNamespace(total=total, free=free)


def nvmlDeviceGetPciInfo(handle: Any) -> Any:  # noqa: N802
    return SimpleNamespace(busId=_gpu(handle, "bus").encode())


def nvmlDeviceGetEccMode(handle: Any) -> Any:  # noqa: N802
    return _gpu(handle, "ecc")


def nvmlDeviceGetTotalEccErrors(handle: Any, kind: int, counter: int) -> Any:  # noqa: N802
    return _gpu(handle, "ecc_errors")


def nvmlDeviceGetMigMode(handle: Any) -> Any:  # noqa: N802
    return _gpu(handle, "mig")


def nvmlDeviceGetMaxMigDeviceCount(handle: Any) -> Any:  # noqa: N802
    _gpu(handle, "mig")
    return 7


def nvmlDeviceGetMigDeviceHandleByIndex(handle: Any, slot: int) -> Any:  # noqa: N802
    instances = handle.get("instances", [])
    if slot >= len(instances):
        raise NVMLError(6)
    return instances[slot]
