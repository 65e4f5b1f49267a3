"""Zstd streams, through whatever this Python has: ``compression.zstd``, ``zstandard`` or ``pyzstd``.

No such library hands out its state, so reading can begin at a frame only: whoever reads in order of place is spared
a second pass. Blocks are told apart here, because one gives 128 KiB at most: fed one at a time, no library can be made
to unpack more than that at once. Source: RFC 8878, sections 3.1.1 (frames, blocks) and 3.1.2 (skippable frames).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_trtcheck.errors import ImageError
from pytest_trtcheck.image.unpacked import Cursor, Unpacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_trtcheck.image.source import Source

    Unpack = Callable[[bytes], bytes]

MAGIC = b"\x28\xb5\x2f\xfd"
MAX_WINDOW_BYTES = 128 << 20
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_RLE, _RESERVED = 1, 3
_MAX_BLOCK_BYTES = 128 << 10
_PIECE_BYTES = 512 << 10
_WINDOW_BYTES = 256 << 10


def unpacker() -> Callable[[], Unpack]:
    """Return what makes a function that unpacks one frame piece by piece; ImageError where no library is here."""
    for name in ("compression.zstd", "zstandard", "pyzstd"):
        try:
            make = importlib.import_module(name).ZstdDecompressor
        except (ImportError, AttributeError):
            continue
        if name == "zstandard":
            return lambda make=make: make(max_window_size=MAX_WINDOW_BYTES).decompressobj().decompress  # type: ignore[misc]
        return lambda make=make: make().decompress  # type: ignore[misc]
    raise ImageError(
        "zstd",
        "nothing here unpacks it: pip install 'pytest-trtcheck[zstd]', use Python 3.14, or save the image with gzip",
    )


@dataclass
class _ZstdCursor(Cursor):
    run: Unpack | None = None
    """None between two frames."""
    has_checksum: bool = False


class ZstdSource(Unpacked[_ZstdCursor]):
    """What a zstd stream holds."""

    def __init__(self, packed: Source) -> None:
        """Read nothing yet; ImageError where this Python cannot unpack zstd."""
        super().__init__(packed, _ZstdCursor(0, b"", 0))
        self._make = unpacker()
        self._window: tuple[int, bytes] = (0, b"")

    def begin(self, point: _ZstdCursor) -> _ZstdCursor:
        """Return a cursor at the beginning of a frame."""
        return _ZstdCursor(point.end, b"", point.packed)

    def unpack(self, cursor: _ZstdCursor) -> bytes:
        """Unpack half a megabyte, or what is left of the frame."""
        pieces: list[bytes] = []
        length = 0
        while length < _PIECE_BYTES:
            if cursor.run is None and (pieces or not self._begin_frame(cursor)):
                break
            pieces.append(self._block(cursor))
            length += len(pieces[-1])
            if not length and cursor.run is None:
                pieces.clear()  # An empty frame: go on to the next one.
        return b"".join(pieces)

    def _begin_frame(self, cursor: _ZstdCursor) -> bool:
        head = self._get(cursor.packed, 18)
        while int.from_bytes(head[:4], "little") in _SKIPPABLE and len(head) >= 8:
            cursor.packed += 8 + int.from_bytes(head[4:8], "little")
            head = self._get(cursor.packed, 18)
        if not head and cursor.packed:
            return False
        if head[:4] != MAGIC or len(head) < 6:
            raise ImageError(self.name, f"expected a zstd frame at byte {cursor.packed}, found something else")
        if cursor.end > self.points[-1].start:
            self.points.append(self.begin(cursor))
        length = self._header_length(head, cursor.packed)
        cursor.run, cursor.has_checksum = self._make(), bool(head[4] & 4)
        self._feed(cursor, head[:length])
        cursor.packed += length
        return True

    def _header_length(self, head: bytes, at: int) -> int:
        """Return the length of a frame's header; ImageError for a window that asks for too much memory."""
        descriptor = head[4]
        is_single = bool(descriptor & 0x20)
        size_bytes = (1 if is_single else 0, 2, 4, 8)[descriptor >> 6]
        length = 5 + (not is_single) + (0, 1, 2, 4)[descriptor & 3] + size_bytes
        if is_single:
            window = int.from_bytes(head[length - size_bytes : length], "little")
        else:
            base = 1 << (10 + (head[5] >> 3))
            window = base + base // 8 * (head[5] & 7)
        if window > MAX_WINDOW_BYTES:
            raise ImageError(
                self.name, f"its zstd frame at byte {at} wants {window} bytes of memory; {MAX_WINDOW_BYTES} are given"
            )
        return length

    def _block(self, cursor: _ZstdCursor) -> bytes:
        header = self._get(cursor.packed, 3)
        if len(header) < 3:
            raise ImageError(self.name, f"cut short: its zstd data has no end (byte {cursor.packed})")
        number = int.from_bytes(header, "little")
        is_last, kind, size = number & 1, number >> 1 & 3, number >> 3
        if kind == _RESERVED or size > _MAX_BLOCK_BYTES:
            raise ImageError(self.name, f"damaged zstd block at byte {cursor.packed}")
        length = 3 + (1 if kind == _RLE else size) + (4 if is_last and cursor.has_checksum else 0)
        block = self._get(cursor.packed, length)
        if len(block) < length:
            raise ImageError(self.name, f"cut short inside the zstd block at byte {cursor.packed}")
        out = self._feed(cursor, block)
        cursor.packed += length
        if is_last:
            cursor.run = None
        return out

    def _feed(self, cursor: _ZstdCursor, data: bytes) -> bytes:
        assert cursor.run is not None
        try:
            return cursor.run(data)
        except Exception as error:
            # Three libraries, each with an error class of its own.
            raise ImageError(self.name, f"damaged zstd data near byte {cursor.packed} ({error})") from error

    def _get(self, offset: int, size: int) -> bytes:
        start, data = self._window
        begin = offset - start
        if begin < 0 or begin + size > len(data):
            data = self.packed.read_at(offset, max(size, _WINDOW_BYTES))
            self._window, begin = (offset, data), 0
        return data[begin : begin + size]
