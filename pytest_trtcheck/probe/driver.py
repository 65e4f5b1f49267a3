"""The NVIDIA driver, the libcuda in use, and the CUDA version that it supports."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.model.facts import Copy, Fact, State
from pytest_trtcheck.probe.nvml import NvmlReading, cuda_text
from pytest_trtcheck.probe.platforms import PROC_VERSION, KernelDriver

if TYPE_CHECKING:
    from pytest_trtcheck.probe.child import ChildEnd

# CUresult values that cuInit is known to give, and what they mean for the person who reads them.
CU_RESULTS: dict[int, tuple[str, str]] = {
    0: ("CUDA_SUCCESS", "libcuda works"),
    2: ("CUDA_ERROR_OUT_OF_MEMORY", "no memory was left to start"),
    3: ("CUDA_ERROR_NOT_INITIALIZED", "the driver could not be initialised"),
    34: (
        "CUDA_ERROR_STUB_LIBRARY",
        "this libcuda is the stub of the toolkit, not a driver; take stubs/ off LD_LIBRARY_PATH",
    ),
    36: ("CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER", "the kernel driver is too old for this libcuda"),
    46: ("CUDA_ERROR_DEVICE_UNAVAILABLE", "the GPU is taken: another process holds it in exclusive mode"),
    100: ("CUDA_ERROR_NO_DEVICE", "no GPU is visible to CUDA; see CUDA_VISIBLE_DEVICES and the container's GPU access"),
    101: (
        "CUDA_ERROR_INVALID_DEVICE",
        "CUDA_VISIBLE_DEVICES names a GPU that is not here, or a MIG GPU has no instance",
    ),
    304: ("CUDA_ERROR_OPERATING_SYSTEM", "a system call failed; the device nodes may be missing or not ours to open"),
    800: ("CUDA_ERROR_NOT_PERMITTED", "the operation is not permitted"),
    802: ("CUDA_ERROR_SYSTEM_NOT_READY", "the system is not ready; on NVSwitch machines the fabric manager must run"),
    803: (
        "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        "libcuda and the kernel driver do not fit; a cuda-compat libcuda may be in the way",
    ),
    804: (
        "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
        "the cuda-compat libcuda does not work on this GPU; forward compatibility is for data-centre GPUs",
    ),
    999: ("CUDA_ERROR_UNKNOWN", "unknown error; nvidia-uvm may not be loaded, or the container lost its device nodes"),
}
_LIBCUDA = re.compile(r"libcuda\.so\.(\d{3,4}(?:\.\d{1,4}){1,3})")
_LIBRARY = "libcuda.so.1"


@dataclass(frozen=True)
class LibcudaReading:
    """What the child that loaded libcuda reported."""

    path: str = ""
    """The file that the loader took, links resolved; empty when none was loaded."""
    cuda: str | None = None
    init_code: int | None = None
    """CUresult of cuInit; None when it was not reached or never returned."""
    devices: tuple[dict[str, str], ...] = ()
    """Name and compute capability of each device that CUDA shows."""
    problem: str = ""
    """Why the answer is missing or short."""
    missing: bool = False
    """True when there is no libcuda to load."""

    @property
    def file_version(self) -> str | None:
        """The driver release that the file is from, by its name; WSL and Jetson name it ``libcuda.so.1.1``."""
        match = _LIBCUDA.search(self.path)
        return match[1] if match else None


def read_libcuda(end: ChildEnd) -> LibcudaReading:
    """Return what the child told before it ended."""
    records = {str(record.get("kind")): record for record in end.records}
    if "missing" in records:
        text = str(records["missing"].get("text"))
        return LibcudaReading(problem=text, missing="No such file" in text)
    if "loaded" not in records:
        return LibcudaReading(problem=f"{_LIBRARY} could not be loaded: {end.describe()}")
    version, init = records.get("version", {}), records.get("init", {})
    code = init.get("code")
    devices = records.get("devices", {}).get("devices") or ()
    problem = ""
    if not version:
        problem = f"cuDriverGetVersion did not return: {end.describe()}"
    elif not init:
        problem = f"cuInit did not return: {end.describe()}"
    return LibcudaReading(
        path=str(records["loaded"].get("path") or ""),
        cuda=cuda_text(version.get("version")) if version.get("code") == 0 else None,
        init_code=code if isinstance(code, int) else None,
        devices=tuple({str(name): str(value) for name, value in device.items()} for device in devices),
        problem=problem,
    )


def driver_fact(kernel: KernelDriver, nvml: NvmlReading | None) -> Fact:
    """Return ``driver``: the kernel module's version, else NVML's; a disagreement stays in the details."""
    told = nvml.driver if nvml else None
    details: dict[str, Any] = {"kernel_module": kernel.version, "nvml": told, "kind": kernel.kind}
    if kernel.version:
        reason = ""
        if told and told != kernel.version:
            reason = f"NVML tells {told}, the kernel module {kernel.version}: reboot or reload the module"
        return Fact("driver", State.FOUND, kernel.version, PROC_VERSION, "kernel module", reason, details=details)
    if told:
        how = "nvmlSystemGetDriverVersion"
        return Fact("driver", State.FOUND, told, "NVML", how, kernel.reason, details=details)
    state = State.ABSENT if kernel.is_absent else State.UNREADABLE
    return Fact("driver", state, reason=kernel.reason, details=details)


def driver_cuda_fact(libcuda: LibcudaReading | None, nvml: NvmlReading | None) -> Fact:
    """Return ``driver_cuda``: the CUDA version of the libcuda in use, else the driver's own as NVML tells it."""
    key = "driver_cuda"
    if libcuda is None:
        reason = "the level static starts no process; see the driver's version instead"
        return Fact(key, State.NOT_PROBED, reason=reason)
    from_nvml = nvml.cuda if nvml else None
    details: dict[str, Any] = {
        "libcuda": libcuda.cuda,
        "nvml": from_nvml,
        "cu_init": _init_details(libcuda),
        "devices": list(libcuda.devices),
    }
    reason = libcuda.problem or _init_words(libcuda)
    if libcuda.cuda:
        where = libcuda.path or _LIBRARY
        return Fact(key, State.FOUND, libcuda.cuda, where, "cuDriverGetVersion", reason, details=details)
    if from_nvml:
        how = "nvmlSystemGetCudaDriverVersion"
        return Fact(key, State.FOUND, from_nvml, "NVML", how, reason, details=details)
    state = State.ABSENT if libcuda.missing else State.UNREADABLE
    return Fact(key, state, reason=reason, details=details)


def libcuda_fact(libcuda: LibcudaReading, kernel: KernelDriver) -> Fact:
    """Return ``libcuda``: which file the loader takes, its release, and whether it is a cuda-compat one."""
    if not libcuda.path:
        state = State.ABSENT if libcuda.missing else State.UNREADABLE
        return Fact("libcuda", state, reason=libcuda.problem)
    version = libcuda.file_version
    differs = bool(version and kernel.version and version != kernel.version)
    compat = any(part.startswith("compat") for part in libcuda.path.split("/")) or differs
    reason = f"it is from release {version}, the kernel module is {kernel.version}" if differs else ""
    how = "file name" if version else "/proc/self/maps"
    return Fact(
        "libcuda",
        State.FOUND,
        version,
        libcuda.path,
        how,
        reason,
        copies=(Copy(libcuda.path, version, how, "loader", soname=_LIBRARY),),
        chosen=0,
        why_chosen="the loader took it in a child process",
        details={"compat": compat, "path": libcuda.path, "version": version},
    )


def _init_details(libcuda: LibcudaReading) -> dict[str, Any]:
    if libcuda.init_code is None:
        return {"code": None, "name": "", "meaning": libcuda.problem}
    unnamed = (f"CUresult {libcuda.init_code}", "")
    name, meaning = CU_RESULTS.get(libcuda.init_code, unnamed)
    return {"code": libcuda.init_code, "name": name, "meaning": meaning}


def _init_words(libcuda: LibcudaReading) -> str:
    if not libcuda.init_code:
        return ""
    told = _init_details(libcuda)
    return f"cuInit gave {libcuda.init_code} {told['name']}: {told['meaning'] or 'not a known result of it'}"
