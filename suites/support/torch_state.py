"""Settings of torch that change how numbers come out, pinned while something is computed and judged.

A provider, or an environment, may leave them changed (autocast, TF32 for fp32 products, another default device):
the plain computation, and with it the tolerance, must not follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_SDP = ("flash_sdp", "mem_efficient_sdp", "math_sdp", "cudnn_sdp")


SMALL = 10**9
"""Multiplications that more threads hardly speed up."""


@contextmanager
def one_thread(multiplications: int = 0) -> Iterator[None]:
    """Compute on one thread, unless there is much to do.

    On small products other threads only wait, and spin while they do: two of them, where other programs have the cores,
    take six to twenty times as long as one.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if multiplications < SMALL else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def pinned() -> Iterator[None]:
    """Compute as documented: fp32 as IEEE says, nothing cast behind the scenes, every kernel allowed."""
    dtype, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    deterministic = torch.are_deterministic_algorithms_enabled()
    allowed = {name: getattr(torch.backends.cuda, f"{name}_enabled")() for name in _known_kernels()}
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision("highest")
    _demand_determinism(False)
    _allow(dict.fromkeys(allowed, True))
    try:
        with ExitStack() as stack:
            for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
                stack.enter_context(torch.autocast(device, enabled=False))
            yield
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(dtype)
        torch.set_float32_matmul_precision(precision)
        _demand_determinism(deterministic)
        _allow(allowed)


def _demand_determinism(wanted: bool) -> None:
    """Set it where it differs: setting it loads torch's compiler, which takes seconds."""
    if torch.are_deterministic_algorithms_enabled() != wanted:
        torch.use_deterministic_algorithms(wanted)


def _known_kernels() -> list[str]:
    return [name for name in _SDP if hasattr(torch.backends.cuda, f"{name}_enabled")]


def _allow(kernels: dict[str, bool]) -> None:
    for name, is_on in kernels.items():
        getattr(torch.backends.cuda, f"enable_{name}")(is_on)
