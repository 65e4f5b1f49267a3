"""One shared object: what the loader reads of it, its symbols and version nodes included."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.binaries.symbols import SYMBOL, Import, Need, Symbols
from pytest_trtcheck.probe.elf import dynamic_entries, file_offset, opened_elf, read_elf, segments
from pytest_trtcheck.probe.root import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_trtcheck.probe.elf import Elf, Opens

# The largest tables measured are those of libtorch_cpu 2.13: 30 MB together.
MAX_TABLE_BYTES = 256 << 20
MAX_SYMBOLS = 4_000_000
MAX_IMPORTS = 200_000
"""The most that one library was seen to use is 15,000 (libtorch_python)."""
MAX_NODES = 20_000
MAX_RELOCATIONS = 50_000_000

_RELOCATION_BYTES = 24
_CHUNK = _RELOCATION_BYTES * 65536
_JUMP_SLOTS = {"x86_64": 7, "aarch64": 1026}
_BASE_NODE, _WEAK_NODE = 1, 2
_DT_SYMTAB, _DT_STRTAB, _DT_STRSZ, _DT_HASH = "DT_SYMTAB", "DT_STRTAB", "DT_STRSZ", "DT_HASH"
_ABI_TAG = re.compile(
    r"\.(?:cpython-(?P<python>\d{2,4})(?P<flags>[a-z]*)|(?P<stable>abi3)|pypy\d+-pp\d+)(?:-[\w-]+)?\.so$"
)


@dataclass(frozen=True)
class SharedObject:
    """What one ELF file tells the loader."""

    path: str
    elf: Elf
    needs: tuple[Need, ...] = ()
    """Version nodes that it asks of other libraries."""
    nodes: frozenset[str] = frozenset()
    """Version nodes that it defines; empty for an object without versions, which the loader takes for any."""
    symbols: Symbols = field(default_factory=Symbols)

    @property
    def soname(self) -> str:
        """Its SONAME; its file name when it has none."""
        return self.elf.soname or self.path.rpartition("/")[2]


class _Reader:
    """Reads tables of one open file by their addresses."""

    def __init__(self, path: str, elf: Any) -> None:
        self.path, self.elf = path, elf
        self.parts = segments(path, elf)
        self.tags: dict[str | int, int] = {}
        for tag, value in dynamic_entries(elf, self.parts):
            self.tags.setdefault(tag, value)

    def at(self, address: int, size: int) -> bytes:
        """Return ``size`` bytes at an address; fewer where the file ends."""
        offset = file_offset(self.parts, address)
        if offset is None or size < 0:
            raise ValueError(f"a table at address {address:#x} lies outside the file")
        self.elf.stream.seek(offset)
        data: bytes = self.elf.stream.read(size)
        return data

    def words(self, address: int, count: int) -> tuple[int, ...]:
        """Return ``count`` 32-bit numbers."""
        return struct.unpack(f"<{count}I", self.at(address, 4 * count))


def read_object(files: Opens, path: str) -> SharedObject:
    """Return everything the loader reads of a 64-bit little-endian library; only names of any other.

    Raises ElfError when the file is broken and ReadError when it cannot be opened.
    """
    elf = read_elf(files, path)
    if elf.bits != 64:
        return SharedObject(path, elf)
    with opened_elf(files, path, MAX_TABLE_BYTES) as opened:
        if not opened.little_endian:
            return SharedObject(path, elf)
        reader = _Reader(path, opened)
        if _DT_SYMTAB not in reader.tags or _DT_STRTAB not in reader.tags:
            return SharedObject(path, elf)
        names = reader.at(reader.tags[_DT_STRTAB], min(reader.tags.get(_DT_STRSZ, 0), MAX_TABLE_BYTES))
        needs, defined = _needs(reader, names), _nodes(reader, names)
        symbols = _symbols(reader, names, needs, defined)
        _check_names(symbols)
    nodes = frozenset(name for name, _ in defined.values())
    return SharedObject(path, elf, tuple(needs.values()), nodes, symbols)


def is_relocated(files: Opens, shared: SharedObject, symbols: Iterable[Import]) -> dict[int, bool]:
    """Return which of the symbols a relocation names, by index; True where it is only a function call.

    The loader resolves what relocations name and nothing else: a symbol that is merely listed cannot fail. A call
    may wait for its first use, unless the object is opened with RTLD_NOW, as Python does.
    """
    wanted = {symbol.position for symbol in symbols}
    slot = _JUMP_SLOTS.get(shared.elf.machine, -1)
    found: dict[int, bool] = {}
    with opened_elf(files, shared.path, 24 * MAX_RELOCATIONS) as opened:
        reader = _Reader(shared.path, opened)
        for at, size in (("DT_RELA", "DT_RELASZ"), ("DT_JMPREL", "DT_PLTRELSZ")):
            left, address = reader.tags.get(size, 0), reader.tags.get(at, 0)
            while left > 0:
                data = reader.at(address, min(left, _CHUNK))
                whole = len(data) // _RELOCATION_BYTES * _RELOCATION_BYTES
                for (info,) in struct.iter_unpack("<8xQ8x", data[:whole]):
                    if info >> 32 in wanted:
                        found[info >> 32] = found.get(info >> 32, True) and info & 0xFFFFFFFF == slot
                if len(data) < min(left, _CHUNK):
                    break
                address, left = address + len(data), left - len(data)
    return found


def python_of(path: str) -> str:
    """Return the Python that an extension module is built for, ``3.10`` or ``abi3``; empty when its name is silent."""
    match = _ABI_TAG.search(path)
    if match is None:
        return ""
    if match["stable"]:
        return "abi3"
    digits = match["python"] or ""
    return f"{digits[0]}.{digits[1:]}{match['flags']}" if digits else "PyPy"


def _symbols(reader: _Reader, names: bytes, needs: dict[int, Need], defined: dict[int, tuple[str, bool]]) -> Symbols:
    tags = reader.tags
    table_of_hashes, hashed = _hash_table(reader)
    count = max(hashed, _listed(reader))
    if count > MAX_SYMBOLS:
        raise ValueError(f"its symbol table has {count} entries, more than {MAX_SYMBOLS}")
    table = _all(reader.at(tags[_DT_SYMTAB], SYMBOL.size * count), SYMBOL.size * count)
    versions = reader.at(tags["DT_VERSYM"], 2 * count) if "DT_VERSYM" in tags else b""
    return Symbols(
        table=table,
        names=names,
        versions=versions,
        gnu_hash=table_of_hashes,
        hashed=hashed,
        has_hash=bool(table_of_hashes) or _DT_HASH in tags,
        nodes={index: name for index, (name, is_base) in defined.items() if not is_base},
        needs=needs,
    )


def _all(data: bytes, size: int) -> bytes:
    if len(data) < size:
        raise ValueError("a table of its symbols ends after the file")
    return data


def _check_names(symbols: Symbols) -> None:
    """Raise when a name lies outside the string table, so that later look-ups cannot fail, or there are too many."""
    if symbols.table and symbols.names[-1:] != b"\0":
        raise ValueError("its string table has no end")
    if max((fields[0] for fields in SYMBOL.iter_unpack(symbols.table)), default=0) >= max(len(symbols.names), 1):
        raise ValueError("the name of a symbol lies outside its string table")
    if len(symbols.imports) > MAX_IMPORTS:
        raise ValueError(f"it uses {len(symbols.imports)} symbols of others, more than {MAX_IMPORTS}")


def _listed(reader: _Reader) -> int:
    """Return how many symbols there are by the section table or the old hash table; by the gap, where both are gone.

    The hash table of GNU counts what is defined: a library that exports nothing tells nothing there.
    """
    tags = reader.tags
    for section in reader.elf.iter_sections("SHT_DYNSYM"):
        if section["sh_addr"] == tags[_DT_SYMTAB]:
            return int(section["sh_size"] // SYMBOL.size)
    if _DT_HASH in tags:
        return reader.words(tags[_DT_HASH], 2)[1]
    gap = tags[_DT_STRTAB] - tags[_DT_SYMTAB]
    return gap // SYMBOL.size if 0 < gap <= SYMBOL.size * MAX_SYMBOLS else 0


def _hash_table(reader: _Reader) -> tuple[bytes, int]:
    """Return DT_GNU_HASH with its chains and the number of symbols it knows; nothing where there is none."""
    address = reader.tags.get("DT_GNU_HASH")
    if address is None:
        return b"", 0
    buckets, first, bloom_words, _shift = reader.words(address, 4)
    if max(buckets, bloom_words, first) > MAX_SYMBOLS:
        raise ValueError("its hash table is larger than any library's")
    head = 16 + 8 * bloom_words + 4 * buckets
    start = _all(reader.at(address, head), head)
    last = max(struct.unpack_from(f"<{buckets}I", start, head - 4 * buckets), default=0)
    if last < first:
        return start, first
    if last > MAX_SYMBOLS:
        raise ValueError("its hash table is larger than any library's")
    # The chain of the last bucket ends at the entry whose lowest bit is set.
    while last < MAX_SYMBOLS:
        part = reader.at(address + head + 4 * (last - first), 4096)
        entries = struct.unpack(f"<{len(part) // 4}I", part[: len(part) // 4 * 4])
        end = next((number for number, entry in enumerate(entries) if entry & 1), None)
        if end is not None:
            count = last + end + 1
            return start + _all(reader.at(address + head, 4 * (count - first)), 4 * (count - first)), count
        if len(entries) < 1024:
            break
        last += len(entries)
    raise ValueError("a chain of its hash table has no end")


def _needs(reader: _Reader, names: bytes) -> dict[int, Need]:
    """Return the version nodes asked for, by index (DT_VERNEED)."""
    found: dict[int, Need] = {}

    def read(at: int) -> int:
        _version, count, file, first, following = struct.unpack("<HHIII", reader.at(at, 16))
        library = _name(names, file)
        at += first
        for _ in range(count):
            _hash, flags, index, name, step = struct.unpack("<IHHII", reader.at(at, 16))
            found[index & 0x7FFF] = Need(library, _name(names, name), bool(flags & _WEAK_NODE))
            if not step or len(found) > MAX_NODES:
                break
            at += step
        return int(following)

    _walk(reader, "DT_VERNEED", "DT_VERNEEDNUM", read)
    return found


def _nodes(reader: _Reader, names: bytes) -> dict[int, tuple[str, bool]]:
    """Return the version nodes defined, by index, each with whether it only names the object (DT_VERDEF)."""
    found: dict[int, tuple[str, bool]] = {}

    def read(at: int) -> int:
        _version, flags, index, _count, _hash, first, following = struct.unpack("<HHHHIII", reader.at(at, 20))
        name, _next = struct.unpack("<II", reader.at(at + first, 8))
        found[index & 0x7FFF] = (_name(names, name), bool(flags & _BASE_NODE))
        return int(following)

    _walk(reader, "DT_VERDEF", "DT_VERDEFNUM", read)
    return found


def _walk(reader: _Reader, start: str, count: str, read: Callable[[int], int]) -> None:
    at = reader.tags.get(start)
    if at is None:
        return
    for _ in range(min(reader.tags.get(count, 0), MAX_NODES)):
        step = read(at)
        if not step:
            return
        at += step


def _name(names: bytes, offset: int) -> str:
    end = names.find(b"\0", offset)
    if end < 0:
        raise ValueError("a name of its version tables has no end")
    return shown(names[offset:end].decode("utf-8", "surrogateescape"))
