from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.probe.root import Entry, Kind, MissingError, ReadError, Root, shown
from tests.fakeroot import FakeRoot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO


@pytest.fixture
def tree(tmp_path: Path) -> FakeRoot:
    return FakeRoot(tmp_path / "root")


def test_absolute_link_starts_again_at_the_root(tree: FakeRoot, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("host")
    tree.file("/secret", "inside")
    tree.link("/etc/link", "/secret")
    assert tree.root.resolve("/etc/link") == "/secret"
    assert tree.root.read_text("/etc/link") == "inside"


def test_absolute_link_to_a_host_file_is_dangling_inside_the_root(tree: FakeRoot, tmp_path: Path) -> None:
    decoy = tmp_path / "decoy"
    decoy.write_text("host")
    tree.link("/link", str(decoy))
    with pytest.raises(MissingError, match=r"^/link: a link that leads to .*, which does not exist$"):
        tree.root.read_bytes("/link")
    assert not tree.root.exists("/link")


@pytest.mark.parametrize("path", ["/../secret", "/etc/../../../secret", "/up/secret"])
def test_dot_dot_stops_at_the_root(tree: FakeRoot, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("host")
    tree.folder("/etc")
    tree.link("/up", "../../..")
    assert not tree.root.exists(path)
    tree.file("/secret", "inside")
    assert tree.root.read_text(path) == "inside"


def test_link_loop_has_a_reason(tree: FakeRoot) -> None:
    tree.link("/a", "b")
    tree.link("/b", "/a")
    with pytest.raises(ReadError, match=r"^/a: its links form a loop \(gave up after 40\)$"):
        tree.root.resolve("/a")
    assert not tree.root.is_file("/a")


def test_relative_links_through_linked_folders_are_followed(tree: FakeRoot) -> None:
    tree.file("/usr/lib/libx.so.1.2")
    tree.link("/usr/lib/libx.so.1", "libx.so.1.2")
    tree.link("/lib", "usr/lib")
    assert tree.root.resolve("/lib/libx.so.1") == "/usr/lib/libx.so.1.2"
    assert tree.root.readlink("/lib/libx.so.1") == "libx.so.1.2"
    assert tree.root.readlink("/lib/libx.so.1.2") is None


def test_missing_file_is_missing(tree: FakeRoot) -> None:
    tree.file("/file")
    for path in ("/none", "/none/deeper", "/file/below"):
        with pytest.raises(MissingError, match="does not exist"):
            tree.root.read_bytes(path)


def test_fifo_is_refused_before_it_is_opened(tree: FakeRoot) -> None:
    os.mkfifo(tree.host("/pipe"))
    with pytest.raises(ReadError, match="/pipe: not a regular file but a FIFO, socket or device"):
        tree.root.open("/pipe")
    assert tree.root.listdir("/") == (Entry("pipe", Kind.OTHER),)


def test_folder_is_no_file(tree: FakeRoot) -> None:
    tree.folder("/etc")
    assert tree.root.is_dir("/etc")
    assert tree.root.is_dir("/")
    with pytest.raises(ReadError, match="not a regular file but a folder"):
        tree.root.read_bytes("/etc")


def test_file_above_the_limit_is_refused_and_its_start_is_not(tree: FakeRoot) -> None:
    tree.file("/big", b"x" * 11)
    with pytest.raises(ReadError, match="larger than the 10 bytes"):
        tree.root.read_bytes("/big", 10)
    assert tree.root.read_bytes("/big", 11) == b"x" * 11
    assert tree.root.read_start("/big", 4) == b"xxxx"


def test_listing_is_sorted_and_typed(tree: FakeRoot) -> None:
    tree.file("/d/b")
    tree.folder("/d/c")
    tree.link("/d/a", "nowhere")
    assert tree.root.listdir("/d") == (Entry("a", Kind.LINK), Entry("b", Kind.FILE), Entry("c", Kind.FOLDER))


def test_name_that_is_not_utf8_is_listed_read_and_shown(tree: FakeRoot) -> None:
    tree.file("/d/lib\udcff.so", b"data")
    (entry,) = tree.root.listdir("/d")
    assert tree.root.read_bytes(f"/d/{entry.name}") == b"data"
    assert shown(entry.name) == r"lib\xff.so"


def test_shown_escapes_what_would_break_a_line() -> None:
    assert shown("a\nb\x1b[31m\ud800é") == r"a\nb\x1b[31m\ud800é"


@pytest.mark.parametrize("path", ["/a\0b", "/\ud800"])
def test_impossible_path_is_a_read_error(tree: FakeRoot, path: str) -> None:
    with pytest.raises(ReadError, match="no valid path"):
        tree.root.read_bytes(path)


def test_name_that_is_too_long_is_a_read_error(tree: FakeRoot) -> None:
    with pytest.raises(ReadError, match="ENAMETOOLONG"):
        tree.root.read_bytes("/" + "x" * 300)


def test_denied_folder_and_file_say_so(tree: FakeRoot) -> None:
    class Denied(Root):
        def _entries(self, real: str) -> Iterator[Entry]:
            raise PermissionError(13, "Permission denied")

        def _open(self, real: str) -> BinaryIO:
            raise PermissionError(13, "Permission denied")

    tree.file("/d/file")
    root = Denied(tree.path)
    with pytest.raises(ReadError, match=r"^/d: permission denied$"):
        root.listdir("/d")
    with pytest.raises(ReadError, match=r"^/d/file: permission denied$"):
        root.read_bytes("/d/file")


def test_listing_stops_at_the_bound(tree: FakeRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_trtcheck.probe.root.MAX_ENTRIES", 3)
    for number in range(4):
        tree.file(f"/d/{number}")
    with pytest.raises(ReadError, match="more than 3 entries"):
        tree.root.listdir("/d")


def test_ten_thousand_entries_are_listed_with_one_scan(tree: FakeRoot) -> None:
    tree.folder("/d")
    for number in range(10_000):
        os.close(os.open(f"{tree.path}/d/{number}", os.O_CREAT))
    scans: list[str] = []

    class Counting(Root):
        def _entries(self, real: str) -> Iterator[Entry]:
            scans.append(real)
            return super()._entries(real)

    root = Counting(tree.path)
    start = time.perf_counter()
    assert len(root.listdir("/d")) == len(root.listdir("/d/../d")) == 10_000
    assert time.perf_counter() - start < 1
    assert scans == ["/d"]
