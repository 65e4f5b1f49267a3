"""Random access to a compressed stream: unpacked once from end to end, again from the nearest place to begin at."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from pytest_trtcheck.image.limits import check_growth

if TYPE_CHECKING:
    from pytest_trtcheck.image.source import Source

HISTORY_BYTES = 128 << 10
"""Kept behind a cursor: a reader of tar headers looks ahead and then turns back for a content."""
_MAX_CURSORS = 4


@dataclass
class Cursor:
    """A place in the stream: behind ``data``, the last that was unpacked."""

    start: int
    """Unpacked offset of ``data``."""
    data: bytes
    packed: int
    """Packed offset of what comes next."""

    @property
    def end(self) -> int:
        """Unpacked offset of what comes next."""
        return self.start + len(self.data)


C = TypeVar("C", bound=Cursor)


class Unpacked(Generic[C]):
    """What a compressed source holds. A format says how to go on from a cursor, and where one may begin."""

    def __init__(self, packed: Source, first: C) -> None:
        """Read nothing yet."""
        self.name = packed.name
        self.packed = packed
        self.points = [first]
        """Where reading may begin, by rising place."""
        self._cursors: list[C] = []
        self._length: int | None = None
        self._hash: hashlib._Hash | None = None
        self._hashed = 0

    def begin(self, point: C) -> C:
        """Return a cursor that begins at a point and leaves the point as it is."""
        raise NotImplementedError

    def unpack(self, cursor: C) -> bytes:
        """Unpack the next piece and move the cursor's packed place; empty at the end of the stream."""
        raise NotImplementedError

    def read_at(self, offset: int, size: int) -> bytes:
        """Return unpacked bytes."""
        if self._length is not None:
            size = min(size, self._length - offset)
        if size <= 0:
            return b""
        cursor = self._nearest(offset)
        pieces: list[bytes] = []
        while size:
            if offset < cursor.end:
                piece = cursor.data[offset - cursor.start : offset - cursor.start + size]
                pieces.append(piece)
                offset += len(piece)
                size -= len(piece)
            elif not self._advance(cursor):
                break
        return b"".join(pieces)

    def length(self) -> int:
        """Return the unpacked size; the first call unpacks to the end."""
        if self._length is None:
            cursor = self._nearest(max(self.points[-1].start, *(c.end for c in self._cursors), 0))
            while self._advance(cursor):
                pass
        assert self._length is not None
        return self._length

    def hash_it(self) -> None:
        """Hash the content as it is unpacked for the first time; to be called before anything is read."""
        self._hash = hashlib.sha256()

    def digest(self) -> str:
        """Return the digest of all the content, ``sha256:…``; what was not unpacked yet is."""
        self.length()
        assert self._hash is not None
        return f"sha256:{self._hash.hexdigest()}"

    def _nearest(self, offset: int) -> C:
        """Return the cursor that reaches an offset soonest, a new one where a point is nearer."""
        here = max((c for c in self._cursors if c.start <= offset), key=lambda c: c.end, default=None)
        point = max((p for p in self.points if p.start <= offset), key=lambda p: p.start)
        if here is None or (here.end < point.start and offset >= here.end):
            here = self.begin(point)
            self._cursors = [here, *self._cursors[: _MAX_CURSORS - 1]]
        else:
            self._cursors.remove(here)
            self._cursors.insert(0, here)
        return here

    def _advance(self, cursor: C) -> bool:
        piece = self.unpack(cursor)
        if not piece:
            self._length = cursor.end
            return False
        if self._hash is not None and cursor.end == self._hashed:
            self._hash.update(piece)
            self._hashed += len(piece)
        kept = cursor.data[-HISTORY_BYTES:]
        cursor.start, cursor.data = cursor.end - len(kept), kept + piece
        check_growth(self.name, packed=cursor.packed, unpacked=cursor.end)
        return True
