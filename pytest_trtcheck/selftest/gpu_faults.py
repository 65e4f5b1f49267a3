"""Faults on a GPU, through the driver API and PTX alone, so that they need no CUDA library beyond the driver.

Source: CUDA Driver API reference; PTX ISA, trap, st.global, and the device function __assertfail that assert() calls.
"""

from __future__ import annotations

import ctypes

_PTX = """
.version 6.0
.target sm_50
.address_size 64
.extern .func __assertfail (.param .b64 p0, .param .b64 p1, .param .b32 p2, .param .b64 p3, .param .b64 p4);
.global .align 1 .b8 words[2] = {48, 0};
.visible .entry illegal_address() {
    .reg .b64 %address;
    .reg .b32 %value;
    mov.u64 %address, 16;
    mov.u32 %value, 1;
    st.global.u32 [%address], %value;
    ret;
}
.visible .entry endless() {
    .reg .pred %p;
    .reg .b64 %clock;
again:
    mov.u64 %clock, %clock64;
    setp.ne.u64 %p, %clock, 0;
    @%p bra again;
    ret;
}
.visible .entry device_assert() {
    .reg .b64 %text;
    .reg .b64 %generic;
    mov.u64 %text, words;
    cvta.global.u64 %generic, %text;
    {
    .param .b64 p0;
    .param .b64 p1;
    .param .b32 p2;
    .param .b64 p3;
    .param .b64 p4;
    st.param.b64 [p0], %generic;
    st.param.b64 [p1], %generic;
    st.param.b32 [p2], 1;
    st.param.b64 [p3], %generic;
    st.param.b64 [p4], 1;
    call.uni __assertfail, (p0, p1, p2, p3, p4);
    }
    ret;
}
"""


class DriverError(Exception):
    """A call into the driver did not succeed."""


def why_not() -> str:
    """Return why no GPU fault can be shown here; empty when one can."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no libcuda.so.1: no NVIDIA driver here"
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "the driver finds no GPU"
    return ""


def illegal_address() -> None:
    """Write to an address that nobody owns; the error shows at the next synchronization."""
    _launch("illegal_address")


def device_assert() -> None:
    """Fail an assert on the device; the error shows at the next synchronization."""
    _launch("device_assert")


def endless_kernel() -> None:
    """Start a kernel that never ends and wait for it."""
    _check(_launch("endless").cuCtxSynchronize(), "cuCtxSynchronize")


def out_of_memory() -> None:
    """Ask for more memory than the GPU has."""
    driver = _context()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    _check(driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)), "cuMemGetInfo")
    block = ctypes.c_uint64()
    _check(driver.cuMemAlloc_v2(ctypes.byref(block), ctypes.c_size_t(2 * total.value)), "cuMemAlloc")


def _context() -> ctypes.CDLL:
    driver = ctypes.CDLL("libcuda.so.1")
    _check(driver.cuInit(0), "cuInit")
    context = ctypes.c_void_p()
    _check(driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0), "cuDevicePrimaryCtxRetain")
    _check(driver.cuCtxSetCurrent(context), "cuCtxSetCurrent")
    return driver


def _launch(kernel: str) -> ctypes.CDLL:
    driver = _context()
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    _check(driver.cuModuleLoadData(ctypes.byref(module), _PTX.encode()), "cuModuleLoadData")
    _check(driver.cuModuleGetFunction(ctypes.byref(function), module, kernel.encode()), "cuModuleGetFunction")
    one, none = ctypes.c_uint(1), ctypes.c_uint(0)
    status = driver.cuLaunchKernel(function, one, one, one, one, one, one, none, None, None, None)
    _check(status, "cuLaunchKernel")
    return driver


def _check(status: int, call: str) -> None:
    if status:
        name = ctypes.c_char_p()
        ctypes.CDLL("libcuda.so.1").cuGetErrorName(status, ctypes.byref(name))
        raise DriverError(f"{call}: {(name.value or b'unknown').decode()} ({status})")
