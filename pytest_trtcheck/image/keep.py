"""What is kept of a packed layer while it passes by: going back costs unpacking it again, with zstd from its start.

Small files that probes ask for by name are kept whole. Of libraries the loader's tables are kept, of engines and
programs the beginning. Whatever else is asked for is unpacked again, so this decides about time alone.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from pytest_trtcheck.image import tar
from pytest_trtcheck.probe.plan_files import is_plan_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_trtcheck.image.limits import Budget
    from pytest_trtcheck.image.source import Source

_SMALL_BYTES = 256 << 10
_LARGE_BYTES = 16 << 20
_START_BYTES = 4 << 10
_MAX_TABLE_BYTES = 8 << 20
"""libtorch_cpu 2.9 has the longest tables of all libraries measured: they end at 7.8 MB."""
_LEAST_TABLE_BYTES = 64 << 10
_CODE_PER_TABLE = 32
"""Older linkers put the tables into the segment of the code, first. They take 1/43 of it in libtorch_cpu."""
_READ_AHEAD_BYTES = 4096
"""Who reads a name, or a chain of hashes, reads more than it."""

_SMALL_ENDS = (
    "/METADATA", "/PKG-INFO", "/WHEEL", "/INSTALLER", "/RECORD", "/direct_url.json", "/version.json", "/version.txt",
    "/version.py", "/TRITON_VERSION", "/pyvenv.cfg", "/config.json", ".pc", ".conf", "/os-release", "/ld.so.cache",
    "/environment", ".egg-link", ".cmake", ".list", "/cuda.h", "/cuda_runtime_api.h",
)  # fmt: skip
_LARGE_ENDS = ("/var/lib/dpkg/status", "/rpmdb.sqlite", "/libc.so.6", "/libc10.so")

_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_PT_LOAD, _PT_DYNAMIC, _EXECUTABLE, _IN_MEMORY = 1, 2, 1, 2
_STRINGS = 3
# HASH, DYNAMIC, NOTE, DYNSYM, GNU_HASH, verdef, verneed, versym
_TABLES = {5, 6, 7, 11, 0x6FFFFFF6, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF}


class Piece(NamedTuple):
    """Some bytes of a file."""

    start: int
    data: bytes

    @property
    def end(self) -> int:
        """Offset behind the last byte."""
        return self.start + len(self.data)


def pieces_of(source: Source, member: tar.Member, budget: Budget) -> list[Piece]:
    """Return what is kept of the file that lies at the reader's place; nothing once the room is used up."""
    if member.kind is not tar.FILE or budget.kept_bytes <= 0:
        return []
    pieces = [piece for piece in _pieces(source, member) if piece.data]
    length = sum(len(piece.data) for piece in pieces)
    if length > budget.kept_bytes:
        return []
    budget.kept_bytes -= length
    return pieces


def _pieces(source: Source, member: tar.Member) -> Iterator[Piece]:
    name = f"/{member.name}"
    limit = _SMALL_BYTES if name.endswith(_SMALL_ENDS) else _LARGE_BYTES if name.endswith(_LARGE_ENDS) else 0
    if member.size <= limit:
        yield Piece(0, source.read_at(member.offset, member.size))
    elif name.endswith(".so") or ".so." in name:
        yield from _of_library(source, member)
    elif is_plan_name(name) or "/bin/" in name:
        yield Piece(0, source.read_at(member.offset, min(_START_BYTES, member.size)))


def _of_library(source: Source, member: tar.Member) -> list[Piece]:
    """Read forward what may hold tables; then, by the section table at the end, keep what does."""
    start = source.read_at(member.offset, min(_START_BYTES, member.size))
    if not start.startswith(b"\x7fELF\x02\x01") or len(start) < 64:
        return [Piece(0, start)]
    candidates = [
        Piece(begin, source.read_at(member.offset + begin, end - begin))
        for begin, end in _merged([(0, len(start)), *_candidates(start, member.size)], member.size)
    ]
    wanted = [(0, len(start)), *_dynamic(start), *_tables(start, candidates)]
    return [
        Piece(max(begin, piece.start), piece.data[max(begin - piece.start, 0) : end - piece.start])
        for begin, end in _merged(wanted, member.size)
        for piece in candidates
        if piece.start < end and begin < piece.end
    ]


def _merged(ranges: Iterable[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for begin, end in sorted((begin, min(end, size)) for begin, end in ranges if 0 <= begin < min(end, size)):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _segments(start: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield type, flags, offset and size in the file of each segment."""
    at, step, count = *struct.unpack_from("<Q", start, 32), *struct.unpack_from("<HH", start, 54)
    for number in range(count):
        place = at + number * step
        if step < _SEGMENT.size or place + _SEGMENT.size > len(start):
            return
        kind, flags, offset, _, _, size, _, _ = _SEGMENT.unpack_from(start, place)
        yield kind, flags, offset, size


def _dynamic(start: bytes) -> Iterator[tuple[int, int]]:
    for kind, _, offset, size in _segments(start):
        if kind == _PT_DYNAMIC:
            yield offset, offset + min(size, _MAX_TABLE_BYTES) + _READ_AHEAD_BYTES


def _candidates(start: bytes, size: int) -> Iterator[tuple[int, int]]:
    yield from _dynamic(start)
    sections, count = _section_table(start)
    # The names of sections come right before the table, unless lld linked the file and nobody stripped it.
    yield max(sections - _START_BYTES, 0), sections + count * _SECTION.size
    for kind, flags, offset, length in _segments(start):
        if kind != _PT_LOAD:
            continue
        most = _MAX_TABLE_BYTES
        if flags & _EXECUTABLE:
            most = min(most, max(length // _CODE_PER_TABLE, _LEAST_TABLE_BYTES)) if offset == 0 else 0
        # A tool that patched the file may have moved its tables into another segment, where they come first.
        yield offset, min(offset + min(length, most) + _READ_AHEAD_BYTES, size)


def _section_table(start: bytes) -> tuple[int, int]:
    (at,) = struct.unpack_from("<Q", start, 40)
    step, count = struct.unpack_from("<HH", start, 58)
    return (at, count) if step == _SECTION.size and count * step <= _MAX_TABLE_BYTES else (0, 0)


def _tables(start: bytes, candidates: list[Piece]) -> Iterator[tuple[int, int]]:
    """Yield where the loader's tables lie, and the section table itself; all that was read where there is none."""
    at, count = _section_table(start)
    piece = next((one for one in candidates if one.start <= at and at + count * _SECTION.size <= one.end), None)
    if not count or piece is None:
        yield from ((one.start, min(one.end, one.start + _SMALL_BYTES)) for one in candidates)
        return
    yield at, at + count * _SECTION.size
    (names,) = struct.unpack_from("<H", start, 62)
    for number in range(count):
        _, kind, flags, _, offset, size, *_ = _SECTION.unpack_from(
            piece.data, at - piece.start + number * _SECTION.size
        )
        if kind in _TABLES or (kind == _STRINGS and (flags & _IN_MEMORY or number == names)):
            yield offset, offset + size + _READ_AHEAD_BYTES


class Patched:
    """A file of a layer, with kept pieces of it in front."""

    def __init__(self, base: Source, pieces: list[Piece]) -> None:
        self.name = base.name
        self._base = base
        self._pieces = sorted(pieces)
        self._starts = [piece.start for piece in self._pieces]

    def read_at(self, offset: int, size: int) -> bytes:
        """Return at least one byte where there is one: up to where kept bytes begin or end."""
        place = bisect_right(self._starts, offset)
        piece = self._pieces[place - 1] if place else None
        if piece is not None and offset < piece.end:
            return piece.data[offset - piece.start : offset - piece.start + size]
        if place < len(self._starts):
            size = min(size, self._starts[place] - offset)
        return self._base.read_at(offset, size)

    def length(self) -> int:
        """Return the size of the file."""
        return self._base.length()
