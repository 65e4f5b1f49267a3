"""Do the GPUs answer, and does the driver agree with itself?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.model.facts import State
from pytest_trtcheck.model.finding import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.verdict.base import Context, Unasked, Words

# A GPU or driver is there and does not serve; "no_driver" and "no_device" are absence, which is not broken.
_BROKEN = {
    "driver_not_loaded": "driver",
    "gpu_lost": "gpu",
    "mig_without_instances": "gpu",
    "not_permitted": "container",
    "error": "driver",
}


def device(context: Context) -> Iterator[Finding | Unasked]:
    """Judge the state of driver and GPUs as they told it themselves."""
    gpu = context.fact("gpu")
    condition = str(gpu.details.get("condition", ""))
    if condition in _BROKEN:
        yield context.incompatible(
            "TRC-DEV-001", "gpu", components=(_BROKEN[condition],), facts=("gpu",),
            expected="every GPU answers NVML", found=condition.replace("_", " "), detail=gpu.reason,
        )  # fmt: skip
    elif gpu.is_found and context.stack.kind == "host":
        yield context.compatible(
            "TRC-DEV-001", "gpu", facts=("gpu",), expected="every GPU answers NVML",
            found=f"{len(context.stack.gpus) or 1} x {gpu.value}",
        )  # fmt: skip
    yield from _memory_errors(context)
    yield from _one_release(context)


def _memory_errors(context: Context) -> Iterator[Finding]:
    counted = [gpu for gpu in context.stack.gpus if gpu.ecc_uncorrected_errors is not None]
    if not counted:
        return
    broken = [f"GPU {gpu.index}: {gpu.ecc_uncorrected_errors}" for gpu in counted if gpu.ecc_uncorrected_errors]
    yield context.compatible(
        "TRC-DEV-002", "gpu", facts=("gpu",), expected="0 uncorrected ECC errors",
        found=", ".join(broken) or f"0 on {len(counted)} GPU(s)",
        severity=Severity.WARNING if broken else Severity.INFO,
    )  # fmt: skip


def _one_release(context: Context) -> Iterator[Finding]:
    driver = context.fact("driver")
    module, library = driver.details.get("kernel_module"), driver.details.get("nvml")
    mismatch = context.fact("gpu").details.get("condition") == "nvml_mismatch"
    if not mismatch and (driver.state is not State.FOUND or not module or not library):
        return
    words: Words = {
        "expected": "one driver release in kernel and user space",
        "found": f"kernel module {module}, NVML {library}",
        "facts": ("driver", "gpu"),
    }
    if mismatch or module != library:
        yield context.incompatible("TRC-DRV-002", "driver", words, components=("driver",))
    else:
        yield context.compatible("TRC-DRV-002", "driver", words)
