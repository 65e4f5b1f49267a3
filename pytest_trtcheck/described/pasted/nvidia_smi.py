"""``nvidia-smi``, ``nvidia-smi -L`` and ``nvidia-smi -q``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_trtcheck.described.pasted.gpus import GPU_LINE, note_gpus
from pytest_trtcheck.described.pasted.notes import Line, Notes

_DRIVER = re.compile(r"(?:Driver|KMD) Version\s*:\s*(\d[\d.]{1,20})")
_CUDA = re.compile(r"CUDA (?:UMD )?Version\s*:\s*(\d[\d.]{0,10})")
# First line of a GPU: index, name, persistence or driver model, then the bus id in a column of its own.
_ROW = re.compile(
    r"\|\s{1,4}\d{1,3}\s{2,4}(\S.{1,60}?)\s+(?:On|Off|N/A|WDDM|TCC|MCDM)\s*\|\s*[0-9A-Fa-f]{4,8}:[0-9A-Fa-f:.]+\s"
)
_MIG_MODE = re.compile(r"\|\s+\|\s+\|\s+(Enabled|Disabled)\*?\s*\|")
_MIG_DEVICE = re.compile(r"\s+MIG (\d{1,2}[gc][\w.+]{2,20})\s+Device\s+\d")
_PRODUCT = re.compile(r"\s+Product Name\s*:\s*(\S.{1,80})")
_DEVICE_ID = re.compile(r"\s+Device Id\s*:\s*0x([0-9A-Fa-f]{4})([0-9A-Fa-f]{4})\s*")
_SECTION_MODE = re.compile(r"\s+Current\s*:\s*(Enabled|Disabled)\s*")
_SIGNS = re.compile(r"NVIDIA-SMI\s+\d|NVSMI LOG|^GPU \d{1,3}: .*\(UUID: GPU-|^\s*Attached GPUs\s+:", re.MULTILINE)


def recognises(text: str) -> bool:
    """Tell whether the text has a table, a list or a log of nvidia-smi in it."""
    return bool(_SIGNS.search(text))


def read(lines: Sequence[Line]) -> Notes:
    """Return driver, the CUDA it supports, GPU names and count, MIG and PCI id.

    A name that the table cut short keeps its dots.
    """
    notes = Notes()
    tables: list[tuple[Line, str]] = []
    listed: list[tuple[Line, str]] = []
    modes: list[tuple[Line, str]] = []
    previous = ""
    for line in lines:
        for key, pattern in (("driver", _DRIVER), ("driver_cuda", _CUDA)):
            match = pattern.search(line.text)
            if match:
                notes.note(key, match[1], line)
        if match := _ROW.match(line.text):
            tables.append((line, match[1]))
        elif match := GPU_LINE.fullmatch(line.text) or _PRODUCT.fullmatch(line.text):
            listed.append((line, match[match.re.groups].strip()))
        elif match := _MIG_DEVICE.match(line.text):
            notes.note("mig", match[1], line)
        elif match := _DEVICE_ID.fullmatch(line.text):
            notes.note("pci_id", f"{match[2]}:{match[1]}".lower(), line)
        mode = _MIG_MODE.fullmatch(line.text) or (
            _SECTION_MODE.fullmatch(line.text) if previous.strip() == "MIG Mode" else None
        )
        if mode:
            modes.append((line, mode[1].lower()))
        previous = line.text
    note_gpus(notes, listed or tables)
    _note_mig(notes, modes)
    return notes


def _note_mig(notes: Notes, modes: Sequence[tuple[Line, str]]) -> None:
    """Note the mode where no instance told its profile; one GPU in MIG mode is enough to matter."""
    if modes and "mig" not in notes.values:
        line, mode = next(((line, mode) for line, mode in modes if mode == "enabled"), modes[0])
        notes.note("mig", mode, line)
