"""The GPUs, or why there are none: each condition is told apart in words, with a next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.model.facts import Fact, Gpu, State
from pytest_trtcheck.probe import nvml as codes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_trtcheck.probe.driver import LibcudaReading
    from pytest_trtcheck.probe.nvml import NvmlReading
    from pytest_trtcheck.probe.platforms import KernelDriver

_ACCESS = "start the container with --gpus all (or the CDI device nvidia.com/gpu=all)"
_STATIC = "the level static starts no process, and files do not tell it"


@dataclass(frozen=True)
class Surroundings:
    """What is known of the machine without asking NVML."""

    kernel: KernelDriver
    proc_gpus: tuple[Gpu, ...]
    platform: str
    """``wsl``, ``jetson`` or empty."""
    has_control_node: bool
    """True when /dev/nvidiactl is here."""
    env: Mapping[str, str]


@dataclass(frozen=True)
class _Condition:
    """Why the GPUs are as they are."""

    name: str
    state: State
    reason: str = ""


def gpu_facts(
    around: Surroundings, nvml: NvmlReading, libcuda: LibcudaReading
) -> tuple[dict[str, Fact], tuple[Gpu, ...]]:
    """Return ``gpu``, ``sm``, ``gpu_count`` and ``mig`` with the GPUs, from what the two children told."""
    condition = _condition(around, nvml)
    gpus, where, how = nvml.gpus, "NVML", "nvmlDeviceGetName"
    if not gpus and libcuda.devices:
        # NVML is not needed to compute: Jetson long had none, a container may lack the capability "utility".
        gpus, where, how = _cuda_gpus(libcuda), libcuda.path, "cuDeviceGetName"
    details: dict[str, Any] = {
        "condition": condition.name,
        "count": len(gpus),
        "nvml_count": nvml.count,
        "cuda_count": len(libcuda.devices) if libcuda.init_code == 0 else None,
        "nvml_error": nvml.error_code,
        "platform": around.platform,
    }
    return _facts(condition, gpus, details, where, how) | {"mig": _mig_fact(nvml, condition)}, gpus


def static_gpu_facts(around: Surroundings) -> tuple[dict[str, Fact], tuple[Gpu, ...]]:
    """Return the same facts from the kernel's files alone; capability and MIG are not told there."""
    gpus = around.proc_gpus
    condition = _static_condition(around)
    details = {"condition": condition.name, "count": len(gpus), "platform": around.platform}
    facts = _facts(condition, gpus, details, "/proc/driver/nvidia/gpus", "Model")
    facts["sm"] = Fact("sm", State.NOT_PROBED, reason=_STATIC)
    facts["mig"] = Fact("mig", State.NOT_PROBED, reason=_STATIC)
    return facts, gpus


def _facts(
    condition: _Condition, gpus: tuple[Gpu, ...], details: Mapping[str, Any], where: str, how: str
) -> dict[str, Fact]:
    if not gpus:
        absent = {key: Fact(key, condition.state, reason=condition.reason) for key in ("sm", "gpu_count")}
        return {"gpu": Fact("gpu", condition.state, reason=condition.reason, details=details), **absent}
    capabilities = [gpu.compute_capability for gpu in gpus]
    first = capabilities[0] or None
    sm_how = "compute capability of GPU 0"
    return {
        "gpu": Fact("gpu", State.FOUND, gpus[0].name or None, where, how, condition.reason, details=details),
        "sm": Fact(
            "sm",
            State.FOUND if first else State.UNREADABLE,
            first,
            where,
            sm_how,
            "" if first else (gpus[0].note or condition.reason or "GPU 0 did not tell its compute capability"),
            details={"all": capabilities},
        ),
        "gpu_count": Fact("gpu_count", State.FOUND, str(len(gpus)), where, "number of GPUs listed"),
    }


def _cuda_gpus(libcuda: LibcudaReading) -> tuple[Gpu, ...]:
    note = "told by libcuda only: memory, MIG and ECC are not known"
    return tuple(
        Gpu(index, device.get("name", ""), "", device.get("compute_capability", ""), note=note)
        for index, device in enumerate(libcuda.devices)
    )


def _mig_fact(nvml: NvmlReading, condition: _Condition) -> Fact:
    modes = [gpu.mig_mode for gpu in nvml.gpus]
    details = {"modes": modes, "instances": list(nvml.mig_instances)}
    if not any(modes):
        reason = "no GPU here has MIG" if nvml.gpus else condition.reason
        state = State.ABSENT if nvml.gpus else condition.state
        return Fact("mig", state, reason=reason, details=details)
    value = "enabled" if "enabled" in modes else "disabled"
    return Fact("mig", State.FOUND, value, "NVML", "nvmlDeviceGetMigMode", details=details)


def _condition(around: Surroundings, nvml: NvmlReading) -> _Condition:
    if nvml.count is not None and nvml.gpus:
        return _condition_of_gpus(nvml)
    if nvml.problem and nvml.count is not None:
        return _Condition("error", State.UNREADABLE, nvml.problem)
    if nvml.count == 0:
        return _Condition("no_device", State.ABSENT, f"NVML works and lists no GPU{_hidden(around)}; {_ACCESS}")
    if nvml.module_missing:
        step = "pip install nvidia-ml-py"
        reason = f"the Python module pynvml cannot be imported ({nvml.problem}): {step}"
        return _Condition("nvml_missing", State.UNREADABLE, reason)
    if nvml.error_code == codes.LIBRARY_NOT_FOUND:
        return _no_library(around)
    return _condition_of_error(around, nvml)


def _condition_of_gpus(nvml: NvmlReading) -> _Condition:
    if nvml.lost:
        which = ", ".join(map(str, nvml.lost))
        reason = f"GPU {which} is lost or needs a reset: see dmesg for Xid lines, reset the GPU or reboot"
        return _Condition("gpu_lost", State.UNREADABLE, reason)
    if len(nvml.refused) == len(nvml.gpus):
        return _Condition("not_permitted", State.UNREADABLE, _refused_words(nvml.gpus[0].note))
    if nvml.problem:
        return _Condition("error", State.UNREADABLE, nvml.problem)
    if all(gpu.mig_mode == "enabled" and not gpu.mig_devices for gpu in nvml.gpus):
        reason = (
            "MIG is enabled and no instance is here, so nothing can compute: create one with "
            "nvidia-smi mig -cgi … -C, give the container one, or disable MIG"
        )
        return _Condition("mig_without_instances", State.UNREADABLE, reason)
    return _Condition("ok", State.FOUND)


def _no_library(around: Surroundings) -> _Condition:
    """NVML's library is not here: tell no driver apart from a container that hides it."""
    kernel = around.kernel
    if kernel.version or around.has_control_node:
        loaded = f"the kernel module {kernel.version or ''} is loaded".replace("  ", " ")
        reason = (
            f"{loaded} but libnvidia-ml.so.1 is not here: {_ACCESS} and with NVIDIA_DRIVER_CAPABILITIES=compute,utility"
        )
        return _Condition("nvml_missing", State.UNREADABLE, reason)
    if around.platform == "wsl":
        reason = (
            "this is WSL and libnvidia-ml.so.1 is not found: the driver is the one of Windows; "
            "install it there and put /usr/lib/wsl/lib on LD_LIBRARY_PATH"
        )
        return _Condition("wsl", State.UNREADABLE, reason)
    if around.platform == "jetson":
        reason = "this is a Jetson board without NVML: start the container with --runtime nvidia"
        return _Condition("jetson", State.UNREADABLE, reason)
    reason = f"no NVIDIA driver: no kernel module and no libnvidia-ml.so.1{_hidden(around)}; {_ACCESS} on a GPU host"
    return _Condition("no_driver", State.ABSENT, reason)


def _condition_of_error(around: Surroundings, nvml: NvmlReading) -> _Condition:
    version = around.kernel.version
    words = f"NVML error {nvml.error_code} ({nvml.problem})"
    if nvml.error_code == codes.LIB_RM_VERSION_MISMATCH:
        reason = (
            f"{words}: the kernel module is {version or 'of another release'} and libnvidia-ml is not; after a "
            "driver update reboot or reload the module, in a container use the host's libraries"
        )
        return _Condition("nvml_mismatch", State.UNREADABLE, reason)
    if nvml.error_code == codes.DRIVER_NOT_LOADED:
        step = f"the kernel module {version} is loaded but its device nodes are not here; {_ACCESS}"
        if not version:
            step = "libnvidia-ml is here but no kernel module answers; modprobe nvidia, or install the driver"
        return _Condition("driver_not_loaded", State.UNREADABLE, f"{words}: {step}")
    if nvml.error_code == codes.NO_PERMISSION:
        return _Condition("not_permitted", State.UNREADABLE, _refused_words(words))
    if nvml.error_code in {codes.GPU_IS_LOST, codes.RESET_REQUIRED}:
        step = "see dmesg for Xid lines, reset the GPU or reboot"
        return _Condition("gpu_lost", State.UNREADABLE, f"{words}: {step}")
    if nvml.error_code is None:
        return _Condition("error", State.UNREADABLE, nvml.problem)
    step = "see dmesg; a container that lost its device nodes must be started again"
    return _Condition("error", State.UNREADABLE, f"{words}: {step}")


def _static_condition(around: Surroundings) -> _Condition:
    if around.proc_gpus:
        if all(gpu.note for gpu in around.proc_gpus):
            count = len(around.proc_gpus)
            reason = f"the kernel module lists {count} GPUs and no device node of them is here; {_ACCESS}"
            return _Condition("no_device", State.ABSENT, reason)
        return _Condition("ok", State.FOUND)
    if around.kernel.version:
        reason = "the kernel module is loaded and lists no GPU"
        return _Condition("no_device", State.ABSENT, reason)
    if around.platform:
        reason = f"this is {around.platform}: its GPU is not told in files; use the level quick"
        return _Condition(around.platform, State.UNREADABLE, reason)
    if around.has_control_node:
        reason = f"{around.kernel.reason}; use the level quick to ask NVML"
        return _Condition("error", State.UNREADABLE, reason)
    state = State.ABSENT if around.kernel.is_absent else State.UNREADABLE
    return _Condition("no_driver", state, f"{around.kernel.reason}{_hidden(around)}")


def _refused_words(words: str) -> str:
    return f"{words}: the device nodes are not ours to open; run as a user of the group video or render"


def _hidden(around: Surroundings) -> str:
    """Name a variable that hides all GPUs from this container."""
    value = around.env.get("NVIDIA_VISIBLE_DEVICES")
    if value in {"void", "none"}:
        return f" (NVIDIA_VISIBLE_DEVICES={value} hides them)"
    return ""
