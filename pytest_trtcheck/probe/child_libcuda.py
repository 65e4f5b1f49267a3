"""Ask libcuda in a child, with the loader's own choice of file. A record after each step, as cuInit may hang.

cuInit creates no context: it costs no GPU memory. Devices are those that CUDA_VISIBLE_DEVICES leaves.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

from pytest_trtcheck.probe.child_report import mapped_files, report

MAX_DEVICES = 64
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76


def main(fd: int) -> None:
    """Report which file was loaded, the CUDA version it supports, how cuInit ended, the devices."""
    try:
        libcuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        report(fd, {"kind": "missing", "text": str(error)})
        return
    mapped = mapped_files("libcuda.so")
    path = mapped[0] if mapped else ""
    report(fd, {"kind": "loaded", "path": str(Path(path).resolve()) if path else ""})
    version = ctypes.c_int(0)
    code = libcuda.cuDriverGetVersion(ctypes.byref(version))
    report(fd, {"kind": "version", "code": code, "version": version.value})
    code = libcuda.cuInit(0)
    report(fd, {"kind": "init", "code": code})
    if code == 0:
        report(fd, {"kind": "devices", "devices": _devices(libcuda)})


def _devices(libcuda: Any) -> list[dict[str, str]]:
    count = ctypes.c_int(0)
    if libcuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    return [_device(libcuda, index) for index in range(min(count.value, MAX_DEVICES))]


def _device(libcuda: Any, index: int) -> dict[str, str]:
    device, major, minor = ctypes.c_int(0), ctypes.c_int(0), ctypes.c_int(0)
    name = ctypes.create_string_buffer(256)
    codes = (
        libcuda.cuDeviceGet(ctypes.byref(device), index),
        libcuda.cuDeviceGetName(name, len(name), device),
        libcuda.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device),
        libcuda.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device),
    )
    if any(codes):
        return {"name": "", "compute_capability": ""}
    text = name.value.decode("utf-8", "replace")
    return {"name": text, "compute_capability": f"{major.value}.{minor.value}"}


if __name__ == "__main__":
    main(int(sys.argv[1]))
