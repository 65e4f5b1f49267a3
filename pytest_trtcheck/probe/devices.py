"""The device probes together: NVML and libcuda are asked side by side, each in a child with a deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_trtcheck.model.level import Level
from pytest_trtcheck.probe.driver import driver_cuda_fact, driver_fact, libcuda_fact
from pytest_trtcheck.probe.gpu import Surroundings, gpu_facts, static_gpu_facts
from pytest_trtcheck.probe.platforms import jetson_fact, read_kernel_driver, read_proc_gpus, wsl_fact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_trtcheck.model.facts import Fact, Gpu
    from pytest_trtcheck.probe.root import Root

DEADLINE_SECONDS = 10.0


def probe_devices(
    root: Root, *, level: Level, env: Mapping[str, str], deadline_seconds: float = DEADLINE_SECONDS
) -> tuple[dict[str, Fact], tuple[Gpu, ...], dict[str, float]]:
    """Return the facts of GPUs and driver, the GPUs, and the seconds each part took.

    At the level static only files are read, and ``libcuda``, the file that the loader takes, is left out. The
    children ask this machine, whatever ``root`` is: a root that is not this machine belongs to the level static.
    """
    started = time.monotonic()
    wsl, jetson = wsl_fact(root), jetson_fact(root)
    kernel = read_kernel_driver(root)
    around = Surroundings(
        kernel=kernel,
        proc_gpus=read_proc_gpus(root),
        platform="wsl" if wsl.is_found else "jetson" if jetson.is_found else "",
        has_control_node=root.exists("/dev/nvidiactl"),
        env=env,
    )
    facts = {wsl.key: wsl, jetson.key: jetson}
    seconds = {"driver files": time.monotonic() - started}
    nvml = libcuda = None
    if level is Level.STATIC:
        found, gpus = static_gpu_facts(around)
    else:
        from pytest_trtcheck.probe.child_pool import ChildPool
        from pytest_trtcheck.probe.driver import read_libcuda
        from pytest_trtcheck.probe.nvml import read_nvml

        with ChildPool() as pool:
            for name in ("nvml", "libcuda"):
                pool.start(name, f"pytest_trtcheck.probe.child_{name}", deadline_seconds=deadline_seconds)
            nvml_end, libcuda_end = pool.wait("nvml"), pool.wait("libcuda")
        seconds |= {"NVML": nvml_end.seconds, "libcuda": libcuda_end.seconds}
        nvml, libcuda = read_nvml(nvml_end), read_libcuda(libcuda_end)
        found, gpus = gpu_facts(around, nvml, libcuda)
    told = [driver_fact(kernel, nvml), driver_cuda_fact(libcuda, nvml)]
    if libcuda is not None:
        told.append(libcuda_fact(libcuda, kernel))
    return facts | found | {fact.key: fact for fact in told}, gpus, seconds
