"""Bytes of archives: files, parts of them, and the reader that makes a file object of a part."""

from __future__ import annotations

import errno
import io
import os
import stat
from typing import TYPE_CHECKING, Protocol

from pytest_trtcheck.errors import ImageError
from pytest_trtcheck.probe.root import shown

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Source(Protocol):
    """Bytes that can be read from any place."""

    name: str
    """What messages call it."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Return the bytes from ``offset`` on, fewer than ``size`` only at the end; ImageError when damaged."""

    def length(self) -> int:
        """Return how many bytes there are; for a compressed source this reads all of it once."""


class FileSource:
    """A regular file of this machine."""

    def __init__(self, descriptor: int, name: str) -> None:
        """Take over an open descriptor."""
        self.name = name
        self._descriptor = descriptor
        self._length = os.fstat(descriptor).st_size

    @classmethod
    def of(cls, path: str) -> FileSource:
        """Open a file; ImageError for anything that is no regular file or cannot be read."""
        name = shown(path)
        try:
            # Not blocking: what lies there under this name may be a FIFO.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise ImageError(name, getattr(error, "strerror", None) or str(error)) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ImageError(name, "expected an archive or a folder, found neither")
        return cls(descriptor, name)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return bytes of the file."""
        try:
            return os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise ImageError(self.name, error.strerror or str(error)) from None

    def length(self) -> int:
        """Return the size of the file when it was opened."""
        return self._length

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Part:
    """A stretch of another source."""

    def __init__(self, base: Source, offset: int, size: int, name: str) -> None:
        self.name = name
        self._base, self._offset, self._size = base, offset, size

    def read_at(self, offset: int, size: int) -> bytes:
        """Return bytes of the stretch; a source that ends inside it is damaged."""
        size = min(size, self._size - offset)
        if size <= 0:
            return b""
        data = self._base.read_at(self._offset + offset, size)
        if len(data) < size:
            raise ImageError(self.name, f"cut short: {self._base.name} ends before it")
        return data

    def length(self) -> int:
        """Return the size of the stretch."""
        return self._size


class _RawReader(io.RawIOBase):
    def __init__(self, source: Source, size: int) -> None:
        super().__init__()
        self._source, self._size, self._at = source, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "negative seek position")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        try:
            data = self._source.read_at(self._at, min(len(view), max(0, self._size - self._at)))
        except ImageError as error:
            # Whoever reads a file knows how to word an OSError.
            raise OSError(errno.EIO, str(error)) from None
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def reader(source: Source, size: int, buffer_bytes: int = 64 << 10) -> io.BufferedReader:
    """Return a file object over the first ``size`` bytes of a source."""
    return io.BufferedReader(_RawReader(source, size), buffer_bytes)
