from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.model.facts import Distribution, State
from pytest_trtcheck.probe.distinfo import InstalledPython, parse_headers, read_distributions
from pytest_trtcheck.probe.root import Entry, Root
from tests.fakeroot import SITE, FakeRoot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEBIAN = "/usr/lib/python3/dist-packages"


@pytest.fixture
def tree(tmp_path: Path) -> FakeRoot:
    return FakeRoot(tmp_path)


def _read(tree: FakeRoot, *sites: str) -> InstalledPython:
    return read_distributions(tree.root, sites or (SITE,))


def _only(tree: FakeRoot, *sites: str) -> Distribution:
    (dist,) = _read(tree, *sites).distributions
    return dist


def test_stack_wheel_is_read_in_full(tree: FakeRoot) -> None:
    requires = ["nvidia-cudnn-cu12==9.1.0.70; platform_system == 'Linux'", "numpy ; extra == 'numpy'"]
    path = tree.dist("torch", "2.13.0+cu130", requires=requires)
    assert _only(tree) == Distribution(
        name="torch",
        version="2.13.0+cu130",
        path=path,
        origin="index wheel",
        installer="pip",
        requires=tuple(requires),
        tags=("cp312-cp312-manylinux_2_28_x86_64",),
    )


def test_other_distribution_is_taken_from_its_folder_name_alone(tree: FakeRoot) -> None:
    path = tree.dist("some-tool", "1.0.post1", files={"METADATA": b"\xff garbage"})
    assert _only(tree) == Distribution("some-tool", "1.0.post1", path, origin="unknown")


def test_folder_name_that_is_broken_falls_back_to_the_metadata(tree: FakeRoot) -> None:
    tree.file(f"{SITE}/Odd Name.dist-info/METADATA", "Name: Some.Tool\nVersion: 3\n")
    dist = _only(tree)
    assert (dist.name, dist.version) == ("some-tool", "3")


@pytest.mark.parametrize(
    ("metadata", "note"),
    [
        (b"", "METADATA is empty"),
        (b"  \n", "METADATA is empty"),
        (b"Name: torch\nVersion: 2.13.0\nAuthor: \xe9\n\n", "METADATA is not UTF-8 (byte 36)"),
        (b"Name: torch\n\n", "METADATA has no Version"),
        (b"<html>\n\n", "METADATA holds no headers"),
        (
            b"Name: torch\nVersion: 2.1.0\n\n",
            "METADATA says torch 2.1.0, the folder's name torch 2.13.0",
        ),
    ],
)
def test_broken_metadata_is_noted_and_the_rest_kept(tree: FakeRoot, metadata: bytes, note: str) -> None:
    tree.dist("torch", "2.13.0", files={"METADATA": metadata})
    dist = _only(tree)
    assert dist.name == "torch"
    assert dist.version in {"2.13.0", "2.1.0"}
    assert dist.note == note


def test_missing_metadata_is_noted(tree: FakeRoot) -> None:
    tree.folder(f"{SITE}/torch-2.13.0.dist-info")
    dist = _only(tree)
    assert (dist.version, dist.note, dist.origin) == ("2.13.0", "METADATA: does not exist", "unknown")


def test_leftover_of_pip_is_no_installed_distribution(tree: FakeRoot) -> None:
    tree.folder(f"{SITE}/~orch-2.13.0.dist-info")
    dist = _only(tree)
    assert (dist.name, dist.version) == ("~orch", "2.13.0")
    assert "left behind by an interrupted pip" in dist.note
    assert tree.probe()["torch"].state is State.ABSENT


@pytest.mark.parametrize(
    ("version", "files", "origin"),
    [
        ("2.10.0a0+b4e4ee81d3.nv25.12", {"direct_url.json": '{"url": "file:///opt/torch.whl"}'}, "NGC build"),
        ("2.13.0", {"direct_url.json": '{"url": "https://x/torch.whl", "archive_info": {}}'}, "direct URL"),
        ("2.13.0", {"direct_url.json": '{"url": "https://x/torch", "vcs_info": {}}'}, "source"),
        ("2.13.0", {"direct_url.json": '{"url": "file:///src", "dir_info": {"editable": true}}'}, "editable"),
        ("2.13.0", {"INSTALLER": "conda\n"}, "conda"),
        ("2.13.0", {"INSTALLER": ""}, "unknown"),
        ("2.13.0", {}, "index wheel"),
    ],
)
def test_origin(tree: FakeRoot, version: str, files: dict[str, str], origin: str) -> None:
    tree.dist("torch", version, files=files)
    assert _only(tree).origin == origin


@pytest.mark.parametrize("text", ["{", "[]", '{"dir_info": 3}', "{}", "[" * 60_000])
def test_broken_direct_url_is_noted(tree: FakeRoot, text: str) -> None:
    tree.dist("torch", "2.13.0", files={"direct_url.json": text})
    dist = _only(tree)
    assert (dist.origin, dist.note) == ("unknown", "direct_url.json is broken")


def test_direct_url_that_is_too_large_leaves_the_origin_unknown(tree: FakeRoot) -> None:
    tree.dist("torch", "2.13.0", files={"direct_url.json": " " * 100_000})
    dist = _only(tree)
    assert dist.origin == "unknown"
    assert dist.note == "direct_url.json: larger than the 65536 bytes that are read of such a file"


def test_first_on_the_path_wins_and_the_hidden_copy_is_kept(tree: FakeRoot) -> None:
    tree.dist("numpy", "1.26.4", site=DEBIAN)
    tree.dist("numpy", "2.3.0")
    python = _read(tree, SITE, DEBIAN)
    (winner,) = python.distributions
    assert winner.version == "2.3.0"
    assert winner.note == f"another copy, 1.26.4, is hidden in {DEBIAN}"
    assert [dist.version for dist in python.hidden] == ["1.26.4"]
    fact = tree.probe(sys_path=(SITE, DEBIAN))["numpy"]
    assert [copy.version for copy in fact.copies] == ["2.3.0", "1.26.4"]
    assert fact.why_chosen == "first on sys.path; hides 1.26.4"


def test_two_copies_in_one_folder_prefer_the_whole_one(tree: FakeRoot) -> None:
    tree.folder(f"{SITE}/numpy-1.26.4.dist-info")
    tree.dist("numpy", "2.3.0")
    dist = _only(tree)
    assert dist.version == "2.3.0"
    assert "the same folder: a leftover of an upgrade" in dist.note


def test_folder_that_two_entries_lead_to_counts_once(tree: FakeRoot) -> None:
    tree.dist("torch", "2.13.0")
    tree.link("/opt/site", SITE)
    python = _read(tree, SITE, "/opt/site", "relative", "/none", "")
    assert python.folders == (SITE,)
    assert python.distributions[0].note == ""


def test_egg_info_as_folder_and_as_file(tree: FakeRoot) -> None:
    tree.file(f"{DEBIAN}/numpy-1.26.4.egg-info/PKG-INFO", "Name: numpy\nVersion: 1.26.4\n")
    tree.file(f"{SITE}/torch-2.1.0-py3.12.egg-info", "Name: torch\nVersion: 2.1.0\n")
    found = {dist.name: (dist.version, dist.origin, dist.note) for dist in _read(tree, SITE, DEBIAN).distributions}
    assert found == {"numpy": ("1.26.4", "unknown", ""), "torch": ("2.1.0", "source", "")}


def test_development_install_is_followed_to_its_source(tree: FakeRoot) -> None:
    tree.file("/src/vllm/vllm.egg-info/PKG-INFO", "Name: vllm\nVersion: 0.11.2.dev0\n")
    tree.file(f"{SITE}/vllm.egg-link", "/src/vllm\n.\n")
    tree.file(f"{SITE}/gone.egg-link", "/src/gone\n.\n")
    dist = _only(tree)
    assert (dist.name, dist.version, dist.origin) == ("vllm", "0.11.2.dev0", "editable")


def test_name_that_is_not_utf8_is_shown_safely(tree: FakeRoot) -> None:
    tree.folder(f"{SITE}/torch\udcff-1.0.dist-info")
    dist = _only(tree)
    assert json.dumps(dist.path).isascii()
    assert r"torch\xff-1.0.dist-info" in dist.path
    dist.path.encode("utf-8")


def test_folder_that_cannot_be_listed_makes_missing_names_unreadable(tree: FakeRoot) -> None:
    class Denied(Root):
        def _entries(self, real: str) -> Iterator[Entry]:
            if real == SITE:
                raise PermissionError(13, "denied")
            return super()._entries(real)

    tree.dist("torch", "2.13.0")
    fact = tree.probe(root=Denied(tree.path))["torch"]
    assert fact.state is State.UNREADABLE
    assert fact.reason == (
        f"a distribution torch was not found, but not every folder could be searched: {SITE}: permission denied"
        " and 1 more"
    )


def test_folded_headers_are_joined_and_the_description_is_not_read() -> None:
    fields = parse_headers("Name: a\nRequires-Dist: b\n  >=1\n\tx\nrequires-dist: c\nnonsense\n tail\n\nName: z\n")
    assert fields == {"name": ["a"], "requires-dist": ["b >=1 x", "c"]}
