"""Installed RPM packages, read from rpm's database without rpm: nothing is run, so this works on any root.

Since rpm 4.16 the database is SQLite; it is read by the standard library from a copy in memory. Older databases are
Berkeley DB or rpm's own NDB, for which nothing here has a reader. Source: rpm, lib/backend/sqlite.c (table Packages),
docs/manual/format_header.md (headers), docs/manual/tags.md.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_trtcheck.probe.dpkg import Package
from pytest_trtcheck.probe.root import ReadError, Root, shown

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

FOLDERS = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
DATABASE_LIMIT_BYTES = 256 << 20
"""That of a UBI image with CUDA is 20 MB large."""
MAX_PACKAGES = 50_000
_MAX_STEPS = 50_000
"""Thousands of instructions of SQLite: a table of 50,000 packages takes a hundredth of it."""

_OLD = {"Packages": "Berkeley DB", "Packages.db": "NDB"}
_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH = 1000, 1001, 1002, 1003, 1022
_DIR_INDEXES, _BASE_NAMES, _DIR_NAMES = 1116, 1117, 1118
_INT32, _STRING, _STRINGS = 4, 6, 8
_NOT_SOFTWARE = "gpg-pubkey"
_INSTEAD = "versions come from wheels, links and file names instead"


class RpmError(ReadError):
    """A package database that is there and was not, or could not be, read."""


@dataclass(frozen=True)
class Installed:
    """What rpm has installed."""

    path: str
    """Of the database."""
    packages: tuple[Package, ...] = ()
    libraries: Mapping[str, Package] = field(default_factory=dict)
    """Owner of each shared object, by the path that the package gives it."""


def read_rpm(root: Root) -> Installed | None:
    """Return the packages; None where rpm has no database, RpmError for one that cannot be read."""
    for folder in FOLDERS:
        if root.is_file(f"{folder}/rpmdb.sqlite"):
            return _read(root, f"{folder}/rpmdb.sqlite")
        for name, kind in _OLD.items():
            if root.is_file(f"{folder}/{name}"):
                reason = f"a database of an older rpm ({kind}), for which nothing here has a reader"
                raise RpmError(f"{folder}/{name}", f"{reason}; {_INSTEAD}")
    return None


def _read(root: Root, path: str) -> Installed:
    import sqlite3

    if not hasattr(sqlite3.Connection, "deserialize"):
        raise RpmError(path, "to read it without writing a copy to disk, this tool needs Python 3.11 or newer")
    data = root.read_bytes(path, DATABASE_LIMIT_BYTES)
    if not data.startswith(b"SQLite format 3\0") or len(data) < 100:
        raise RpmError(path, "expected a SQLite database, found something else")
    if root.exists(f"{path}-wal") and root.size(f"{path}-wal"):
        raise RpmError(path, f"changes to it are still in {path.rpartition('/')[2]}-wal; run rpm once in the image")
    packages: list[Package] = []
    libraries: dict[str, Package] = {}
    try:
        for blob in _blobs(data):
            package = _package(blob, libraries)
            if package.name != _NOT_SOFTWARE:
                packages.append(package)
    except (sqlite3.Error, struct.error, ValueError, MemoryError) as error:
        raise RpmError(path, f"damaged rpm database ({shown(str(error))[:200]})") from None
    return Installed(path, tuple(sorted(packages, key=lambda package: package.name)), libraries)


def _blobs(data: bytes) -> Iterator[bytes]:
    """Yield the headers in the table; sqlite3.Error for a database that is damaged or keeps SQLite busy."""
    import sqlite3

    connection = sqlite3.connect(":memory:")
    try:
        # Files in memory have no write-ahead log: its mark, two bytes, is set to that of a plain journal.
        connection.deserialize(data[:18] + b"\1\1" + data[20:])
        yield from _rows(connection)
    finally:
        connection.close()


def _rows(connection: sqlite3.Connection) -> Iterator[bytes]:
    steps = iter(range(_MAX_STEPS))
    # The database is a stranger's: nothing in its schema may run, and no query may take for ever.
    connection.set_progress_handler(lambda: next(steps, None) is None, 1000)
    connection.execute("PRAGMA trusted_schema = OFF")
    kind = connection.execute("SELECT type, sql FROM sqlite_master WHERE name = 'Packages'").fetchone()
    if kind is None or kind[0] != "table" or "virtual" in str(kind[1]).lower():
        raise ValueError("expected a table Packages, found none")
    # Rows may share their pages: what they come to in all is not bounded by the size of the file.
    for count, size in connection.execute("SELECT count(*), total(length(blob)) FROM Packages"):
        if count > MAX_PACKAGES or size > DATABASE_LIMIT_BYTES:
            raise ValueError(f"{count} headers of {size:.0f} bytes in all")
    for (blob,) in connection.execute("SELECT blob FROM Packages ORDER BY hnum"):
        if not isinstance(blob, bytes):
            raise ValueError("a header that is no bytes")  # noqa: TRY004 - a fault of the file
        yield blob


def _package(blob: bytes, libraries: dict[str, Package]) -> Package:
    """Return the package of a header and note the shared objects that it brought."""
    header = _Header(blob)
    name, version, release = (header.text(tag) for tag in (_NAME, _VERSION, _RELEASE))
    if not name or not version:
        raise ValueError("a header without name or version")
    epoch = header.numbers(_EPOCH)
    full = f"{epoch[0]}:{version}-{release}" if epoch and epoch[0] else f"{version}-{release}"
    package = Package(shown(name[:200]), shown(full[:200]), shown(header.text(_ARCH)[:50]), "installed")
    folders, places = header.texts(_DIR_NAMES), header.numbers(_DIR_INDEXES)
    for base, place in zip(header.texts(_BASE_NAMES), places, strict=False):
        if (base.endswith(".so") or ".so." in base) and place < len(folders):
            libraries[folders[place] + base] = package
    return package


class _Header:
    """The index of one header: big-endian, entries of 16 bytes, then their values."""

    def __init__(self, blob: bytes) -> None:
        count, length = struct.unpack_from(">II", blob)
        if 8 + 16 * count + length > len(blob):
            raise ValueError("a header that is cut short")
        self._data = blob[8 + 16 * count : 8 + 16 * count + length]
        entries = (struct.unpack_from(">IIII", blob, 8 + 16 * number) for number in range(count))
        self._entries = {tag: (kind, offset, values) for tag, kind, offset, values in entries}

    def text(self, tag: int) -> str:
        """Return a text; empty when there is none."""
        return next(iter(self._strings(tag, _STRING)), "")

    def texts(self, tag: int) -> list[str]:
        """Return a list of texts."""
        return self._strings(tag, _STRINGS)

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return a list of numbers."""
        kind, offset, count = self._entries.get(tag, (0, 0, 0))
        if kind != _INT32 or count * 4 > len(self._data):
            return ()
        return struct.unpack_from(f">{count}I", self._data, offset)

    def _strings(self, tag: int, wanted: int) -> list[str]:
        kind, offset, count = self._entries.get(tag, (0, 0, 0))
        if kind != wanted:
            return []
        parts = self._data[offset:].split(b"\0", count)[:count] if count <= len(self._data) else []
        return [part.decode("utf-8", "surrogateescape") for part in parts]
