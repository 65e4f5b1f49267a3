"""Headers of a tar archive, one after the other, the contents passed over. Formats: v7, ustar, GNU, pax."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_trtcheck.errors import ImageError
from pytest_trtcheck.image.limits import MAX_HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.image.source import Source

FILE, FOLDER, LINK, HARD_LINK, SPARSE, OTHER = "file", "folder", "link", "hard link", "sparse file", "other"

_BLOCK = 512
_WINDOW_BYTES = 64 << 10
_ZEROS = bytes(_BLOCK)
_BLANK_CHECKSUM = 8 * 32
_MAX_SIZE_BYTES = 1 << 50
_KINDS = {b"0": FILE, b"\0": FILE, b"7": FILE, b"1": HARD_LINK, b"2": LINK, b"5": FOLDER, b"S": SPARSE}
_WITHOUT_CONTENT = frozenset(b"123456")
_MAX_SPARSE_BLOCKS = 1_000
_PAX_KEYS = frozenset(
    {b"path", b"linkpath", b"size", b"GNU.sparse.name", b"GNU.sparse.major", b"GNU.sparse.size", b"GNU.sparse.map"}
)


class Member(NamedTuple):
    """One entry of an archive."""

    name: str
    """As stored; bytes that are not UTF-8 are escaped as in any path of Python's."""
    kind: str
    offset: int
    """Where its content begins."""
    size: int
    target: str
    """Of a link or hard link; else empty."""


class _Window:
    """Headers lie close together where files are small: reads them in larger pieces."""

    def __init__(self, source: Source) -> None:
        self._source, self._start, self._data = source, 0, b""

    def read(self, offset: int, size: int) -> bytes:
        begin = offset - self._start
        if begin < 0 or begin + size > len(self._data):
            self._start, self._data = offset, self._source.read_at(offset, max(size, _WINDOW_BYTES))
            begin = 0
        return self._data[begin : begin + size]


def is_tar(start: bytes) -> bool:
    """Say whether these first 512 bytes are a tar header, or the end mark of an empty archive."""
    return len(start) == _BLOCK and (start == _ZEROS or _checksum_fits(start))


def members(source: Source, notes: list[str] | None = None) -> Iterator[Member]:
    """Yield the entries; ImageError, naming the byte, where the archive is damaged or cut short.

    An archive that has all its contents and no end mark is told in ``notes``: readers of images take such ones.
    """
    window, at = _Window(source), 0
    given: dict[str, str] = {}
    while True:
        block = window.read(at, _BLOCK)
        if len(block) < _BLOCK:
            _check_end(source, at, notes)
            return
        if block == _ZEROS:
            return
        if not _checksum_fits(block):
            raise ImageError(source.name, f"damaged tar header at byte {at}: its checksum is wrong")
        flag = block[156:157]
        size = 0 if flag[0] in _WITHOUT_CONTENT else _size(source, given, block, at)
        content = at + _BLOCK
        if flag == b"S" and block[482]:
            content = _after_sparse_map(source, window, content)
        at = content + (size + _BLOCK - 1) // _BLOCK * _BLOCK
        if flag in b"xLKg":
            _extend(given, flag, source, content, size)
            continue
        yield _member(block, flag, given, content, size)
        given = {}


def _check_end(source: Source, at: int, notes: list[str] | None) -> None:
    length = source.length()
    if not length:
        raise ImageError(source.name, "expected a tar archive, found nothing")
    # The padding of the last entry may be missing, its content may not.
    if length <= at - _BLOCK or length > at:
        raise ImageError(source.name, f"cut short: it ends at byte {length}, inside an entry that should end at {at}")
    if notes is not None:
        notes.append(f"{source.name}: the archive has no end mark; it may be cut short")


def _checksum_fits(block: bytes) -> bool:
    try:
        stated = _number(block[148:156])
    except ValueError:
        return False
    return stated == sum(block) - sum(block[148:156]) + _BLANK_CHECKSUM


def _number(field: bytes) -> int:
    """Return an octal number, or one in base 256, as GNU writes those that octal digits cannot hold."""
    if field[0] & 0x80:
        # A negative one comes out as larger than anything.
        return int.from_bytes(field, "big") & ((1 << (len(field) * 8 - 1)) - 1)
    text = field.partition(b"\0")[0].strip()
    return int(text, 8) if text else 0


def _size(source: Source, given: dict[str, str], block: bytes, at: int) -> int:
    try:
        # The size of a pax header belongs to the entry after it, never to another header.
        is_entry = block[156:157] not in b"xLKg"
        size = int(given["size"]) if is_entry and "size" in given else _number(block[124:136])
    except ValueError:
        size = -1
    if not 0 <= size <= _MAX_SIZE_BYTES:
        raise ImageError(source.name, f"damaged tar header at byte {at}: its size is no number of bytes")
    return size


def _after_sparse_map(source: Source, window: _Window, at: int) -> int:
    for _ in range(_MAX_SPARSE_BLOCKS):
        block = window.read(at, _BLOCK)
        at += _BLOCK
        if len(block) < _BLOCK or not block[504]:
            return at
    raise ImageError(source.name, f"a sparse file with more than {_MAX_SPARSE_BLOCKS} blocks of map")


def _extend(given: dict[str, str], flag: bytes, source: Source, at: int, size: int) -> None:
    """Take what a pax or GNU header says of the entry after it; global headers say nothing that matters here."""
    if flag == b"g":
        return
    if size > MAX_HEADER_BYTES:
        raise ImageError(source.name, f"a header of {size} bytes at byte {at}; at most {MAX_HEADER_BYTES} are read")
    data = source.read_at(at, size)
    if len(data) < size:
        raise ImageError(source.name, f"cut short inside the header at byte {at}")
    if flag == b"x":
        given.update(_pax(source, data, at))
    else:
        given["path" if flag == b"L" else "linkpath"] = _c_text(data)


def _pax(source: Source, data: bytes, at: int) -> dict[str, str]:
    records: dict[str, str] = {}
    start = 0
    while start < len(data):
        digits, blank, _ = data[start : start + 20].partition(b" ")
        length = int(digits) if blank and digits.isdigit() else 0
        record = data[start + len(digits) + 1 : start + length]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n") or start + length > len(data):
            raise ImageError(source.name, f"damaged pax header at byte {at + start}")
        # Of all others a stranger's archive could bring any number.
        if key in _PAX_KEYS:
            records[_text(key)] = _text(value[:-1])
        start += length
    return records


def _member(block: bytes, flag: bytes, given: dict[str, str], content: int, size: int) -> Member:
    name = given.get("path")
    if name is None:
        name = _c_text(block[:100])
        if block[257:263] == b"ustar\0" and block[345]:
            name = f"{_c_text(block[345:500])}/{name}"
    kind = _KINDS.get(flag, OTHER)
    if kind is FILE:
        if given and any(key.startswith("GNU.sparse.") for key in given):
            kind, name = SPARSE, given.get("GNU.sparse.name", name)
        elif flag == b"\0" and name.endswith("/"):
            kind = FOLDER
    target = ""
    if kind in {LINK, HARD_LINK}:
        target = given.get("linkpath") or _c_text(block[157:257])
    return Member(name, kind, content, size, target)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _c_text(field: bytes) -> str:
    return _text(field.partition(b"\0")[0])
