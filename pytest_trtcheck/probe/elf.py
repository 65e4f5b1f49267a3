"""What an ELF file says of itself: SONAME, NEEDED, RPATH, RUNPATH, and the version nodes it defines."""

from __future__ import annotations

import re
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from io import SEEK_END
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from pytest_trtcheck.probe.root import ReadError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elftools.elf.elffile import ELFFile

# The headers, dynamic table and names of the largest library measured (749 MB) take 9 kB and 200 reads.
MAX_READ_BYTES = 8 << 20
MAX_READS = 100_000
MAX_TAGS = 4096

_MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64", "EM_386": "i386", "EM_ARM": "arm"}
_PN_MANY = 0xFFFF
_TEXT_TAGS = ("DT_SONAME", "DT_NEEDED", "DT_RPATH", "DT_RUNPATH")
_VERSION_NODE = re.compile(r"(GLIBCXX|CXXABI)_([0-9]{1,4}(?:\.[0-9]{1,4}){1,3})")


class ElfError(ReadError):
    """A file that is not ELF, or whose ELF structures are broken or cut short."""


@dataclass(frozen=True)
class Elf:
    """The dynamic part of one ELF file."""

    bits: int
    machine: str
    """``x86_64``, ``aarch64``, or the name that the ELF standard gives it."""
    soname: str | None = None
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()


class _Bounded:
    """A stream that stops a reader which asks for too much: broken offsets may lead it through a gigabyte."""

    def __init__(self, file: BinaryIO, limit_bytes: int) -> None:
        self._file = file
        self._bytes_left = limit_bytes
        self._reads_left = MAX_READS
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._bytes_left + 1 if size < 0 else min(size, self._bytes_left + 1))
        self._bytes_left -= len(data)
        self._reads_left -= 1
        if self._bytes_left < 0 or self._reads_left < 0:
            raise ValueError("its tables send the reader through too much of the file")
        return data


def read_elf(root: Opens, path: str) -> Elf:
    """Return what the loader reads of the file; ElfError when it is broken, ReadError when it cannot open.

    Only program headers and the dynamic table are read, so a library of a gigabyte costs about 2 ms.
    """
    with opened_elf(root, path) as elf:
        parts = segments(path, elf)
        machine = elf.header["e_machine"]
        texts = _dynamic_texts(elf, parts, dynamic_entries(elf, parts))
        return Elf(
            bits=int(elf.elfclass),
            machine=_MACHINES.get(str(machine), str(machine)),
            soname=next(iter(texts.get("DT_SONAME", ())), None),
            needed=tuple(texts.get("DT_NEEDED", ())),
            rpath=_search_path(texts.get("DT_RPATH", ())),
            runpath=_search_path(texts.get("DT_RUNPATH", ())),
        )


def newest_version_nodes(root: Opens, path: str) -> dict[str, str]:
    """Return the newest ``GLIBCXX`` and ``CXXABI`` that a libstdc++ defines: ``{"GLIBCXX": "3.4.30", …}``."""
    newest: dict[str, tuple[int, ...]] = {}
    with opened_elf(root, path) as elf:
        for section in elf.iter_sections("SHT_GNU_verdef"):
            for _, auxiliaries in cast("Any", section).iter_versions():
                match = _VERSION_NODE.fullmatch(next(iter(auxiliaries)).name)
                if match:
                    numbers = tuple(int(part) for part in match[2].split("."))
                    newest[match[1]] = max(numbers, newest.get(match[1], ()))
    return {name: ".".join(map(str, numbers)) for name, numbers in sorted(newest.items())}


class Opens(Protocol):
    """What can open a file by its path, as ``Root`` does."""

    def open(self, path: str) -> BinaryIO:
        """Return the file open for reading and seeking; ReadError when it cannot be."""


@contextmanager
def opened_elf(root: Opens, path: str, limit_bytes: int = MAX_READ_BYTES) -> Iterator[ELFFile]:
    """Give the file to pyelftools, which may read ``limit_bytes`` of it; what goes wrong inside becomes an ElfError."""
    from elftools.elf.elffile import ELFFile

    with root.open(path) as file:
        try:
            _check_whole(path, file)
            yield ELFFile(cast("IO[bytes]", _Bounded(file, limit_bytes)))
        except ReadError:
            raise
        except Exception as error:
            # pyelftools raises nearly anything on damaged files; this is the one border where it is worded.
            words = f"{type(error).__name__}: {shown(str(error))[:200] or 'no details'}"
            raise ElfError(path, f"broken ELF file ({words})") from error


def _check_whole(path: str, file: BinaryIO) -> None:
    """Raise ElfError when the file is no ELF file, or ends before its own header says."""
    size = file.seek(0, SEEK_END)
    file.seek(0)
    start = file.read(64)
    if not start:
        raise ElfError(path, "empty file")
    if start[:4] != b"\x7fELF"[: len(start)]:
        raise ElfError(path, "not an ELF file")
    is_64 = start[4:5] != b"\x01"
    length = 64 if is_64 else 52
    if len(start) < length:
        raise ElfError(path, f"cut short: the file has {size} bytes, an ELF header alone takes {length}")
    order = ">" if start[5] == 2 else "<"
    fields = struct.unpack_from(order + ("QQIHHHHH" if is_64 else "IIIHHHHH"), start, 32 if is_64 else 28)
    program_at, sections_at, _flags, _size, program_size, program_count, section_size, section_count = fields
    for what, end in (
        ("section table", sections_at + section_size * section_count),
        ("program headers", program_at + program_size * program_count),
    ):
        if end > size:
            raise ElfError(path, f"cut short: its {what} should end at byte {end}, the file at {size}")


def segments(path: str, elf: ELFFile) -> list[Any]:
    """Return the program headers; iter_segments would walk all sections for each PT_DYNAMIC it meets."""
    from elftools.common.utils import struct_parse

    # A count this large means "look in section 0", which no library of ours does.
    if elf.header["e_phnum"] >= _PN_MANY:
        raise ValueError("too many program headers")
    start, step = elf.header["e_phoff"], elf.header["e_phentsize"]
    offsets = [start + number * step for number in range(elf.header["e_phnum"])]
    parts = [struct_parse(elf.structs.Elf_Phdr, elf.stream, offset) for offset in offsets]
    ends = [part["p_offset"] + part["p_filesz"] for part in parts if part["p_type"] == "PT_LOAD"]
    size = elf.stream_len
    if max(ends, default=0) > size:
        raise ElfError(path, f"cut short: its contents should end at byte {max(ends)}, the file at {size}")
    return parts


def dynamic_entries(elf: ELFFile, parts: list[Any]) -> list[tuple[str | int, int]]:
    """Return tags and values of the dynamic table, 4096 at most; empty where there is none.

    A tag is a name such as ``DT_NEEDED``, or the number of one that pyelftools does not know.
    """
    from elftools.common.utils import struct_parse

    table = next((part for part in parts if part["p_type"] == "PT_DYNAMIC"), None)
    layout, entries = elf.structs.Elf_Dyn, list[tuple[str | int, int]]()
    if table is None:
        return entries
    for number in range(min(table["p_filesz"] // layout.sizeof(), MAX_TAGS)):
        entry = struct_parse(layout, elf.stream, table["p_offset"] + number * layout.sizeof())
        if entry["d_tag"] == "DT_NULL":
            break
        entries.append((entry["d_tag"], entry["d_val"]))
    return entries


def file_offset(parts: list[Any], address: int) -> int | None:
    """Return where in the file the byte of that address lies; None where no segment is loaded from the file."""
    for part in parts:
        if part["p_type"] == "PT_LOAD" and 0 <= address - part["p_vaddr"] < part["p_filesz"]:
            return int(address - part["p_vaddr"] + part["p_offset"])
    return None


def _dynamic_texts(elf: ELFFile, parts: list[Any], entries: list[tuple[str | int, int]]) -> dict[str, list[str]]:
    """Return the names of the dynamic table by tag; they lie where DT_STRTAB says, as an address."""
    from elftools.common.utils import parse_cstring_from_stream

    named = [(str(tag), value) for tag, value in entries if tag in _TEXT_TAGS]
    if not named:
        return {}
    address = next((value for tag, value in entries if tag == "DT_STRTAB"), None)
    base = None if address is None else file_offset(parts, address)
    if base is None:
        raise ValueError("its dynamic table has no names")
    texts: dict[str, list[str]] = {}
    for tag, offset in named:
        texts.setdefault(tag, []).append(_text(parse_cstring_from_stream(elf.stream, base + offset)))
    return texts


def _text(name: bytes | None) -> str:
    if name is None:
        raise ValueError("a name in its dynamic table has no end")
    return shown(name.decode("utf-8", "surrogateescape"))


def _search_path(texts: list[str] | tuple[()]) -> tuple[str, ...]:
    return tuple(part for text in texts for part in text.split(":") if part)
