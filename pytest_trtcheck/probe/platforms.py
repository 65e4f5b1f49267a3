"""What the kernel tells of the NVIDIA driver and of special machines (WSL, Jetson): files only, no process."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_trtcheck.model.facts import Fact, Gpu, State
from pytest_trtcheck.probe.root import MissingError, ReadError, Root

PROC_VERSION = "/proc/driver/nvidia/version"
PROC_GPUS = "/proc/driver/nvidia/gpus"
MAX_GPUS = 64
_LIMIT_BYTES = 16 * 1024

# The proprietary module writes "NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar …",
# the open one "NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build …".
_MODULE = re.compile(r"NVRM version:.{0,80}?Kernel Module(?: for \S{1,20})?\s{1,8}(\d{2,4}(?:\.\d{1,4}){1,3})")
_L4T = re.compile(r"#\s*R(\d{1,3})\s*\(release\),\s*REVISION:\s*([\d.]{1,12})")

_BOARD = re.compile(r"jetson|nvidia.{0,40}(?:orin|thor|tegra|xavier)", re.IGNORECASE)


@dataclass(frozen=True)
class KernelDriver:
    """The NVIDIA kernel module as it tells of itself."""

    version: str | None
    kind: str = ""
    """``open`` or ``proprietary``; empty when unknown."""
    reason: str = ""
    """Why there is no version."""
    is_absent: bool = False
    """True when the kernel shows no such module."""


def read_kernel_driver(root: Root) -> KernelDriver:
    """Return the loaded kernel module, or why it is not known. On WSL the driver lies outside this kernel."""
    try:
        text = root.read_text(PROC_VERSION, _LIMIT_BYTES)
    except MissingError:
        return _without_version(root)
    except ReadError as error:
        return KernelDriver(None, reason=str(error))
    match = _MODULE.search(text)
    if match is None:
        first = " ".join(text.split())[:120]
        return KernelDriver(None, reason=f"{PROC_VERSION}: expected a line 'NVRM version: …', found {first!r}")
    return KernelDriver(match[1], "open" if "Open Kernel Module" in match[0] else "proprietary")


def _without_version(root: Root) -> KernelDriver:
    """Tell no driver apart from one that does not show itself there, as on WSL and in gVisor."""
    node = next((node for node in ("/dev/nvidiactl", "/dev/dxg") if root.exists(node)), None)
    if node is None:
        reason = f"{PROC_VERSION} does not exist: no NVIDIA module is loaded"
        return KernelDriver(None, reason=reason, is_absent=True)
    return KernelDriver(None, reason=f"{PROC_VERSION} does not exist, though {node} does")


def read_proc_gpus(root: Root) -> tuple[Gpu, ...]:
    """Return the GPUs of the kernel module; compute capability and memory are not told there.

    A container without GPU access still sees them: the note says so when the device node is not here.
    """
    try:
        names = [entry.name for entry in root.listdir(PROC_GPUS)][:MAX_GPUS]
    except ReadError:
        return ()
    return tuple(_proc_gpu(root, index, name) for index, name in enumerate(names))


def _proc_gpu(root: Root, index: int, folder: str) -> Gpu:
    path = f"{PROC_GPUS}/{folder}/information"
    try:
        lines = root.read_text(path, _LIMIT_BYTES).splitlines()
    except ReadError as error:
        return Gpu(index, "", "", "", pci_bus_id=folder, note=str(error))
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    node = f"/dev/nvidia{fields.get('Device Minor', '')}"
    return Gpu(
        index=index,
        name=fields.get("Model", ""),
        uuid=fields.get("GPU UUID", ""),
        compute_capability="",
        pci_bus_id=fields.get("Bus Location", folder),
        note="" if root.exists(node) else f"its device node {node} is not here",
    )


def wsl_fact(root: Root) -> Fact:
    """Return ``wsl_kernel``: the kernel release when this is the Windows Subsystem for Linux."""
    path = "/proc/sys/kernel/osrelease"
    try:
        release = root.read_text(path, _LIMIT_BYTES).strip()
    except ReadError as error:
        return Fact("wsl_kernel", State.UNREADABLE, reason=str(error))
    signs = [place for place in ("/dev/dxg", "/usr/lib/wsl/lib") if root.exists(place)]
    if "microsoft" in release.lower() or "/dev/dxg" in signs:
        return Fact("wsl_kernel", State.FOUND, release, path, "kernel release", details={"signs": signs})
    return Fact("wsl_kernel", State.ABSENT, reason=f"{path} names no Microsoft kernel and there is no /dev/dxg")


def jetson_fact(root: Root) -> Fact:
    """Return ``jetson``: the L4T release, or the model of the board when only that is told."""
    release, board = "/etc/nv_tegra_release", "/proc/device-tree/model"
    match = _L4T.search(_text(root, release))
    model = _text(root, board).strip("\0\n ")
    details = {"model": model} if model else {}
    if match:
        version = f"{match[1]}.{match[2]}"
        return Fact("jetson", State.FOUND, version, release, "L4T release", details=details)
    if _BOARD.search(model):
        return Fact("jetson", State.FOUND, None, board, "device tree", details=details)
    return Fact("jetson", State.ABSENT, reason=f"no {release}, and {board} names no Jetson board")


def _text(root: Root, path: str) -> str:
    try:
        return root.read_text(path, _LIMIT_BYTES)
    except ReadError:
        return ""
