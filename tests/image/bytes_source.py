"""A source in memory."""

from __future__ import annotations


class Bytes:
    """Gives what it was made of, and counts what was asked of it."""

    def __init__(self, data: bytes, name: str = "data") -> None:
        self.name = name
        self.data = data
        self.read_bytes = 0

    def read_at(self, offset: int, size: int) -> bytes:
        piece = self.data[offset : offset + size]
        self.read_bytes += len(piece)
        return piece

    def length(self) -> int:
        return len(self.data)
