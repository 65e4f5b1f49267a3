"""Blank the GPU code of other architectures in copies of libraries, so that they pack small for a host without network.

``python -m bench.thin 90 FILE...`` rewrites each file in place: payloads of fat binaries and bare cubins of another
architecture become zeros; PTX stays where a container has no code for this one. Offsets and headers stay, so
a library loads as before on the architecture that was kept, and has nothing to run on any other.
"""

from __future__ import annotations

import mmap
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from pytest_trtcheck.binaries.cubin import HEADER_BYTES, NOTE_BYTES, architecture_of, is_cubin
from pytest_trtcheck.binaries.fatbin import CONTAINER, ENTRY, KINDS, MAGIC, MAX_HEADER_BYTES, Kind

_ELF = b"\x7fELF\x02\x01"
_TABLES = struct.Struct("<QQIHHHHH")
"""e_phoff, e_shoff, e_flags, e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, at byte 32."""


def thin(path: Path, keep: int) -> tuple[int, int]:
    """Blank a file's code for other architectures than ``keep``; return the bytes that were blanked and those kept."""
    blanked = kept = 0
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        for start, length, is_kept in [*_in_containers(data, keep), *_bare(data, keep)]:
            if is_kept:
                kept += length
            else:
                data[start : start + length] = bytes(length)
                blanked += length
    return blanked, kept


def _in_containers(data: mmap.mmap, keep: int) -> Iterator[tuple[int, int, bool]]:
    at = data.find(MAGIC)
    while at >= 0:
        _, _, header, size = CONTAINER.unpack_from(data, at)
        start, stop = at + header, at + header + size
        if not CONTAINER.size <= header <= MAX_HEADER_BYTES or stop > len(data):
            start = stop = at + len(MAGIC)
        entries = list(_entries(data, start, stop))
        here = any(kind is Kind.SASS and number == keep for kind, number, _, _ in entries)
        for kind, number, first, length in entries:
            is_spare = kind is Kind.PTX and number <= keep and not here
            yield first, length, is_spare or (kind is Kind.SASS and number == keep)
        at = data.find(MAGIC, stop)


def _entries(data: mmap.mmap, at: int, stop: int) -> Iterator[tuple[Kind, int, int, int]]:
    while at + ENTRY.size <= stop:
        fields = ENTRY.unpack_from(data, at)
        length, size = fields[2], fields[3]
        if length < ENTRY.size or at + length + size > stop:
            return
        yield KINDS.get(fields[0], Kind.OTHER), fields[8], at + length, size
        at += length + size


def _bare(data: mmap.mmap, keep: int) -> Iterator[tuple[int, int, bool]]:
    """Find cubins that lie in a file as they are, as in TensorRT's builder resource."""
    at = data.find(_ELF, HEADER_BYTES)
    while at >= 0:
        end = at + len(_ELF)
        if is_cubin(data[at : at + HEADER_BYTES]):
            programs, sections, _, _, entry, many, size, count = _TABLES.unpack_from(data, at + 32)
            last = at + max(sections + size * count, programs + entry * many)
            found = architecture_of(data[at : min(last, at + NOTE_BYTES)])
            if found and last <= len(data):
                end = last
                yield at + HEADER_BYTES, end - at - HEADER_BYTES, found.number == keep
        at = data.find(_ELF, end)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        done, left = thin(Path(name), int(sys.argv[1]))
        print(f"{name}: {done / 1e6:.0f} MB of other architectures blanked, {left / 1e6:.0f} MB kept")
