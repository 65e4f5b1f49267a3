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
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from pytest_trtcheck.binaries.cubin import HEADER_BYTES, NOTE_BYTES, architecture_of, is_cubin
from pytest_trtcheck.binaries.fatbin import MAGIC, FatbinError, Kind, entries, span

_ELF = b"\x7fELF\x02\x01"
_TABLES = struct.Struct("<QQIHHHHH")
"""e_phoff, e_shoff, e_flags, e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, at byte 32."""


def thin(path: Path, keep: int) -> tuple[int, int]:
    """Blank a file's code for other architectures than ``keep``; return the bytes that were blanked and those kept."""
    blanked = kept = 0
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        containers = list(_containers(file, data))
        inside = [piece for start, stop in containers for piece in _inside(file, start, stop, keep)]
        for start, length, is_kept in [*inside, *_bare(data, containers, keep)]:
            if is_kept:
                kept += length
            else:
                data[start : start + length] = bytes(length)
                blanked += length
    return blanked, kept


def _containers(file: BinaryIO, data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Find where the entries of each fat binary begin and end; what only looks like one has lengths that do not fit."""
    at = data.find(MAGIC)
    while at >= 0:
        try:
            start, stop = span(file, at, len(data))
            yield start, stop
        except FatbinError:
            stop = at + len(MAGIC)
        at = data.find(MAGIC, stop)


def _inside(file: BinaryIO, start: int, stop: int, keep: int) -> Iterator[tuple[int, int, bool]]:
    found = list(entries(file, start, stop))
    here = any(one.kind is Kind.SASS and one.number == keep for one in found)
    for one in found:
        is_spare = one.kind is Kind.PTX and one.number <= keep and not here
        yield one.at, one.size, is_spare or (one.kind is Kind.SASS and one.number == keep)


def _bare(data: mmap.mmap, containers: list[tuple[int, int]], keep: int) -> Iterator[tuple[int, int, bool]]:
    """Find cubins outside fat binaries, as TensorRT's builder resource has them.

    Inside, what is compressed may begin like a cubin, and its lengths lead into the next entry.
    """
    for start, end in pairwise([0, *(edge for container in containers for edge in container), len(data)]):
        if (start, end) in containers:
            continue
        at = data.find(_ELF, max(start, HEADER_BYTES), end)
        while at >= 0:
            last = _end_of_cubin(data, at, end)
            if last:
                found = architecture_of(data[at : min(last, at + NOTE_BYTES)])
                yield at + HEADER_BYTES, last - at - HEADER_BYTES, found is not None and found.number == keep
            at = data.find(_ELF, last or at + len(_ELF), end)


def _end_of_cubin(data: mmap.mmap, at: int, end: int) -> int:
    """Return where a cubin ends; 0 where there is none that ends before ``end``."""
    if not is_cubin(data[at : at + HEADER_BYTES]):
        return 0
    programs, sections, _, _, entry, many, size, count = _TABLES.unpack_from(data, at + 32)
    last: int = at + max(sections + size * count, programs + entry * many)
    return last if at + HEADER_BYTES < last <= end else 0


if __name__ == "__main__":
    for name in sys.argv[2:]:
        done, left = thin(Path(name), int(sys.argv[1]))
        print(f"{name}: {done / 1e6:.0f} MB of other architectures blanked, {left / 1e6:.0f} MB kept")
