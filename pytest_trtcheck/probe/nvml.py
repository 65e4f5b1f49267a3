"""What the NVML child reported, as values: versions, GPUs, MIG instances, or why there are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.model.facts import Gpu

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_trtcheck.probe.child import ChildEnd

NO_PERMISSION = 4
DRIVER_NOT_LOADED = 9
LIBRARY_NOT_FOUND = 12
GPU_IS_LOST = 15
RESET_REQUIRED = 16
LIB_RM_VERSION_MISMATCH = 18


@dataclass(frozen=True)
class NvmlReading:
    """NVML's answer."""

    driver: str | None = None
    cuda: str | None = None
    """Newest CUDA version that the driver supports, ``13.0``; a cuda-compat libcuda does not change it."""
    count: int | None = None
    """Number of GPUs; None when NVML could not be asked."""
    gpus: tuple[Gpu, ...] = ()
    mig_instances: tuple[dict[str, Any], ...] = ()
    lost: tuple[int, ...] = ()
    """Indices of GPUs that fell off the bus or need a reset."""
    refused: tuple[int, ...] = ()
    """Indices of GPUs that we may not open."""
    error_code: int | None = None
    """NVML's error for the system as a whole."""
    problem: str = ""
    """In words, why the answer is missing or short; empty when all was told."""
    module_missing: bool = False
    """True when the Python module pynvml could not be imported."""


def read_nvml(end: ChildEnd) -> NvmlReading:
    """Return what the child told before it ended."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for record in end.records:
        by_kind.setdefault(str(record.get("kind")), []).append(record)
    for record in by_kind.get("missing_module", ()):
        return NvmlReading(problem=str(record.get("text")), module_missing=True)
    for record in by_kind.get("error", ()):
        code = record.get("code")
        return NvmlReading(
            driver=_text(record.get("driver")) or None,
            error_code=code if isinstance(code, int) else None,
            problem=str(record.get("text")),
        )
    if "system" not in by_kind:
        return NvmlReading(problem=f"NVML gave no answer: {end.describe()}")
    system = by_kind["system"][0]
    gpu_records = by_kind.get("gpu", [])
    count = system.get("count")
    problem = ""
    if "end" not in by_kind:
        problem = f"NVML told of {len(gpu_records)} of {count} GPUs, then {end.describe()}"
    return NvmlReading(
        driver=_text(system.get("driver")) or None,
        cuda=cuda_text(system.get("cuda")),
        count=count if isinstance(count, int) else None,
        gpus=tuple(_gpu(record) for record in gpu_records),
        mig_instances=tuple(
            {"gpu": record.get("index"), **device} for record in gpu_records for device in _devices(record)
        ),
        lost=_with_code(gpu_records, GPU_IS_LOST, RESET_REQUIRED),
        refused=_with_code(gpu_records, NO_PERMISSION),
        problem=problem,
    )


def cuda_text(number: object) -> str | None:
    """Return the version of a CUDA API number: 12040 gives ``12.4``; None for anything else."""
    if not isinstance(number, int) or number < 1000:
        return None
    return f"{number // 1000}.{number % 1000 // 10}"


def _with_code(records: list[dict[str, Any]], *codes: int) -> tuple[int, ...]:
    return tuple(
        int(record["index"])
        for record in records
        if not record.get("name") and any(code in codes for code in record.get("codes", ()))
    )


def _gpu(record: Mapping[str, Any]) -> Gpu:
    return Gpu(
        index=int(record.get("index", 0)),
        name=_text(record.get("name")),
        uuid=_text(record.get("uuid")),
        compute_capability=_text(record.get("compute_capability")),
        memory_total_bytes=_number(record.get("memory_total_bytes")),
        memory_free_bytes=_number(record.get("memory_free_bytes")),
        pci_bus_id=_text(record.get("pci_bus_id")),
        mig_mode=_text(record.get("mig_mode")),
        mig_devices=tuple(_text(device.get("uuid")) for device in _devices(record)),
        ecc=_text(record.get("ecc")),
        ecc_uncorrected_errors=_number(record.get("ecc_uncorrected_errors")),
        note="; ".join(str(problem) for problem in record.get("problems", ())),
    )


def _devices(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(record.get("mig_devices") or ())


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
