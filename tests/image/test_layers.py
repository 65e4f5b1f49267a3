"""Layers over layers: whiteouts, opaque folders, links and hard links, as the OCI specification has them."""

from __future__ import annotations

import itertools

import pytest

from pytest_trtcheck.errors import ImageError
from pytest_trtcheck.image.layered_root import LayeredRoot
from pytest_trtcheck.image.layers import index, layered_root
from pytest_trtcheck.image.limits import Budget
from pytest_trtcheck.image.source import Part
from pytest_trtcheck.probe import root
from pytest_trtcheck.probe.root import Kind, MissingError, ReadError, Root
from tests.image.bytes_source import Bytes
from tests.images import entry, folder, hard_link, link, tar


def root_of(*layers: bytes) -> LayeredRoot:
    return told(*layers)[0]


def told(*layers: bytes) -> tuple[LayeredRoot, list[str]]:
    makes = [
        lambda layer=layer, number=number: index(Bytes(layer, f"layer {number}"), Budget())
        for number, layer in enumerate(layers)
    ]
    laid = layered_root(makes)
    return laid.root, laid.notes


def names(root: LayeredRoot, path: str = "/") -> list[str]:
    return [item.name for item in root.listdir(path)]


BASE = tar(folder("a"), entry("a/one", "1"), entry("a/two", "2"), entry("b", "b"))


def test_a_file_of_an_upper_layer_covers_the_lower_one() -> None:
    root = root_of(BASE, tar(entry("a/one", "new")))
    assert root.read_text("/a/one") == "new"
    assert root.read_text("/a/two") == "2"
    assert root.size("/a/one") == 3


def test_a_whiteout_hides_a_file_or_a_folder() -> None:
    assert names(root_of(BASE, tar(entry("a/.wh.one")))) == ["a", "b"]
    assert names(root_of(BASE, tar(entry("a/.wh.one"))), "/a") == ["two"]
    root = root_of(BASE, tar(entry(".wh.a")))
    assert names(root) == ["b"]
    assert not root.exists("/a/one")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_whiteouts_hide_lower_layers_only_wherever_they_stand_in_the_archive(order: tuple[int, ...]) -> None:
    entries = [entry("a/.wh..wh..opq"), entry("a/three", "3"), entry("a/one", "new")]
    root = root_of(BASE, tar(*(entries[place] for place in order)))
    assert names(root, "/a") == ["one", "three"]
    assert root.read_text("/a/one") == "new"


def test_a_whiteout_of_something_that_is_not_there_does_nothing() -> None:
    assert names(root_of(BASE, tar(entry("x/y/.wh.z"), entry(".wh..wh.plnk"), entry("b/.wh.c")))) == ["a", "b"]


def test_a_file_replaces_a_folder_and_a_folder_a_file_or_a_link() -> None:
    assert root_of(BASE, tar(entry("a", "file"))).read_text("/a") == "file"
    assert names(root_of(BASE, tar(folder("b"), entry("b/x"))), "/b") == ["x"]
    lower = tar(folder("usr"), folder("usr/lib"), entry("usr/lib/old"), link("lib", "usr/lib"))
    assert names(root_of(lower, tar(folder("lib"), entry("lib/new"))), "/lib") == ["new"]


def test_a_file_below_a_linked_folder_lands_where_the_link_leads() -> None:
    lower = tar(folder("usr"), folder("usr/lib"), entry("usr/lib/old"), link("lib", "/usr/lib"))
    root = root_of(lower, tar(entry("lib/new", "n"), entry("lib/.wh.old")))
    assert names(root, "/usr/lib") == ["new"]
    assert root.resolve("/lib/new") == "/usr/lib/new"


def test_a_file_below_an_absolute_link_lands_below_the_root() -> None:
    root = root_of(tar(folder("a"), link("a/l", "/b"), entry("a/l/x", "x")))
    assert root.read_text("/b/x") == "x"
    assert names(root, "/a") == ["l"]


def test_a_folder_that_was_replaced_takes_no_more_files() -> None:
    root = root_of(tar(folder("b"), entry("a/one", "1"), link("a", "b"), entry("a/two", "2")))
    assert names(root, "/b") == ["two"]
    assert root.read_text("/a/two") == "2"


def test_a_link_whose_target_no_system_call_takes_is_passed_over() -> None:
    root, notes = told(tar(link("l", "t" * 5000), entry("ok")))
    assert names(root) == ["ok"]
    assert len(notes) == 1


def test_no_more_than_twenty_strange_entries_are_told() -> None:
    assert len(told(tar(*(entry(f"../{number}") for number in range(50))))[1]) == 20


def test_a_way_to_files_of_this_machine_that_was_left_open_leads_nowhere() -> None:
    root = root_of(tar(entry("etc/passwd", "image")))
    with pytest.raises(NotADirectoryError):
        Root._node(root, "/etc/passwd")
    with pytest.raises(NotADirectoryError):
        Root._open(root, "/etc/passwd")


def test_a_walk_through_more_files_than_any_image_has_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "MAX_WALKED", 4)
    assert len(list(root_of(BASE).walk())) == 2
    with pytest.raises(ReadError, match="more than 4 files below it"):
        list(root_of(tar(*(entry(f"etc/{number}") for number in range(4)))).walk())


def test_a_part_that_reaches_beyond_its_archive_is_damaged() -> None:
    part = Part(Bytes(b"0123456789", "archive"), 5, 10, "file")
    assert part.read_at(0, 5) == b"56789"
    with pytest.raises(ImageError, match="file: cut short: archive ends before it"):
        part.read_at(0, 6)


def test_a_hard_link_is_the_file_of_its_own_or_a_lower_layer() -> None:
    root = root_of(BASE, tar(entry("c", "c"), hard_link("d", "c"), hard_link("e", "a/one"), hard_link("f", "/b")))
    assert [root.read_text(f"/{name}") for name in "def"] == ["c", "1", "b"]
    # The link stays when the name it was made from is covered.
    assert root_of(BASE, tar(hard_link("e", "b")), tar(entry("b", "new"))).read_text("/e") == "b"


def test_hard_links_to_nothing_to_folders_and_outside_are_passed_over_in_words() -> None:
    root, notes = told(BASE, tar(hard_link("x", "none"), hard_link("y", "a"), hard_link("z", "../../etc/passwd")))
    assert names(root) == ["a", "b"]
    assert len(notes) == 3
    assert all("hard link" in note and "layer 1" in note for note in notes)


def test_links_stay_in_the_image() -> None:
    root = root_of(tar(link("up", "../../../etc"), link("abs", "/etc"), entry("etc/os-release", "image")))
    assert root.read_text("/up/os-release") == "image"
    assert root.read_text("/abs/os-release") == "image"
    with pytest.raises(MissingError):
        root.read_text("/up/passwd")


def test_link_loops_end(capsys: pytest.CaptureFixture[str]) -> None:
    root, notes = told(tar(link("a", "b"), link("b", "a"), entry("a/file", "x"), entry("ok")))
    with pytest.raises(ReadError, match="loop"):
        root.resolve("/a")
    assert names(root) == ["a", "b", "ok"]
    assert notes == ["layer 0: passed over 'a/file': a folder of its path is a file or a link that leads nowhere"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../../x", "x" * 5000])
def test_names_that_leave_the_image_are_passed_over(name: str) -> None:
    root, notes = told(tar(entry(name, "x"), entry("ok")))
    assert names(root) == ["ok"]
    assert "no path of an image" in notes[0]


@pytest.mark.parametrize("name", ["./etc/x", "/etc/x", "etc//x", "etc/./x", "etc/y/../x"])
def test_names_are_cleaned_of_what_means_nothing(name: str) -> None:
    assert root_of(tar(entry(name, "x"))).read_text("/etc/x") == "x"


def test_devices_are_no_files() -> None:
    import tarfile

    root = root_of(tar(entry("dev/null", type=tarfile.CHRTYPE), entry("pipe", type=tarfile.FIFOTYPE)))
    assert root.listdir("/dev")[0].kind is Kind.OTHER
    with pytest.raises(ReadError, match="FIFO, socket or device"):
        root.open("/pipe")


def test_names_that_are_not_utf_8_are_kept_apart_and_shown_escaped() -> None:
    root = root_of(tar(entry("lib\udcff.so", "x"), entry("lib\udcfe.so", "y")))
    assert [root.read_text(f"/{name}") for name in names(root)] == ["y", "x"]
    with pytest.raises(ReadError, match=r"^/lib\\xff.so: larger"):
        root.read_bytes("/lib\udcff.so", 0)


def test_a_sparse_file_is_there_and_not_read() -> None:
    import tarfile

    block = bytearray(tar(entry("big", "data"), form=tarfile.GNU_FORMAT))
    block[156:157] = b"S"
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block[:512]):06o}\0 ".encode()
    root = root_of(bytes(block))
    assert root.is_file("/big")
    with pytest.raises(ReadError, match="sparse file"):
        root.open("/big")


def test_files_are_read_in_the_order_of_the_archive() -> None:
    root = root_of(tar(entry("z"), entry("m")), tar(entry("a")))
    assert root.in_reading_order(["/a", "/m", "/gone", "/z"]) == ["/z", "/m", "/a", "/gone"]


def test_a_file_seeks_and_reads_like_any_other() -> None:
    content = bytes(range(256)) * 1000
    with root_of(tar(entry("f", content))).open("/f") as file:
        assert file.seek(0, 2) == len(content)
        file.seek(1000)
        assert file.read(10) == content[1000:1010]
        file.seek(-5, 2)
        assert file.read() == content[-5:]
