"""Fat binaries: containers of machine code and PTX for several GPU architectures, read by their headers.

The header of an entry tells its kind, architecture and PTX version also when what follows is compressed, so nothing is
ever decompressed. NVIDIA does not document the format; the layout here was read from what nvcc 11.8 to 13.0 write.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from pytest_trtcheck.binaries.cubin import HEADER_BYTES as CUBIN_HEADER
from pytest_trtcheck.binaries.cubin import NOTE_BYTES, architecture_of, is_cubin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

MAGIC = struct.pack("<IH", 0xBA55ED50, 1)
_CONTAINER = struct.Struct("<IHHQ")
_ENTRY = struct.Struct("<HHIQIIHHIIIQQQ")
MAX_ENTRIES = 200_000
MAX_HEADER_BYTES = 1 << 20
_BARE_BYTES = 4096

_LZ4, _ZSTD = 1 << 13, 1 << 15
_ACCELERATED, _FAMILY = 1 << 20, 1 << 21
_MAX_ARCHITECTURE = 999


class Kind(str, Enum):
    """What an entry holds."""

    SASS = "sm"
    """Machine code (cubin)."""
    PTX = "compute"
    """Assembler that the driver compiles."""
    LTO = "lto"
    """Intermediate code that only a linker of the same toolkit uses; the driver does not."""
    OTHER = "other"


_KINDS = {1: Kind.PTX, 2: Kind.SASS, 8: Kind.LTO, 16: Kind.SASS}


class Code(NamedTuple):
    """One piece of GPU code."""

    kind: Kind
    number: int
    """90 for sm_90 and compute_90."""
    suffix: str = ""
    """``a`` for this architecture alone, ``f`` for its family, ``?`` where the file does not tell."""
    ptx: str = ""
    """Version of PTX, ``9.0``; empty for anything else."""

    @property
    def text(self) -> str:
        """As nvcc writes it, PTX with its version: ``sm_90a``, ``compute_90:9.0``."""
        return f"{self.kind.value}_{self.number}{self.suffix}" + (f":{self.ptx}" if self.ptx else "")


class FatbinError(ValueError):
    """A container whose lengths do not fit."""


class Container(NamedTuple):
    """What one container holds."""

    codes: frozenset[Code]
    compressions: frozenset[str]
    """``none``, ``lz4``, ``zstd``."""
    end: int
    """Offset behind it."""
    has_kernels: bool = True
    """False for what nvcc adds at a last link without any kernel; True where compression hides it."""


class Entry(NamedTuple):
    """The header of one piece of code."""

    kind: Kind
    number: int
    """As in ``Code``."""
    flags: int
    ptx: str
    at: int
    """Offset of the code."""
    size: int


def span(file: BinaryIO, start: int, end: int) -> tuple[int, int]:
    """Return where the entries of the container at ``start`` begin and end; FatbinError when that is beyond ``end``."""
    _magic, _version, header_size, size = _CONTAINER.unpack(_read(file, start, _CONTAINER.size))
    stop = start + header_size + size
    if header_size < _CONTAINER.size or stop > end:
        raise FatbinError(f"a container at byte {start} should end at {stop}, its section at {end}")
    return start + header_size, stop


def entries(file: BinaryIO, at: int, stop: int) -> Iterator[Entry]:
    """Yield the entries of a container, which begin and end there; FatbinError when lengths lead beyond it."""
    first = at
    for _ in range(MAX_ENTRIES):
        if at + _ENTRY.size > stop:
            return
        fields = _ENTRY.unpack(_read(file, at, _ENTRY.size))
        length, size = fields[2], fields[3]
        if not _ENTRY.size <= length <= MAX_HEADER_BYTES or at + length + size > stop:
            raise FatbinError(f"an entry at byte {at} has lengths {length} and {size}, its container ends at {stop}")
        kind = _KINDS.get(fields[0], Kind.OTHER)
        yield Entry(kind, fields[8], fields[11], f"{fields[7]}.{fields[6]}", at + length, size)
        at += length + size
    raise FatbinError(f"a container whose entries begin at byte {first} has more than {MAX_ENTRIES} of them")


def read_container(file: BinaryIO, start: int, end: int) -> Container:
    """Return the container that begins at ``start``; FatbinError when its lengths lead beyond ``end``."""
    at, stop = span(file, start, end)
    codes: set[Code] = set()
    compressions: set[str] = set()
    has_kernels = False
    for entry in entries(file, at, stop):
        code, compression = _code(file, entry)
        has_kernels = has_kernels or not (compression == "none" and _is_bare(file, code, entry.at, entry.size))
        codes.add(code)
        compressions.add(compression)
    return Container(frozenset(codes), frozenset(compressions), stop, has_kernels)


def _code(file: BinaryIO, entry: Entry) -> tuple[Code, str]:
    if not 0 < entry.number <= _MAX_ARCHITECTURE:
        raise FatbinError(f"an entry is for architecture {entry.number}")
    suffix = "f" if entry.flags & _FAMILY else "a" if entry.flags & _ACCELERATED else ""
    compression = "zstd" if entry.flags & _ZSTD else "lz4" if entry.flags & _LZ4 else "none"
    if entry.kind is Kind.SASS and not suffix and compression == "none" and entry.size >= CUBIN_HEADER:
        # Compilers before CUDA 12.9 set no flag for sm_90a; the code itself tells, when it is not compressed.
        data = _read(file, entry.at, min(entry.size, NOTE_BYTES))
        found = architecture_of(data) if is_cubin(data) else None
        suffix = found.suffix if found and found.number == entry.number and found.suffix == "a" else ""
    return Code(entry.kind, entry.number, suffix, entry.ptx if entry.kind is Kind.PTX else ""), compression


def _is_bare(file: BinaryIO, code: Code, at: int, size: int) -> bool:
    """Say whether this is machine code without a kernel: no section of instructions, in a file this small."""
    return code.kind is Kind.SASS and size < _BARE_BYTES and b".text." not in _read(file, at, size)


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    data = file.read(size)
    if len(data) < size:
        raise FatbinError(f"the file ends at byte {at + len(data)}, inside a fat binary")
    return data
