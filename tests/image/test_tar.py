"""Tar headers: what Python's own tarfile writes is read as tarfile reads it; damage is named."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_trtcheck.errors import ImageError
from pytest_trtcheck.image import tar as ours
from tests.image.bytes_source import Bytes
from tests.images import entry, folder, hard_link, link, tar

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
KINDS = {
    tarfile.REGTYPE: ours.FILE,
    tarfile.DIRTYPE: ours.FOLDER,
    tarfile.SYMTYPE: ours.LINK,
    tarfile.LNKTYPE: ours.HARD_LINK,
    tarfile.CHRTYPE: ours.OTHER,
}


def read(data: bytes) -> list[ours.Member]:
    return list(ours.members(Bytes(data, "archive")))


def test_an_archive_is_read_as_tarfile_reads_it() -> None:
    names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300)
    parts = st.tuples(names, st.binary(max_size=2000), st.sampled_from(list(KINDS)))

    @given(st.lists(parts, max_size=6), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    def check(files: list[tuple[str, bytes, bytes]], form: int) -> None:
        entries = [
            entry(name, content if kind == tarfile.REGTYPE else b"", type=kind, linkname=name[::-1])
            for name, content, kind in files
        ]
        data = tar(*entries, form=form)
        found = read(data)
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            expected = archive.getmembers()
            assert [(m.name.rstrip("/"), m.kind, m.size) for m in found] == [
                (e.name.rstrip("/"), KINDS[e.type], e.size) for e in expected
            ]
            for mine, theirs in zip(found, expected, strict=True):
                if mine.kind is ours.FILE:
                    assert data[mine.offset : mine.offset + mine.size] == archive.extractfile(theirs).read()  # type: ignore[union-attr]
                if mine.kind in {ours.LINK, ours.HARD_LINK}:
                    assert mine.target == theirs.linkname

    check()


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_long_names_and_targets_come_whole(form: int) -> None:
    folder_name = "d" * 90
    entries = [entry(f"{folder_name}/{'f' * 90}", "x")]
    if form != tarfile.USTAR_FORMAT:
        entries += [entry("n" * 3000, "y"), link("l", "t" * 3000), hard_link("h", "n" * 3000)]
    found = read(tar(*entries, form=form))
    assert found[0].name == f"{folder_name}/{'f' * 90}"
    if form != tarfile.USTAR_FORMAT:
        assert [len(member.name) for member in found[1:]] == [3000, 1, 1]
        assert [len(member.target) for member in found[2:]] == [3000, 3000]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["base-256", "pax"])
def test_sizes_beyond_octal_digits_are_read(form: int) -> None:
    info = tarfile.TarInfo("big")
    info.size = 20 << 30
    header = info.tobuf(form)  # type: ignore[arg-type]

    assert next(ours.members(Bytes(header))).size == 20 << 30


def test_a_pax_sparse_file_is_told_apart() -> None:
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "real", "GNU.sparse.realsize": "9"}
    assert [(m.name, m.kind) for m in read(tar(entry("GNUSparseFile.0/real", "x", pax_headers=pax)))] == [
        ("real", ours.SPARSE)
    ]


def test_a_sparse_map_is_bounded() -> None:
    data = bytearray(broken(156, b"S"))
    data[482] = 1
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    more = (bytes(504) + b"\1").ljust(512, b"\0")
    whole = bytes(data[:512]) + more * 3 + bytes(512) + bytes(data[512:])
    assert [(m.kind, m.offset) for m in read(whole)] == [(ours.SPARSE, 5 * 512)]
    with pytest.raises(ImageError, match="a sparse file with more than 1000 blocks of map"):
        read(bytes(data[:512]) + more * 1001)


def test_global_headers_say_nothing_of_files() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", pax_headers={"path": "wrong", "comment": "abc"}) as archive:
        info, data = entry("right", "x")
        archive.addfile(info, io.BytesIO(data))
    assert [member.name for member in read(file.getvalue())] == ["right"]


def broken(at: int, value: bytes) -> bytes:
    """Return an archive with one header field changed and its checksum mended."""
    data = bytearray(tar(entry("file", "content")))
    data[at : at + len(value)] = value
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "expected a tar archive, found nothing"),
        (b"x" * 1024, "damaged tar header at byte 0: its checksum is wrong"),
        (tar(entry("f", "x" * 5000))[:2000], "cut short: it ends at byte 2000, inside an entry"),
        (tar(entry("f", "x"))[:300], "cut short"),
        (broken(124, b"99999999999\0"), "its size is no number of bytes"),
        (broken(124, b"\xff" * 12), "its size is no number of bytes"),
        (broken(124, b"\x80\x7f" + b"\xff" * 10), "its size is no number of bytes"),
    ],
)
def test_a_damaged_archive_is_named_with_the_place(data: bytes, words: str) -> None:
    with pytest.raises(ImageError) as caught:
        read(data)
    assert str(caught.value).startswith("archive: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("flag", [b"x", b"L", b"K"], ids=["pax", "long-name", "long-link"])
def test_a_huge_header_is_refused(flag: bytes) -> None:
    data = bytearray(broken(156, flag))
    data[124:136] = f"{64 << 20:011o}\0".encode()
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    with pytest.raises(ImageError, match=r"a header of 67108864 bytes at byte 512; at most 1048576 are read"):
        read(bytes(data))


@pytest.mark.parametrize("record", [b"no record", b"99 path=x\n", b"0 a=b\n", b"9 pathx\n\n", b"-5 a=b\n", b" a=b\n"])
def test_a_damaged_pax_header_is_refused(record: bytes) -> None:
    data = bytearray(tar(entry("file", record)))
    data[156:157] = b"x"
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    with pytest.raises(ImageError, match="damaged pax header at byte 512"):
        read(bytes(data))


def test_an_archive_without_end_mark_is_read_and_told() -> None:
    notes: list[str] = []
    data = tar(folder("a"), entry("f", "x" * 512))[: 3 * 512]
    assert [member.name for member in ours.members(Bytes(data, "archive"), notes)] == ["a/", "f"]
    assert notes == ["archive: the archive has no end mark; it may be cut short"]


def test_contents_are_passed_over_unread() -> None:
    source = Bytes(tar(entry("big", bytes(8 << 20)), entry("small", "x")))
    assert [member.name for member in ours.members(source)] == ["big", "small"]
    assert source.read_bytes < 1 << 20
