"""Where the layers of a made-up image are written: plain with holes for filler, or packed with gzip or zstd."""

from __future__ import annotations

import hashlib
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

CODE_BYTES = 4 << 20


class Sink(Protocol):
    """Where a layer is written; its unpacked content is hashed on the way."""

    digest: hashlib._Hash

    def write(self, data: bytes) -> None:
        """Write these bytes."""

    def fill(self, size: int) -> None:
        """Write so many bytes of filler."""

    def close(self) -> None:
        """Write what is still due."""


class PlainSink(Sink):
    """Filler is left out: the file has a hole there."""

    def __init__(self, file: BinaryIO) -> None:
        self.digest = hashlib.sha256()
        self._file = file

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self._file.write(data)

    def fill(self, size: int) -> None:
        self._file.seek(size, 1)
        for length in _pieces(size):
            self.digest.update(bytes(length))

    def close(self) -> None:
        """Nothing is left to write."""


class GzipSink(Sink):
    """One member. Code is packed once and put in again and again, between two full flushes of the packer."""

    def __init__(self, file: BinaryIO) -> None:
        self.digest = hashlib.sha256()
        self._file, self._crc, self._size = file, 0, 0
        self._packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        self._code = code()
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        self._packed = packer.compress(self._code) + packer.flush(zlib.Z_FULL_FLUSH)
        file.write(b"\x1f\x8b\x08\0\0\0\0\0\0\xff")

    def write(self, data: bytes) -> None:
        self._count(data)
        self._file.write(self._packer.compress(data))

    def fill(self, size: int) -> None:
        self._file.write(self._packer.flush(zlib.Z_FULL_FLUSH))
        for length in _pieces(size):
            if length == CODE_BYTES:
                self._count(self._code)
                self._file.write(self._packed)
            else:
                self.write(self._code[:length])

    def close(self) -> None:
        self._file.write(self._packer.flush() + self._crc.to_bytes(4, "little"))
        self._file.write((self._size & 0xFFFFFFFF).to_bytes(4, "little"))

    def _count(self, data: bytes) -> None:
        self.digest.update(data)
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)


class ZstdSink(Sink):
    """One frame, as docker and buildah write it."""

    def __init__(self, file: BinaryIO) -> None:
        import zstandard

        self.digest = hashlib.sha256()
        self._code = code()
        self._packer = zstandard.ZstdCompressor(level=3, threads=2).stream_writer(file, closefd=False)

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self._packer.write(data)

    def fill(self, size: int) -> None:
        for length in _pieces(size):
            self.write(self._code[:length])

    def close(self) -> None:
        self._packer.close()  # type: ignore[no-untyped-call]


def _pieces(size: int) -> Iterator[int]:
    while size:
        yield min(size, CODE_BYTES)
        size -= min(size, CODE_BYTES)


def code() -> bytes:
    """Return machine code of this Python's extension modules, 4 MiB of it."""
    data = b"".join(path.read_bytes() for path in sorted(Path(sys.prefix).rglob("*.so"))[:200])
    return (data or bytes(range(256)) * (CODE_BYTES >> 8))[:CODE_BYTES].ljust(CODE_BYTES, b"\xcc")


SINKS: dict[str, Callable[[BinaryIO], Sink]] = {"gzip": GzipSink, "zstd": ZstdSink}
"""What packs, by name."""
