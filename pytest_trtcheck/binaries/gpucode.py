"""Which GPU code a file carries: fat binaries of a shared object, cubins in its data, cubin, fatbin and PTX files."""

from __future__ import annotations

import re
import struct
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pytest_trtcheck.binaries.cubin import HEADER_BYTES, NOTE_BYTES, architecture_of, is_cubin
from pytest_trtcheck.binaries.fatbin import MAGIC, Code, FatbinError, Kind, read_container
from pytest_trtcheck.probe.elf import ElfError, opened_elf

if TYPE_CHECKING:
    from pytest_trtcheck.probe.elf import Opens

MAX_PIECES = 50_000
"""Containers and cubins in one file; the most seen are 3,015 containers (libcublasLt 12.9)."""
MAX_PROBLEMS = 5

_WRAPPER = struct.Struct("<IIQQ")
_WRAPPER_MAGIC = 0x466243B1
_CUBIN_MAGIC = b"\x7fELF\x02\x01"
_DATA_SECTION = re.compile(r"\.(?:l?rodata|l?data)(?:\.|$)")
_NEAR, _CHUNK = 64, 1 << 22
_PTX = re.compile(
    rb"^\s*\.version\s+(\d{1,2}\.\d{1,2})\s[^\0]{0,2000}?^\s*\.target\s+sm_(\d{2,3})([af]?)\b", re.MULTILINE
)


class Where(str, Enum):
    """How a piece of GPU code lies in its file."""

    LINKED = "linked"
    """``.nv_fatbin``: the runtime registers it."""
    RELOCATABLE = "relocatable"
    """``__nv_relfatbin``: parts of separable compilation, from which the driver may link anew."""
    EMBEDDED = "embedded"
    """Among other data: the library loads it by itself."""
    FILE = "file"
    """The file is nothing else."""


class Group(NamedTuple):
    """Pieces that hold code for the same architectures."""

    where: Where
    codes: frozenset[Code]
    """Of which one is chosen for a GPU."""
    pieces: int
    """How many such pieces there are."""


@dataclass(frozen=True)
class GpuCode:
    """The GPU code of one file."""

    groups: tuple[Group, ...] = ()
    compressions: frozenset[str] = frozenset()
    registered: int = 0
    """Fat binaries that the file registers with the runtime (``.nvFatBinSegment``)."""
    problems: tuple[str, ...] = ()

    def texts(self, kind: Kind) -> tuple[str, ...]:
        """Return all code of a kind as nvcc writes it, oldest first."""
        codes = {code for group in self.groups for code in group.codes if code.kind is kind}
        return tuple(code.text for code in sorted(codes, key=lambda code: (code.number, code.suffix, code.ptx)))


_FATBIN_SECTIONS = {".nv_fatbin": Where.LINKED, "__nv_relfatbin": Where.RELOCATABLE}


@dataclass
class _Found:
    pieces: Counter[tuple[Where, frozenset[Code]]] = field(default_factory=Counter)
    compressions: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    total: int = 0

    def add(self, where: Where, codes: frozenset[Code]) -> None:
        self.pieces[where, codes] += 1
        self.total += 1

    def result(self, registered: int = 0) -> GpuCode:
        groups = [Group(where, codes, count) for (where, codes), count in self.pieces.items() if codes]
        groups.sort(key=lambda group: (group.where.value, -group.pieces, sorted(group.codes)))
        return GpuCode(tuple(groups), frozenset(self.compressions), registered, tuple(self.problems[:MAX_PROBLEMS]))


def read_gpu_code(files: Opens, path: str, *, is_deep: bool = False) -> GpuCode:
    """Return the GPU code of a file; empty for one that has none.

    ``is_deep`` also reads the data sections of a shared object through, for cubins and fat binaries that the
    library brings as data: that costs reading them, the rest costs their headers. ElfError for a broken ELF file,
    ReadError for one that cannot be opened.
    """
    with files.open(path) as file:
        start = file.read(NOTE_BYTES)
        size = file.seek(0, 2)
        found = _Found()
        if is_cubin(start):
            architecture = architecture_of(start)
            if architecture is None:
                raise ElfError(path, "a cubin whose flags name no architecture")
            found.add(Where.FILE, frozenset({Code(Kind.SASS, *architecture)}))
            return found.result()
        if start.startswith(MAGIC):
            _scan(file, 0, size, Where.FILE, found, cubins=False)
            return found.result()
        if not start.startswith(b"\x7fELF"):
            return _ptx(start)
    return _of_object(files, path, is_deep=is_deep)


def _of_object(files: Opens, path: str, *, is_deep: bool) -> GpuCode:
    sections = _sections(files, path)
    found, registered, done = _Found(), 0, 0
    with files.open(path) as file:
        size = file.seek(0, 2)
        for name, begin, stop in sections:
            # Sections do not overlap; where they claim to, no byte is read twice.
            start, end = max(begin, done), min(stop, size)
            if start >= end:
                continue
            if name in _FATBIN_SECTIONS:
                _scan(file, start, end, _FATBIN_SECTIONS[name], found, cubins=False)
            elif name == ".nvFatBinSegment":
                registered = _registered(file, start, end)
            elif is_deep and _DATA_SECTION.match(name):
                _scan(file, start, end, Where.EMBEDDED, found, cubins=True)
            else:
                continue
            done = max(done, end)
        if not sections:
            _scan(file, 0, size, Where.EMBEDDED, found, cubins=True)
    if registered and not found.pieces:
        found.problems.append(f"registers {registered} fat binaries, and none was found in it")
    return found.result(registered)


def _sections(files: Opens, path: str) -> list[tuple[str, int, int]]:
    """Return name, begin and end of the sections that are in the file, in its order."""
    with opened_elf(files, path) as elf:
        found = [
            (section.name, int(section["sh_offset"]), int(section["sh_offset"] + section["sh_size"]))
            for section in elf.iter_sections()
            if section["sh_type"] not in {"SHT_NOBITS", "SHT_NULL"}
        ]
    return sorted(found, key=lambda section: section[1])


def _scan(file: BinaryIO, start: int, end: int, where: Where, found: _Found, *, cubins: bool) -> None:
    """Add every container between two offsets, and every cubin where asked to."""
    at = start
    while found.total < MAX_PIECES:
        piece = _next(file, at, end, cubins=cubins)
        if piece is None:
            return
        at, head = piece
        if head.startswith(MAGIC):
            try:
                container = read_container(file, at, end)
            except FatbinError as error:
                found.problems.append(str(error))
                at += len(MAGIC)
                continue
            if container.has_kernels:
                found.add(where, container.codes)
                found.compressions |= container.compressions
            at = container.end
        else:
            _add_cubin(file, at, end, where, found)
            at += HEADER_BYTES
    found.problems.append(f"more than {MAX_PIECES} pieces of GPU code, the rest was not read")


def _add_cubin(file: BinaryIO, at: int, end: int, where: Where, found: _Found) -> None:
    file.seek(at)
    data = file.read(min(NOTE_BYTES, end - at))
    architecture = architecture_of(data) if is_cubin(data) else None
    if architecture is not None:
        found.add(where, frozenset({Code(Kind.SASS, *architecture)}))
        found.compressions.add("none")


def _next(file: BinaryIO, at: int, end: int, *, cubins: bool) -> tuple[int, bytes] | None:
    """Return where the next container or cubin begins, and its first bytes; None when there is none left.

    Containers lie side by side, so a short read mostly finds the next one.
    """
    size = _NEAR
    while at < end:
        file.seek(at)
        data = file.read(min(size, end - at))
        places = [data.find(MAGIC)]
        if cubins:
            places.append(data.find(_CUBIN_MAGIC))
        place = min((place for place in places if place >= 0), default=-1)
        if place >= 0:
            return at + place, data[place : place + len(MAGIC)]
        if len(data) <= len(MAGIC):
            return None
        at += len(data) - len(MAGIC) + 1
        size = _CHUNK
    return None


def _registered(file: BinaryIO, start: int, end: int) -> int:
    """Return how many wrappers the segment holds."""
    file.seek(start)
    data = file.read(min(end - start, _WRAPPER.size * MAX_PIECES))
    whole = len(data) // _WRAPPER.size * _WRAPPER.size
    return sum(magic == _WRAPPER_MAGIC for magic, *_ in _WRAPPER.iter_unpack(data[:whole]))


def _ptx(start: bytes) -> GpuCode:
    match = _PTX.search(start)
    if match is None:
        return GpuCode()
    code = Code(Kind.PTX, int(match[2]), match[3].decode(), match[1].decode())
    return GpuCode((Group(Where.FILE, frozenset({code}), 1),))
