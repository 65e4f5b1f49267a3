"""What vLLM is told through the environment while an engine comes up, and what it must not leave behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_trtcheck.providers import Setup

ALWAYS = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
}
"""No network: a thread would report the use of vLLM. GPUs have the numbers that NVML gives them."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
UNLESS_SET = {"VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
"""The library forks this process, with all its threads, as long as it has no CUDA context."""
PROCESSES = "VLLM_ENABLE_V1_MULTIPROCESSING"
TRIPS_OVER = "llvmlite"


def fits_in_one_process(setup: Setup, device: str) -> bool:
    """Say whether an engine is brought up in this process; on a CPU that takes 6 s instead of 25 in three.

    vllm 0.32.0 goes through all that was ever imported when an engine comes up on a CPU, and fails with "no attribute
    'get'" once numba, which proposing n-grams imports, is there. Engines with speculation stay elsewhere.
    """
    return device == "cpu" and not setup.speculation and TRIPS_OVER not in sys.modules


def with_numbers(visible: str) -> str:
    """Return CUDA_VISIBLE_DEVICES with NVML's numbers instead of UUIDs of whole GPUs.

    Workers get UUIDs, which vLLM 0.20.2 takes for numbers: "invalid literal for int()"; 0.26.0 reads them.
    """
    entries = visible.split(",")
    if not any(entry.startswith("GPU-") for entry in entries):
        return visible
    import pynvml

    pynvml.nvmlInit()
    try:
        return ",".join(
            str(pynvml.nvmlDeviceGetIndex(pynvml.nvmlDeviceGetHandleByUUID(entry)))
            if entry.startswith("GPU-")
            else entry
            for entry in entries
        )
    finally:
        pynvml.nvmlShutdown()


@contextmanager
def undisturbed(*, one_process: bool) -> Iterator[None]:
    """Import vLLM and bring an engine up in this environment, and restore what changes of the process.

    ``one_process``: the engine's steps run in this process, unless the user's environment says otherwise. The library
    sets variables of its own (``LD_PRELOAD``, ``VLLM_WORKER_MULTIPROC_METHOD``, thread counts), which a child process
    of a later check would inherit; on a CPU it replaces ``torch.set_num_threads`` too.
    """
    import torch

    before, set_num_threads = dict(os.environ), torch.set_num_threads
    os.environ.update(ALWAYS)
    for name, value in {**UNLESS_SET, **({PROCESSES: "0"} if one_process else {})}.items():
        os.environ.setdefault(name, value)
    try:
        if VISIBLE in os.environ:
            os.environ[VISIBLE] = with_numbers(os.environ[VISIBLE])
        with ExitStack() as stack:
            if one_process:
                # Releases such as 0.28.0 silence the descriptor of sys.stdout, and pytest's has none.
                stack.enter_context(redirect_stdout(sys.__stdout__))
            yield
    finally:
        torch.set_num_threads = set_num_threads
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
