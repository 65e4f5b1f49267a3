"""What a cubin, the ELF file of one GPU architecture, says of that architecture."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

EM_CUDA = 190
HEADER_BYTES = 64
NOTE_BYTES = 1 << 16
"""How much of a cubin is read for its notes: they stand before the code."""

# EI_OSABI and EI_ABIVERSION: from CUDA 13.0 on 0x41 and 8, with the architecture one byte higher in e_flags.
_NEW_ABI_VERSION = 8
_OLD_ACCELERATED = 0x800
_MAX_ARCHITECTURE = 999
# ptxas leaves its command line in .note.nv.tkinfo.
_COMMAND_LINE = re.compile(rb"-arch(?:=| )+sm_(\d{2,3})([af]?)\b")
# A record of .nv.compat: attribute 9 of kind 2 tells whether the code is for this one architecture.
_COMPAT = re.compile(rb"\x02\x09([\x00\x01])\x00\x02\x02.\x00\x02\x05", re.DOTALL)


class Architecture(NamedTuple):
    """The GPU that machine code is for."""

    number: int
    """90 for sm_90."""
    suffix: str
    """``a``, ``f``, empty for none, ``?`` where the file does not tell."""


def is_cubin(start: bytes) -> bool:
    """Say whether these bytes begin a 64-bit ELF file for NVIDIA GPUs."""
    return (
        len(start) >= HEADER_BYTES
        and start[:6] == b"\x7fELF\x02\x01"
        and struct.unpack_from("<H", start, 18)[0] == EM_CUDA
    )


def architecture_of(data: bytes) -> Architecture | None:
    """Return the architecture of a cubin from its first 64 kB, None when its flags name none.

    Source: e_flags, .nv.compat and .note.nv.tkinfo of what nvcc 11.8 to 13.0 write; the older layout also in
    LLVM's BinaryFormat/ELF.h, EF_CUDA_SM and EF_CUDA_ACCELERATORS.
    """
    flags = struct.unpack_from("<I", data, 48)[0]
    is_new = data[8] >= _NEW_ABI_VERSION
    number = flags >> 8 & 0xFFFF if is_new else flags & 0xFF
    if not 0 < number <= _MAX_ARCHITECTURE:
        return None
    return Architecture(number, _suffix(data, number) if is_new else "a" if flags & _OLD_ACCELERATED else "")


def _suffix(data: bytes, number: int) -> str:
    line = next((match for match in _COMMAND_LINE.finditer(data) if int(match[1]) == number), None)
    if line is not None:
        return line[2].decode()
    compat = _COMPAT.search(data)
    if compat is not None and compat[1] == b"\x01":
        return "a"
    # Families came with sm_100: before, what is not accelerated is plain.
    return "?" if number >= 100 or compat is None else ""
