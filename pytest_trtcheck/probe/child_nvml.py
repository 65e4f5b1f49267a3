"""Ask NVML in a child. Records: the system first, then one per GPU, so that a GPU that hangs costs only itself.

NVML tells of every GPU that this container may open, whatever CUDA_VISIBLE_DEVICES says.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.probe.child_report import report

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_GPUS = 64


def main(fd: int) -> None:
    """Report the versions, then every GPU."""
    try:
        import pynvml
    except ImportError as error:
        report(fd, {"kind": "missing_module", "text": str(error)})
        return
    try:
        pynvml.nvmlInit()
        count = int(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError as error:
        # The driver's version can often still be had, and tells of a mismatch.
        problem = {"code": int(error.value), "text": str(error)}
        report(fd, {"kind": "error", **problem, "driver": _driver_version(pynvml)})
        return
    cuda = _Asker(pynvml).ask("CUDA version", pynvml.nvmlSystemGetCudaDriverVersion_v2)
    report(fd, {"kind": "system", "driver": _driver_version(pynvml), "cuda": cuda, "count": count})
    for index in range(min(count, MAX_GPUS)):
        report(fd, {"kind": "gpu", "index": index} | _gpu(pynvml, index))
    report(fd, {"kind": "end"})


class _Asker:
    """Asks one GPU and keeps what it would not tell."""

    def __init__(self, pynvml: Any) -> None:
        self._pynvml = pynvml
        self.problems: list[str] = []
        self.codes: list[int] = []

    def ask(self, what: str, function: Callable[..., Any], *args: Any) -> Any:
        """Return the answer; None when NVML gives none. What a GPU does not have is no problem."""
        try:
            answer = function(*args)
        except self._pynvml.NVMLError as error:
            code = int(error.value)
            if code not in {self._pynvml.NVML_ERROR_NOT_SUPPORTED, self._pynvml.NVML_ERROR_NO_DATA}:
                self.problems.append(f"{what}: {error}")
                self.codes.append(code)
            return None
        return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer


def _driver_version(pynvml: Any) -> str | None:
    version = _Asker(pynvml).ask("driver", pynvml.nvmlSystemGetDriverVersion)
    return str(version) if version else None


def _gpu(pynvml: Any, index: int) -> dict[str, Any]:
    asker = _Asker(pynvml)
    handle = asker.ask("handle", pynvml.nvmlDeviceGetHandleByIndex, index)
    found: dict[str, Any] = {}
    if handle is not None:
        capability = asker.ask("compute capability", pynvml.nvmlDeviceGetCudaComputeCapability, handle)
        memory = asker.ask("memory", pynvml.nvmlDeviceGetMemoryInfo, handle)
        pci = asker.ask("PCI", pynvml.nvmlDeviceGetPciInfo, handle)
        bus_id = getattr(pci, "busId", "")
        found = {
            "name": asker.ask("name", pynvml.nvmlDeviceGetName, handle),
            "uuid": asker.ask("UUID", pynvml.nvmlDeviceGetUUID, handle),
            "compute_capability": f"{capability[0]}.{capability[1]}" if capability else "",
            "memory_total_bytes": memory.total if memory else None,
            "memory_free_bytes": memory.free if memory else None,
            "pci_bus_id": bus_id.decode("ascii", "replace") if isinstance(bus_id, bytes) else bus_id,
            "ecc": _ecc(pynvml, asker, handle),
            "ecc_uncorrected_errors": asker.ask(
                "ECC errors",
                pynvml.nvmlDeviceGetTotalEccErrors,
                handle,
                pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
                pynvml.NVML_VOLATILE_ECC,
            ),
            "mig_mode": _mig_mode(pynvml, asker, handle),
            "mig_devices": _mig_devices(pynvml, asker, handle),
        }
    return found | {"problems": asker.problems, "codes": asker.codes}


def _switch(modes: Any, enabled: int) -> str:
    """Word the (current, pending) pair that NVML gives."""
    if modes is None:
        return ""
    return "enabled" if modes[0] == enabled else "disabled"


def _ecc(pynvml: Any, asker: _Asker, handle: Any) -> str:
    modes = asker.ask("ECC mode", pynvml.nvmlDeviceGetEccMode, handle)
    return _switch(modes, pynvml.NVML_FEATURE_ENABLED)


def _mig_mode(pynvml: Any, asker: _Asker, handle: Any) -> str:
    modes = asker.ask("MIG mode", pynvml.nvmlDeviceGetMigMode, handle)
    return _switch(modes, pynvml.NVML_DEVICE_MIG_ENABLE)


def _mig_devices(pynvml: Any, asker: _Asker, handle: Any) -> list[dict[str, Any]]:
    """Return the instances that this container may use; an empty slot is NVML_ERROR_NOT_FOUND."""
    devices = []
    slots = asker.ask("MIG slots", pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0
    for slot in range(slots):
        quiet = _Asker(pynvml)
        device = quiet.ask("MIG instance", pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, slot)
        if device is None:
            continue
        memory = quiet.ask("memory", pynvml.nvmlDeviceGetMemoryInfo, device)
        devices.append(
            {
                "uuid": quiet.ask("UUID", pynvml.nvmlDeviceGetUUID, device) or "",
                "name": quiet.ask("name", pynvml.nvmlDeviceGetName, device) or "",
                "memory_total_bytes": memory.total if memory else None,
            }
        )
    return devices


if __name__ == "__main__":
    main(int(sys.argv[1]))
