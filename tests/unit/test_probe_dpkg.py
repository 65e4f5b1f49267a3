from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.model.facts import State
from pytest_trtcheck.probe.dpkg import DpkgError, owner_of, package_files, parse_status, read_packages
from pytest_trtcheck.probe.root import MissingError
from tests.fakeroot import LIB, FakeRoot, stanza

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> FakeRoot:
    return FakeRoot(tmp_path)


def test_epoch_held_and_half_installed_are_kept_apart() -> None:
    status = (
        stanza("libcudnn9-cuda-12", "1:9.2.0-1")
        + stanza("libnccl2", "2.27.7-1+cuda13.0", "hold ok installed")
        + stanza("libnvinfer10", "10.13.3.9-1+cuda13.0", "install reinstreq half-installed")
        + stanza("gone", "1", "deinstall ok config-files")
    )
    cudnn, nccl, nvinfer = parse_status(status.encode())
    assert (cudnn.version, cudnn.upstream, cudnn.is_installed, cudnn.held) == ("1:9.2.0-1", "9.2.0", True, False)
    assert (nccl.held, nccl.is_installed, nccl.upstream) == (True, True, "2.27.7")
    assert (nvinfer.is_installed, nvinfer.state) == (False, "half-installed")


@pytest.mark.parametrize(
    ("status", "line", "words"),
    [
        (stanza("a", "1") + "\x00\x00garbage\n", 8, 'expected "Field: value", found "'),
        (stanza("a", "1") + stanza("b", "2")[:20], 9, "cut short"),
        (stanza("a", "1") + "Version: 2\n\n", 8, "expected a package name"),
        (stanza("a", "1").replace("Version: 1\n", ""), 1, "a is installed but has no Version"),
        (stanza("a", "1", "installed"), 1, "Status of a: expected three words, found 1"),
        (stanza("A b", "1"), 1, 'expected a package name, found "A b"'),
    ],
)
def test_corrupt_status_names_the_line(status: str, line: int, words: str) -> None:
    with pytest.raises(DpkgError) as caught:
        parse_status(status.encode())
    assert f"line {line}: " in caught.value.reason
    assert words in caught.value.reason


def test_corrupt_status_is_an_unreadable_fact_and_never_absent(tree: FakeRoot) -> None:
    tree.dpkg(stanza("libcudnn9-cuda-12", "9.10.2.21-1") + "<<<<<<< broken\n")
    tree.library(f"{LIB}/libcudnn.so.9")
    facts = tree.probe()
    assert facts["dpkg"].state is State.UNREADABLE
    assert facts["dpkg"].reason.startswith("unreadable: /var/lib/dpkg/status: line 8: ")
    assert facts["cudnn"].state is State.FOUND
    assert facts["cudnn"].value is None


def test_status_d_of_distroless_images_counts_as_installed(tree: FakeRoot) -> None:
    tree.file("/var/lib/dpkg/status.d/libc6", "Package: libc6\nVersion: 2.36-9\nArchitecture: amd64\n")
    tree.file("/var/lib/dpkg/status.d/libc6.md5sums", "0000  usr/lib/libc.so.6\n")
    (package,) = read_packages(tree.root)
    assert (package.name, package.is_installed) == ("libc6", True)


def test_no_database_is_missing(tree: FakeRoot) -> None:
    with pytest.raises(MissingError):
        read_packages(tree.root)
    assert tree.probe()["dpkg"].state is State.ABSENT


def test_owner_is_found_under_either_spelling_of_a_merged_usr(tree: FakeRoot) -> None:
    tree.dpkg(stanza("libx", "1") + stanza("liby", "2"), libx=["/lib/libx.so.1"], liby=["/usr/lib/liby.so.1"])
    packages = read_packages(tree.root)
    assert owner_of(tree.root, packages, ["/usr/lib/libx.so.1"]) == packages[0]
    assert owner_of(tree.root, packages, ["/lib/liby.so.1"]) == packages[1]
    assert owner_of(tree.root, packages, ["/usr/lib/other.so"]) is None


def test_list_of_a_multiarch_package_is_found_and_a_missing_one_is_empty(tree: FakeRoot) -> None:
    tree.dpkg(stanza("libx", "1") + stanza("liby", "1"))
    tree.file("/var/lib/dpkg/info/libx:amd64.list", "/usr/lib/libx.so.1\n")
    libx, liby = read_packages(tree.root)
    assert "/usr/lib/libx.so.1" in package_files(tree.root, libx)
    assert package_files(tree.root, liby) == []


def test_half_installed_package_without_its_library_is_not_absent(tree: FakeRoot) -> None:
    tree.dpkg(stanza("libcudnn9-cuda-12", "9.1-1", "install reinstreq half-installed"))
    fact = tree.probe()["cudnn"]
    assert fact.state is State.UNREADABLE
    assert fact.reason == "dpkg lists libcudnn9-cuda-12 9.1-1 as half-installed, but libcudnn.so* was not found"


def test_held_packages_are_listed(tree: FakeRoot) -> None:
    tree.dpkg(stanza("a", "1", "hold ok installed") + stanza("b", "1", "install ok unpacked"))
    fact = tree.probe()["dpkg"]
    assert (fact.value, fact.details) == ("1", {"held": ["a"], "unfinished": {"b": "unpacked"}})
