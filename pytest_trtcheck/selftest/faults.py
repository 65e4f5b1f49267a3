"""Faults, injected on purpose: what each does, how it must be named, and where it cannot be shown."""

from __future__ import annotations

import collections
import ctypes
import importlib
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pytest_trtcheck.selftest import cgroup, gpu_faults

_MEGABYTE = 1024 * 1024
_DEADLINE_SECONDS = 3.0


@dataclass(frozen=True)
class Fault:
    """One fault and how a run must name it."""

    name: str
    inject: Callable[[], None]
    outcome: str
    """Outcome of the check that it hits."""
    words: str
    """What the result's message must hold."""
    deadline_seconds: float = 60.0
    missing: Callable[[], str] = lambda: ""
    """Why this machine cannot show it; empty when it can."""


def _segfault() -> None:
    ctypes.string_at(0)


def _terminate() -> None:
    # std::terminate() by its mangled name.
    ctypes.CDLL("libstdc++.so.6")["_ZSt9terminatev"]()


def _no_libstdcxx() -> str:
    try:
        ctypes.CDLL("libstdc++.so.6")
    except OSError as error:
        return str(error)
    return ""


def _python_loop() -> None:
    while True:
        pass


def _loop_that_holds_the_gil() -> None:
    # Never returns to the interpreter, so that neither signals nor other threads run Python code.
    collections.deque(itertools.count(), maxlen=0)


def _memory_limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2048 * _MEGABYTE, resource.RLIM_INFINITY))
    try:
        bytearray(4096 * _MEGABYTE)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _broken_import() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "trtcheck_broken.so").write_bytes(b"\x7fELF\x02\x01\x01")
        sys.path.insert(0, folder)
        try:
            importlib.import_module("trtcheck_broken")
        finally:
            sys.path.remove(folder)


def _killed_from_outside() -> None:
    subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -9 {os.getpid()}"], start_new_session=True)
    time.sleep(30)


def _on_gpu(name: str, inject: Callable[[], None], outcome: str, words: str) -> Fault:
    return Fault(name, inject, outcome, words, 2 * _DEADLINE_SECONDS, gpu_faults.why_not)


FAULTS: tuple[Fault, ...] = (
    Fault("segfault", _segfault, "error", "SIGSEGV"),
    Fault("abort", os.abort, "error", "SIGABRT"),
    Fault("cpp_terminate", _terminate, "error", "C++ terminate", missing=_no_libstdcxx),
    Fault("exit_0", lambda: os._exit(0), "error", "status 0"),
    Fault("python_loop", _python_loop, "error", "hang", _DEADLINE_SECONDS),
    Fault("c_loop_holding_gil", _loop_that_holds_the_gil, "error", "hang", _DEADLINE_SECONDS),
    Fault("memory_limit", _memory_limit, "failed", "MemoryError"),
    Fault("memory_killer", cgroup.exceed_limit, "error", "out of memory", missing=cgroup.why_not),
    Fault("broken_import", _broken_import, "failed", "ImportError"),
    Fault("worker_killed", _killed_from_outside, "error", "SIGKILL from outside"),
    _on_gpu("gpu_illegal_address", gpu_faults.illegal_address, "failed", "CUDA_ERROR_ILLEGAL_ADDRESS"),
    _on_gpu("gpu_device_assert", gpu_faults.device_assert, "failed", "CUDA_ERROR_ASSERT"),
    _on_gpu("gpu_endless_kernel", gpu_faults.endless_kernel, "error", "hang"),
    _on_gpu("gpu_out_of_memory", gpu_faults.out_of_memory, "failed", "CUDA_ERROR_OUT_OF_MEMORY"),
)

FIXTURE_FAULT = "failing_fixture"
"""Injected by a fixture, so not in the table above: must end in an error that names it."""
