"""The machine that an image is for: GPUs by name, and the driver that is assumed there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.model.facts import Fact, Stack, State
from pytest_trtcheck.probe.root import shown
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.boards import board
from pytest_trtcheck.verdict.imply import imply

if TYPE_CHECKING:
    from pytest_trtcheck.rules.load import Matrix

GPU_OPTION, DRIVER_OPTION = "--trtcheck-target-gpu", "--trtcheck-target-driver"
MAX_GPUS = 64
_DRIVER = re.compile(r"\d{3,4}(?:\.\d{1,4}){0,3}")


@dataclass(frozen=True)
class TargetGpu:
    """A model of GPU that the image is to run on."""

    name: str
    compute_capability: str
    """``9.0``."""
    row: str
    """Row of the matrix that tells it."""


@dataclass(frozen=True)
class Target:
    """What the image is judged for."""

    gpus: tuple[TargetGpu, ...] = ()
    driver: str = ""
    """Version of the driver that is assumed; empty when none is."""


def read_target(gpus: str, driver: str, matrix: Matrix) -> Target:
    """Return the target of the two options; OptionError for a GPU that the matrix does not know."""
    names = [name.strip() for name in gpus.split(",") if name.strip()]
    if len(names) > MAX_GPUS:
        raise OptionError(f"{GPU_OPTION}: at most {MAX_GPUS} GPUs, found {len(names)}")
    driver = driver.strip()
    if driver and not _DRIVER.fullmatch(driver):
        raise OptionError(f"{DRIVER_OPTION}: expected a driver version such as 580.65.06, found {shown(driver[:40])!r}")
    return Target(tuple(_gpu(name, matrix) for name in dict.fromkeys(names)), driver)


def _gpu(name: str, matrix: Matrix) -> TargetGpu:
    rows = matrix.candidates("gpu", board(name)) if name.isprintable() and len(name) <= 80 else ()
    capabilities = {str(row.value("sm")): row.id for row in rows if row.value("sm")}
    if len(capabilities) == 1:
        capability, row = next(iter(capabilities.items()))
        return TargetGpu(name, capability, row)
    if capabilities:
        models = ", ".join(row.version for row in rows[:6])
        raise OptionError(f"{GPU_OPTION}: {shown(name)!r} is several models with different capabilities: {models}")
    known = [row.version for row in matrix.rows("gpu")]
    near = ", ".join(get_close_matches(name, known, n=3, cutoff=0.4))
    hint = f"; nearest: {near}" if near else ""
    found = f"found {shown(name[:80])!r}{hint}"
    raise OptionError(f"{GPU_OPTION}: expected names of GPUs that the matrix knows, such as H100,L40S; {found}")


def target_facts(target: Target, matrix: Matrix) -> dict[str, Fact]:
    """Return the facts of driver and GPUs: as assumed, or not probed where nothing was said."""
    why = "an image has none of its own; name the target's with "
    facts = {key: Fact(key, State.NOT_PROBED, reason=why + GPU_OPTION) for key in ("gpu", "sm", "gpu_count", "mig")}
    facts |= {key: Fact(key, State.NOT_PROBED, reason=why + DRIVER_OPTION) for key in ("driver", "driver_cuda")}
    if target.gpus:
        names = [gpu.name for gpu in target.gpus]
        capabilities = [gpu.compute_capability for gpu in target.gpus]
        rows = ", ".join(dict.fromkeys(gpu.row for gpu in target.gpus))
        facts["gpu"] = Fact("gpu", State.FOUND, names[0], GPU_OPTION, "assumed", details={"all": names})
        facts["sm"] = Fact("sm", State.FOUND, capabilities[0], rows, "GPU row", details={"all": capabilities})
    if target.driver:
        facts["driver"] = Fact("driver", State.FOUND, target.driver, DRIVER_OPTION, "assumed")
        implied = imply(Stack("described", "target", {"driver": facts["driver"]}), matrix)
        if spans.dotted(implied.value("driver_cuda")):
            facts["driver_cuda"] = implied.facts["driver_cuda"]
    return facts
