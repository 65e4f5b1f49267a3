"""The dynamic symbols of one shared object, looked up as the loader does: by hash, with their version nodes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

SYMBOL = struct.Struct("<IBBHQQ")
_HIDDEN_VERSION = 0x8000
_FIRST_NAMED_VERSION = 2
# Kinds that the loader takes for a definition: NOTYPE, OBJECT, FUNC, COMMON, TLS, GNU_IFUNC.
_DEFINING_KINDS = (1 << 0) | (1 << 1) | (1 << 2) | (1 << 5) | (1 << 6) | (1 << 10)
_LOCAL, _WEAK = 0, 2
_TLS, _ABSOLUTE = 6, 0xFFF1
# The longest chain in libtorch_cpu 2.13 is 12 names long.
_MAX_CHAIN = 256


class Need(NamedTuple):
    """A version node that the object asks of a library."""

    library: str
    """As in the NEEDED entry: ``libc.so.6``."""
    node: str
    """``GLIBC_2.38``."""
    is_weak: bool = False


class Import(NamedTuple):
    """A symbol that the object uses and does not define."""

    name: bytes
    position: int
    """Position in the symbol table, which relocations name."""
    is_weak: bool
    """The loader puts up with its absence."""
    need: Need | None = None
    """The version node asked for, and of which library."""


@dataclass(frozen=True)
class Symbols:
    """The symbol table with its names, versions and hash table, as bytes of the file."""

    table: bytes = b""
    names: bytes = b""
    versions: bytes = b""
    """DT_VERSYM: two bytes for each symbol."""
    gnu_hash: bytes = b""
    hashed: int = 0
    """Number of symbols up to the last one that ``gnu_hash`` knows."""
    has_hash: bool = False
    """Without a hash table the loader finds nothing in the object."""
    nodes: dict[int, str] = field(default_factory=dict)
    """Version nodes defined here, by their index."""
    needs: dict[int, Need] = field(default_factory=dict)
    """Version nodes asked for, by their index."""

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """What is used and not defined."""
        found: list[Import] = []
        for index, (name_at, info, _other, section, _value, _size) in enumerate(SYMBOL.iter_unpack(self.table)):
            if section == 0 and name_at and info >> 4 != _LOCAL:
                need = self.needs.get(self._version(index) & ~_HIDDEN_VERSION)
                found.append(Import(self.name_at(name_at), index, info >> 4 == _WEAK, need))
        return tuple(found)

    def name_at(self, offset: int) -> bytes:
        """Return the name at an offset of the string table; ValueError when it has no end."""
        return self.names[offset : self.names.index(b"\0", offset)]

    def defines(self, name: bytes, node: str | None) -> bool:
        """Say whether the loader would take the definition here for a reference to ``name`` under ``node``.

        Source: glibc, elf/dl-lookup.c, check_match: an object without versions serves any reference; a reference
        without a version takes the default one, or the base and first versions even when hidden.
        """
        for index in self._defined(name):
            version = self._version(index)
            number, is_hidden = version & ~_HIDDEN_VERSION, bool(version & _HIDDEN_VERSION)
            if not self.versions or not self.nodes:
                return True
            if node is None:
                if not is_hidden or number <= _FIRST_NAMED_VERSION:
                    return True
            elif self.nodes.get(number) == node or (number < _FIRST_NAMED_VERSION and not is_hidden):
                return True
        return False

    def nodes_of(self, name: bytes) -> tuple[str, ...]:
        """Return the version nodes under which ``name`` is defined here; an empty one for a definition without."""
        numbers = (self._version(index) & ~_HIDDEN_VERSION for index in self._defined(name))
        return tuple(dict.fromkeys(self.nodes.get(number, "") for number in numbers))

    def exported(self) -> list[bytes]:
        """Return the names of all definitions."""
        return [
            self.name_at(fields[0])
            for fields in SYMBOL.iter_unpack(self.table)
            if fields[0] and _is_definition(*fields[1:5])
        ]

    def _version(self, index: int) -> int:
        pair = self.versions[2 * index : 2 * index + 2]
        return int.from_bytes(pair, "little") if len(pair) == 2 else 1

    def _defined(self, name: bytes) -> list[int]:
        if not self.has_hash:
            return []
        return self._in_gnu_hash(name) if self.gnu_hash else self._by_name.get(name, [])

    @cached_property
    def _by_name(self) -> dict[bytes, list[int]]:
        """For objects with the old hash table only: they are few and small."""
        found: dict[bytes, list[int]] = {}
        for index, fields in enumerate(SYMBOL.iter_unpack(self.table)):
            if fields[0] and _is_definition(*fields[1:5]):
                found.setdefault(self.name_at(fields[0]), []).append(index)
        return found

    def _in_gnu_hash(self, name: bytes) -> list[int]:
        """Return the definitions of a name; the layout is that of glibc's elf/dl-lookup.c, do_lookup_x."""
        buckets, first, bloom_words, shift = struct.unpack_from("<IIII", self.gnu_hash)
        if not buckets or not bloom_words:
            return []
        hashed = gnu_hash(name)
        word = struct.unpack_from("<Q", self.gnu_hash, 16 + 8 * (hashed // 64 % bloom_words))[0]
        if not word >> (hashed % 64) & word >> ((hashed >> (shift & 31)) % 64) & 1:
            return []
        buckets_at = 16 + 8 * bloom_words
        index = struct.unpack_from("<I", self.gnu_hash, buckets_at + 4 * (hashed % buckets))[0]
        chain_at = buckets_at + 4 * buckets
        found: list[int] = []
        for position in range(index, min(self.hashed, index + _MAX_CHAIN)) if index >= first else ():
            entry = struct.unpack_from("<I", self.gnu_hash, chain_at + 4 * (position - first))[0]
            if (entry ^ hashed) >> 1 == 0 and self._is(position, name):
                found.append(position)
            if entry & 1:
                break
        return found

    def _is(self, index: int, name: bytes) -> bool:
        name_at, info, other, section, value, _size = SYMBOL.unpack_from(self.table, SYMBOL.size * index)
        starts = self.names.startswith(name + b"\0", name_at)
        return starts and _is_definition(info, other, section, value)


@lru_cache(maxsize=1 << 16)
def gnu_hash(name: bytes) -> int:
    """Return the hash of a name that DT_GNU_HASH is built on."""
    value = 5381
    for char in name:
        value = value * 33 + char & 0xFFFFFFFF
    return value


def _is_definition(info: int, other: int, section: int, value: int) -> bool:
    """Say whether the loader takes the symbol for a definition that others may use."""
    kind = info & 15
    if section == 0 or info >> 4 == _LOCAL or not _DEFINING_KINDS >> kind & 1:
        return False
    # Hidden and internal symbols are for the object alone.
    return (other & 3) not in {1, 2} and bool(value or section == _ABSOLUTE or kind == _TLS)
