"""Random access to packed streams: any read gives what unpacking all of it would; bombs and damage end in words."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_trtcheck.errors import ImageError
from pytest_trtcheck.image import limits
from pytest_trtcheck.image.gzip_source import GzipSource
from pytest_trtcheck.image.unpacked import Unpacked
from pytest_trtcheck.image.zstd_source import ZstdSource
from tests.image.bytes_source import Bytes
from tests.images import zstd

CONTENT = random.Random(1).randbytes(200_000) + bytes(3_000_000) + random.Random(2).randbytes(500_000)
"""Longer than the pieces in which it is unpacked, partly dense and partly empty."""


def gzip_of(data: bytes) -> GzipSource:
    return GzipSource(Bytes(gzip.compress(data, 1), "layer"), span_bytes=300_000)


def gzip_members(data: bytes) -> GzipSource:
    pieces = [data[at : at + 70_000] for at in range(0, len(data), 70_000)]
    packed = b"".join(map(gzip.compress, pieces)) + gzip.compress(b"") + bytes(100)
    return GzipSource(Bytes(packed, "layer"), span_bytes=300_000)


def zstd_frames(data: bytes) -> ZstdSource:
    frames = [zstd(data[at : at + 70_000]) for at in range(0, len(data), 70_000)]
    skippable = (0x184D2A53).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"hello"
    return ZstdSource(Bytes(skippable.join([b"", *frames]) + zstd(b""), "layer"))


def zstd_of(data: bytes) -> ZstdSource:
    return ZstdSource(Bytes(zstd(data), "layer"))


MAKERS: dict[str, Callable[[bytes], Unpacked]] = {  # type: ignore[type-arg]
    "gzip": gzip_of,
    "gzip-members": gzip_members,
    "zstd": zstd_of,
    "zstd-frames": zstd_frames,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_reads_in_any_order_give_the_right_bytes(make: Callable[[bytes], Unpacked]) -> None:  # type: ignore[type-arg]
    places = st.lists(st.tuples(st.integers(0, len(CONTENT) + 10), st.integers(0, 300_000)), max_size=6)

    @given(places)
    @settings(max_examples=15)
    def check(reads: list[tuple[int, int]]) -> None:
        source = make(CONTENT)
        for offset, size in reads:
            assert source.read_at(offset, size) == CONTENT[offset : offset + size]

    check()
    assert make(CONTENT).length() == len(CONTENT)
    assert make(b"").length() == 0


def test_a_far_read_begins_at_a_point_nearby() -> None:
    dense = random.Random(3).randbytes(4_000_000)
    packed = Bytes(gzip.compress(dense, 1), "layer")
    source = GzipSource(packed, span_bytes=500_000)
    assert source.length() == len(dense)
    for offset in (3_500_000, 100, 2_000_000, 1_000_000, 3_000_000, 50):
        packed.read_bytes = 0
        assert source.read_at(offset, 10) == dense[offset : offset + 10]
        assert packed.read_bytes < 2_000_000, offset


@pytest.mark.parametrize("make", [gzip_of, zstd_of], ids=["gzip", "zstd"])
@pytest.mark.parametrize("part", [0.3, 0.9, 0.999])
def test_a_stream_that_is_cut_short_is_named(make: Callable[[bytes], Unpacked], part: float) -> None:  # type: ignore[type-arg]
    source = make(CONTENT)
    packed = source.packed
    assert isinstance(packed, Bytes)
    packed.data = packed.data[: int(len(packed.data) * part)]
    with pytest.raises(ImageError, match=r"^layer: cut short"):
        source.length()


@pytest.mark.parametrize("make", [gzip_of, zstd_of], ids=["gzip", "zstd"])
def test_a_stream_whose_bytes_changed_is_damaged(make: Callable[[bytes], Unpacked]) -> None:  # type: ignore[type-arg]
    source = make(CONTENT)
    packed = source.packed
    assert isinstance(packed, Bytes)
    changed = bytearray(packed.data)
    changed[-20] ^= 0xFF
    packed.data = bytes(changed)
    with pytest.raises(ImageError, match=r"^layer: (damaged|cut short|expected)"):
        source.length()


@pytest.mark.parametrize("data", [b"", b"hello", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\x00"])
def test_what_is_no_stream_is_refused(data: bytes) -> None:
    for source in (GzipSource(Bytes(data, "layer")), ZstdSource(Bytes(data, "layer"))):
        with pytest.raises(ImageError, match=r"^layer: "):
            source.length()


def test_a_gzip_bomb_stops_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_GROWTH_BYTES", 1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()
    source = GzipSource(Bytes(bomb, "layer"))
    with pytest.raises(ImageError, match=r"^layer: a decompression bomb: \d+ bytes gave \d+, more than 200-fold"):
        source.length()


def test_a_zstd_bomb_stops_early_and_never_unpacks_much_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_GROWTH_BYTES", 1 << 20)
    source = ZstdSource(Bytes(zstd(bytes(1 << 30)), "layer"))
    pieces: list[int] = []
    unpack = source.unpack

    def counted(cursor: Any) -> bytes:
        piece = unpack(cursor)
        pieces.append(len(piece))
        return piece

    monkeypatch.setattr(source, "unpack", counted)
    with pytest.raises(ImageError, match=r"^layer: a decompression bomb"):
        source.length()
    assert 0 < max(pieces) < 1 << 20


def test_a_zstd_frame_that_asks_for_a_huge_window_is_refused() -> None:
    frame = b"\x28\xb5\x2f\xfd" + bytes([0, 31 << 3]) + b"\x01\x00\x00"
    with pytest.raises(ImageError, match=r"^layer: its zstd frame at byte 0 wants 2199023255552 bytes of memory"):
        ZstdSource(Bytes(frame, "layer")).length()


@pytest.mark.parametrize(("kind", "size"), [(3, 10), (2, 128 * 1024 + 1)], ids=["reserved", "too-large"])
def test_a_zstd_block_that_no_frame_may_hold_is_refused_unread(kind: int, size: int) -> None:
    frame = b"\x28\xb5\x2f\xfd" + bytes([0, 0]) + (size << 3 | kind << 1 | 1).to_bytes(3, "little")
    with pytest.raises(ImageError, match=r"^layer: damaged zstd block at byte 6$"):
        ZstdSource(Bytes(frame, "layer")).length()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_digest_is_that_of_the_content_whatever_was_read_again(make: Callable[[bytes], Unpacked]) -> None:  # type: ignore[type-arg]
    source = make(CONTENT)
    source.hash_it()
    for offset in (2_000_000, 0, 2_500_000, 100):
        source.read_at(offset, 1000)
    assert source.digest() == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


def test_without_a_library_for_zstd_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", nothing)
    with pytest.raises(ImageError, match=r"^zstd: nothing here unpacks it: pip install 'pytest-trtcheck\[zstd\]'"):
        ZstdSource(Bytes(b"\x28\xb5\x2f\xfd", "layer"))


@pytest.mark.parametrize("name", ["compression.zstd", "zstandard", "pyzstd"])
def test_every_library_for_zstd_gives_the_same(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    library = pytest.importorskip(name, reason=f"{name} is not installed")
    monkeypatch.setattr(
        importlib, "import_module", lambda asked: library if asked == name else exec("raise ImportError")
    )
    assert zstd_of(CONTENT).read_at(0, len(CONTENT)) == CONTENT
    assert zstd_frames(CONTENT).read_at(150_000, 100_000) == CONTENT[150_000:250_000]
