"""Gzip streams, one member or many: points to begin at are copies of the decompressor's state.

A point costs about 40 kB, so that a layer of 10 GB unpacked keeps 13 MB of them, and a read anywhere unpacks at most
one span first. Nothing is written to disk.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_trtcheck.errors import ImageError
from pytest_trtcheck.image.unpacked import Cursor, Unpacked

if TYPE_CHECKING:
    from pytest_trtcheck.image.source import Source

MAGIC = b"\x1f\x8b"
SPAN_BYTES = 32 << 20
_INPUT_BYTES = 256 << 10
_OUTPUT_BYTES = 1 << 20
_GZIP_WBITS = 31


@dataclass
class _GzipCursor(Cursor):
    state: zlib._Decompress | None = None
    """None between two members."""


class GzipSource(Unpacked[_GzipCursor]):
    """What a gzip stream holds."""

    def __init__(self, packed: Source, span_bytes: int = SPAN_BYTES) -> None:
        """Read nothing yet; ``span_bytes`` is the distance between two points."""
        super().__init__(packed, _GzipCursor(0, b"", 0))
        self._span = span_bytes

    def begin(self, point: _GzipCursor) -> _GzipCursor:
        """Return a cursor with a state of its own."""
        return _GzipCursor(point.end, b"", point.packed, point.state.copy() if point.state else None)

    def unpack(self, cursor: _GzipCursor) -> bytes:
        """Unpack at most a megabyte."""
        if cursor.end >= self.points[-1].start + self._span:
            self.points.append(self.begin(cursor))
        out = b""
        while not out and (cursor.state is not None or self._begin_member(cursor)):
            out = self._some(cursor)
        return out

    def _begin_member(self, cursor: _GzipCursor) -> bool:
        start = self.packed.read_at(cursor.packed, 2)
        if start == MAGIC:
            cursor.state = zlib.decompressobj(_GZIP_WBITS)
            return True
        if cursor.packed and not start.strip(b"\0"):
            return False  # The end, or padding after it.
        raise ImageError(self.name, f"expected gzip data at byte {cursor.packed}, found something else")

    def _some(self, cursor: _GzipCursor) -> bytes:
        assert cursor.state is not None
        given = self.packed.read_at(cursor.packed, _INPUT_BYTES)
        try:
            out = cursor.state.decompress(given, _OUTPUT_BYTES)
        except zlib.error as error:
            raise ImageError(self.name, f"damaged gzip data near byte {cursor.packed} ({error})") from None
        if cursor.state.eof:
            cursor.packed += len(given) - len(cursor.state.unused_data)
            cursor.state = None
            return out
        cursor.packed += len(given) - len(cursor.state.unconsumed_tail)
        if not given and not out:
            raise ImageError(self.name, f"cut short: its gzip data has no end (byte {cursor.packed})")
        return out
