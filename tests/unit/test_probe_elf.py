from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.probe import elf as elf_module
from pytest_trtcheck.probe.elf import Elf, ElfError, newest_version_nodes, read_elf
from pytest_trtcheck.probe.root import ReadError
from tests.fakeroot import FakeRoot, elf32_bytes, elf_bytes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> FakeRoot:
    return FakeRoot(tmp_path)


def _read(tree: FakeRoot, data: bytes) -> Elf:
    tree.file("/lib.so", data)
    return read_elf(tree.root, "/lib.so")


def test_dynamic_table_is_read(tree: FakeRoot) -> None:
    data = elf_bytes(soname="libx.so.1", needed=["liba.so.2", "libb.so"], rpath="/opt/a:/opt/b", runpath="$ORIGIN")
    assert _read(tree, data) == Elf(
        bits=64,
        machine="x86_64",
        soname="libx.so.1",
        needed=("liba.so.2", "libb.so"),
        rpath=("/opt/a", "/opt/b"),
        runpath=("$ORIGIN",),
    )


def test_file_without_soname_or_needs(tree: FakeRoot) -> None:
    assert _read(tree, elf_bytes()) == Elf(bits=64, machine="x86_64")


def test_section_table_is_not_needed(tree: FakeRoot) -> None:
    data = bytearray(elf_bytes(soname="libx.so.1"))
    struct.pack_into("<Q", data, 0x28, 0)
    struct.pack_into("<H", data, 0x3C, 0)
    assert _read(tree, bytes(data)).soname == "libx.so.1"


def test_32_bit_file_is_told(tree: FakeRoot) -> None:
    assert _read(tree, elf32_bytes()) == Elf(bits=32, machine="i386")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty file"),
        (b"\x7fEL", "cut short: the file has 3 bytes, an ELF header alone takes 64"),
        (b"/* GNU ld script */ INPUT(libx.so.1)", "not an ELF file"),
        (elf_bytes()[:40], "cut short: the file has 40 bytes"),
    ],
)
def test_what_is_no_elf_file_is_named(tree: FakeRoot, data: bytes, words: str) -> None:
    with pytest.raises(ElfError) as caught:
        _read(tree, data)
    assert caught.value.reason.startswith(words)


def test_every_shorter_file_is_cut_short(tree: FakeRoot) -> None:
    data = elf_bytes(soname="libx.so.1", needed=["liba.so.2"], version_nodes=["GLIBCXX_3.4"])
    for length in range(1, len(data)):
        with pytest.raises(ElfError, match="cut short"):
            _read(tree, data[:length])
    assert _read(tree, data).soname == "libx.so.1"


def test_contents_cut_short_are_noticed_without_a_section_table(tree: FakeRoot) -> None:
    data = bytearray(elf_bytes(soname="libx.so.1"))
    struct.pack_into("<Q", data, 0x28, 0)
    struct.pack_into("<H", data, 0x3C, 0)
    with pytest.raises(ElfError, match=r"cut short: its contents should end at byte \d+, the file at \d+"):
        _read(tree, bytes(data[:-10]))


def test_string_table_outside_the_file_is_broken(tree: FakeRoot) -> None:
    data = elf_bytes(soname="libx.so.1")
    broken = data.replace(struct.pack("<QQ", 5, 64 + 112), struct.pack("<QQ", 5, 1 << 40))
    assert broken != data
    struct.pack_into("<H", buffer := bytearray(broken), 0x3C, 0)
    struct.pack_into("<Q", buffer, 0x28, 0)
    with pytest.raises(ElfError, match="broken ELF file"):
        _read(tree, bytes(buffer))


def test_reading_is_bounded(tree: FakeRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elf_module, "MAX_READS", 10)
    with pytest.raises(ElfError, match="too much of the file"):
        _read(tree, elf_bytes(soname="libx.so.1"))


def test_missing_file_is_no_elf_error(tree: FakeRoot) -> None:
    with pytest.raises(ReadError, match="does not exist") as caught:
        read_elf(tree.root, "/none.so")
    assert not isinstance(caught.value, ElfError)


def test_newest_version_nodes_are_compared_as_numbers(tree: FakeRoot) -> None:
    nodes = ["libstdc++.so.6", "GLIBCXX_3.4", "GLIBCXX_3.4.9", "GLIBCXX_3.4.30", "CXXABI_1.3.13", "CXXABI_TM_1"]
    tree.file("/libstdc++.so.6", elf_bytes(soname="libstdc++.so.6", version_nodes=nodes))
    assert newest_version_nodes(tree.root, "/libstdc++.so.6") == {"CXXABI": "1.3.13", "GLIBCXX": "3.4.30"}


def test_library_without_version_nodes_has_none(tree: FakeRoot) -> None:
    tree.file("/lib.so", elf_bytes())
    assert newest_version_nodes(tree.root, "/lib.so") == {}
