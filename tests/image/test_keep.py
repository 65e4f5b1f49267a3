"""What is kept of a packed layer while it passes by: enough that nothing is unpacked twice, and never too much."""

from __future__ import annotations

import gzip
import json
import random
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_trtcheck.binaries.objects import read_object
from pytest_trtcheck.errors import ImageError
from pytest_trtcheck.image import limits
from pytest_trtcheck.image.facts import probe_image
from pytest_trtcheck.image.layered_root import LayeredRoot
from pytest_trtcheck.image.layers import index, layered_root
from pytest_trtcheck.image.limits import Budget
from pytest_trtcheck.image.opened import open_image
from pytest_trtcheck.image.target import Target
from pytest_trtcheck.image.unpacked import Unpacked
from pytest_trtcheck.probe.elf import newest_version_nodes, read_elf
from pytest_trtcheck.probe.root import Root
from pytest_trtcheck.rules.load import load_matrix
from tests.fakeroot import elf_bytes
from tests.image.bytes_source import Bytes
from tests.images import Built, entry, serving_tree, tar, tar_of, zstd


def ends_with_section_names(path: Path) -> bool:
    """Say whether the names of sections stand right before their table: lld puts .strtab between them."""
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as file:
        elf = ELFFile(file)
        names = elf.get_section(elf.header["e_shstrndx"])
        return int(elf.header["e_shoff"] - names["sh_offset"]) < 4000


REAL = [
    path
    for path in sorted({path.resolve() for path in Path(sysconfig.get_paths()["platlib"]).rglob("*.so")})[:16]
    if ends_with_section_names(path)
]


def packed_root(*files: tuple[str, bytes]) -> tuple[LayeredRoot, Bytes]:
    packed = Bytes(zstd(tar(*(entry(name, data) for name, data in files))), "layer")
    return layered_root([lambda: index(packed, Budget())]).root, packed


def test_tables_of_real_libraries_are_read_without_going_back() -> None:
    assert len(REAL) > 5, "hardly any extension module is installed beside this Python"
    root, packed = packed_root(*((f"lib/{number}.so", path.read_bytes()) for number, path in enumerate(REAL)))
    packed.read_bytes = 0
    for number, path in enumerate(REAL):
        truth = Root(path.parent)
        assert read_elf(root, f"/lib/{number}.so") == read_elf(truth, f"/{path.name}")
        assert newest_version_nodes(root, f"/lib/{number}.so") == newest_version_nodes(truth, f"/{path.name}")
        ours, theirs = read_object(root, f"/lib/{number}.so"), read_object(truth, f"/{path.name}")
        assert (ours.symbols, ours.needs, ours.nodes) == (theirs.symbols, theirs.needs, theirs.nodes)
    assert packed.read_bytes == 0


def test_a_library_keeps_its_tables_and_not_its_code() -> None:
    library = elf_bytes(soname="libbig.so.1", needed=["libc.so.6"]) + random.Random(1).randbytes(3_000_000)
    budget = Budget()
    source = Bytes(gzip.compress(tar(entry("lib/libbig.so.1", library)), 1), "layer")
    root = layered_root([lambda: index(source, budget)]).root
    assert limits.KEPT_BYTES - budget.kept_bytes < 20_000
    assert read_elf(root, "/lib/libbig.so.1").needed == ("libc.so.6",)
    with root.open("/lib/libbig.so.1") as file:
        assert file.read() == library
        for at in (0, 100, 4000, 4095, 4096, 5000, 2_000_000, len(library) - 1):
            file.seek(at)
            assert file.read(70_000) == library[at : at + 70_000]


@pytest.mark.parametrize("damage", range(40))
def test_a_library_broken_at_random_reads_as_it_is(damage: int) -> None:
    chance = random.Random(damage)
    data = bytearray(elf_bytes(soname="libx.so.1", version_nodes=["X_1"]) + bytes(200_000))
    for _ in range(4):
        at = chance.randrange(64 + 2 * 56)
        data[at : at + 8] = chance.choice((chance.randbytes(8), b"\xff" * 8, bytes(8), b"\x7f" + b"\xff" * 7))
    data[:6] = b"\x7fELF\x02\x01"
    root, _ = packed_root(("lib/libx.so.1", bytes(data)))
    with root.open("/lib/libx.so.1") as file:
        assert file.read() == bytes(data)


@pytest.mark.parametrize("packed", ["gzip", "zstd"])
def test_facts_come_from_one_pass(tmp_path: Path, packed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = serving_tree(tmp_path / "root")
    tree.file("/aaa", random.Random(1).randbytes(3_000_000))
    path = Built([tar_of(tree)], packed=packed).docker_blobs(tmp_path / "image.tar")
    again: list[int] = []
    with open_image(str(path)) as image:
        advance = Unpacked._advance

        def counted(source: Any, cursor: Any) -> bool:
            again.append(1)
            return advance(source, cursor)

        monkeypatch.setattr(Unpacked, "_advance", counted)
        stack = probe_image(image, Target(), load_matrix(()))
    assert stack.value("cudnn") == "9.10.2.21"
    assert not again, "something was unpacked a second time"


def test_what_is_kept_is_bounded_for_all_layers_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEPT_BYTES", 250_000)
    budget = Budget()
    content = random.Random(1).randbytes(100_000)
    packed = [Bytes(gzip.compress(tar(entry(f"etc/{number}.conf", content)), 1)) for number in range(5)]
    found = [index(one, budget) for one in packed]
    assert [len(one.kept) for one in found] == [1, 1, 0, 0, 0]
    root = layered_root([lambda one=one: one for one in found]).root  # type: ignore[misc]
    assert root.read_bytes("/etc/4.conf") == content


def test_headers_are_bounded_before_they_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FILES", 100)
    source = Bytes(tar(*(entry(f"etc/{number}") for number in range(1000))), "layer")
    with pytest.raises(ImageError, match="layer: more than 100 files"):
        index(source, Budget())
    assert source.read_bytes < 200_000, "the rest of the archive was read on"


@pytest.mark.parametrize("outer", ["plain", "gzip"])
def test_files_of_the_archive_itself_count_too(tmp_path: Path, outer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FILES", 3)
    path = Built([tar(entry("etc/a"))]).docker_legacy(tmp_path / "image.tar", outer)
    with pytest.raises(ImageError, match="more than 3 files"):
        open_image(str(path))


@pytest.mark.parametrize("packed", ["gzip", "zstd"])
@pytest.mark.parametrize("form", ["docker_legacy", "oci_archive", "oci_folder"])
def test_a_layer_that_is_not_what_the_config_says_is_refused(tmp_path: Path, form: str, packed: str) -> None:
    built = Built([tar(entry("etc/a", "right")), tar(entry("etc/b"))], packed=packed)
    save: Callable[[Path], Path] = getattr(built, form)
    with open_image(str(save(tmp_path / "sound"))) as image:
        assert image.checked_layers == 2
    honest = built.config
    built.layers = [tar(entry("etc/a", "wrong")), *built.layers[1:]]
    type(built).config, kept = property(lambda self: honest), type(built).__dict__["config"]  # type: ignore[assignment]
    try:
        path = save(tmp_path / "other")
    finally:
        type(built).config = kept  # type: ignore[method-assign]
    with pytest.raises(ImageError, match=r"its content is sha256:\w+, the config says sha256:\w+: the"):
        open_image(str(path))


def test_plain_layers_are_read_by_their_headers_and_said_to_be_unchecked(tmp_path: Path) -> None:
    path = Built([tar(entry("etc/a"))]).docker_blobs(tmp_path / "image.tar")
    with open_image(str(path)) as image:
        stack = probe_image(image, Target(), load_matrix(()))
    assert stack.get("image").details["layers_checked"] == "0 of 1 against the config"


def test_a_config_that_tells_of_other_layers_is_refused(tmp_path: Path) -> None:
    layout = Built([tar(entry("etc/a")), tar(entry("etc/b"))]).docker_blobs(tmp_path / "image.tar")
    data = layout.read_bytes()
    digest = next(iter(json.loads(Built([tar(entry("etc/a")), tar(entry("etc/b"))]).config)["rootfs"]["diff_ids"]))
    name = f"blobs/{digest.replace(':', '/')}"
    # Same length: the archive around it stays sound.
    both, one = f'["{name}", '.encode(), b"["
    assert both in data
    layout.write_bytes(data.replace(both, one + b" " * (len(both) - 1)))
    with pytest.raises(ImageError, match="its config tells of 2 layers, its manifest of 1: the image is damaged"):
        open_image(str(layout))


def test_layers_side_by_side_give_what_one_after_the_other_does() -> None:
    made = [gzip.compress(tar(entry("etc/same", str(number)), entry(f"etc/{number}", "x"))) for number in range(30)]
    makes = [lambda data=data: index(Bytes(data), Budget()) for data in made]
    for at_once in (1, 4):
        root = layered_root(makes, at_once=at_once).root
        assert root.read_text("/etc/same") == "29"
        assert len(root.listdir("/etc")) == 31


def test_a_damaged_layer_among_several_is_the_one_that_is_named() -> None:
    made = [gzip.compress(tar(entry(f"etc/{number}", "x"))) for number in range(12)]
    made[7] = made[7][:-9]
    makes = [lambda data=data, at=at: index(Bytes(data, f"layer {at}"), Budget()) for at, data in enumerate(made)]
    with pytest.raises(ImageError, match=r"^layer 7: "):
        layered_root(makes, at_once=3)


def test_pax_records_of_no_use_are_not_kept() -> None:
    from pytest_trtcheck.image.tar import _pax

    records = b"11 path=xx\n14 comment=xx\n21 GNU.sparse.foo=xx\n"
    assert _pax(Bytes(records), records, 0) == {"path": "xx"}
