"""Just enough of Protocol Buffers' wire format to write a message down; nothing is read.

Source: Protocol Buffers documentation, Encoding.
"""

from __future__ import annotations

from collections.abc import Iterable

_VARINT, _BYTES = 0, 2
_WORD = 1 << 64


def number(field: int, value: int) -> bytes:
    """Return an integer field."""
    return _varint(field << 3 | _VARINT) + _varint(value % _WORD)


def text(field: int, value: str | bytes) -> bytes:
    """Return a field of text, bytes, or a message that is encoded already."""
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | _BYTES) + _varint(len(data)) + data


def numbers(field: int, values: Iterable[int]) -> bytes:
    """Return a repeated integer field, one entry each."""
    return b"".join(number(field, value) for value in values)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
