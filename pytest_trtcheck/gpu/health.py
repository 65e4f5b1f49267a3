"""Is the CUDA context of this process still usable, and how much memory is taken?

Through the driver API by ctypes, so that it works whatever library made the context, and only if libcuda is already
mapped: a check that touched no GPU costs nothing here.
Source: CUDA Driver API reference, cuCtxSynchronize, cuMemAlloc, cuMemGetInfo, cuDevicePrimaryCtxGetState.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass

_PROBE_BYTES = 4096
_SUCCESS = 0


@dataclass(frozen=True)
class Health:
    """What the driver says after a check."""

    error: str = ""
    """Name of a sticky error, ``CUDA_ERROR_ILLEGAL_ADDRESS``; empty when the context works, or there is none."""
    used_bytes: int | None = None
    """Memory of the current GPU that is in use, by whomever; None without a context."""
    allocator_bytes: int | None = None
    """Memory that torch's allocator has handed out and not got back; None without torch."""


def probe_health() -> Health:
    """Synchronize, allocate a small block, give it back; return what the driver says."""
    driver = _loaded_driver()
    if driver is None or not _has_context(driver):
        return Health()
    status = driver.cuCtxSynchronize() or _allocate(driver)
    if status != _SUCCESS:
        return Health(error=_error_name(driver, status))
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    known = driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == _SUCCESS
    return Health(used_bytes=total.value - free.value if known else None, allocator_bytes=_allocator_bytes())


def _loaded_driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libcuda.so.1", mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    except OSError:
        return None


def _has_context(driver: ctypes.CDLL) -> bool:
    """Say whether this process has a primary context on device 0, and make it current on this thread."""
    current = ctypes.c_void_p()
    if driver.cuCtxGetCurrent(ctypes.byref(current)) != _SUCCESS:
        return False
    if current.value:
        return True
    flags, active = ctypes.c_uint(), ctypes.c_int()
    if driver.cuDevicePrimaryCtxGetState(0, ctypes.byref(flags), ctypes.byref(active)) != _SUCCESS or not active.value:
        return False
    context = ctypes.c_void_p()
    if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) != _SUCCESS:
        return False
    return bool(driver.cuCtxSetCurrent(context) == _SUCCESS)


def _allocate(driver: ctypes.CDLL) -> int:
    block = ctypes.c_uint64()
    status: int = driver.cuMemAlloc_v2(ctypes.byref(block), ctypes.c_size_t(_PROBE_BYTES))
    return status if status != _SUCCESS else int(driver.cuMemFree_v2(block))


def _error_name(driver: ctypes.CDLL, status: int) -> str:
    name = ctypes.c_char_p()
    if driver.cuGetErrorName(status, ctypes.byref(name)) == _SUCCESS and name.value:
        return name.value.decode(errors="replace")
    return f"CUDA error {status}"


def _allocator_bytes() -> int | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.memory_allocated())
