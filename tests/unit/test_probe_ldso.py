from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.probe.ldso import CacheError, loader_search, parse_cache
from tests.fakeroot import FakeRoot, cache_bytes

if TYPE_CHECKING:
    from pathlib import Path

PATHS = ["/usr/local/cuda/lib64/libcudart.so.13", "/usr/lib/x86_64-linux-gnu/libcudnn.so.9"]


@pytest.fixture
def tree(tmp_path: Path) -> FakeRoot:
    return FakeRoot(tmp_path)


def _folders(tree: FakeRoot, **env: str) -> list[tuple[str, str]]:
    found = loader_search(tree.root, env).folders
    return [(folder.path, folder.found_by) for folder in found if folder.found_by != "default folder"]


@pytest.mark.parametrize("old_first", [False, True])
def test_cache_is_read_in_its_order(old_first: bool) -> None:
    assert parse_cache(cache_bytes(PATHS, old_first=old_first)) == {PATHS[0]: 0, PATHS[1]: 1}


def test_libraries_of_32_bit_are_left_out() -> None:
    assert parse_cache(cache_bytes(PATHS, flags=0x0003)) == {}


def test_cache_cut_short_anywhere_is_an_error() -> None:
    data = cache_bytes(PATHS)
    for length in range(len(data)):
        with pytest.raises(CacheError):
            parse_cache(data[:length])


def test_order_is_library_path_cache_conf_default(tree: FakeRoot) -> None:
    tree.file("/etc/ld.so.cache", cache_bytes(PATHS))
    tree.file("/etc/ld.so.conf", "/opt/conf\n")
    search = loader_search(tree.root, {"LD_LIBRARY_PATH": "/opt/b:/opt/a/:/opt/b"})
    assert [(folder.path, folder.found_by) for folder in search.folders][:6] == [
        ("/opt/b", "LD_LIBRARY_PATH"),
        ("/opt/a", "LD_LIBRARY_PATH"),
        ("/usr/local/cuda/lib64", "ld.so.cache"),
        ("/usr/lib/x86_64-linux-gnu", "ld.so.cache"),
        ("/opt/conf", "ld.so.conf"),
        ("/lib/x86_64-linux-gnu", "default folder"),
    ]
    assert search.problems == ()


@pytest.mark.parametrize("entry", ["", "relative/lib", "$ORIGIN/lib"])
def test_library_path_entries_that_are_not_absolute_are_told(tree: FakeRoot, entry: str) -> None:
    search = loader_search(tree.root, {"LD_LIBRARY_PATH": f"/opt/a:{entry}"})
    assert search.folders[0].path == "/opt/a"
    assert any(entry in text and "was not searched, only absolute folders are" in text for text in search.problems)


def test_corrupt_cache_is_told_and_the_conf_used(tree: FakeRoot) -> None:
    tree.file("/etc/ld.so.cache", b"garbage")
    tree.file("/etc/ld.so.conf", "/opt/conf\n")
    search = loader_search(tree.root, {})
    assert search.cached is None
    (problem,) = search.problems
    assert problem.startswith("/etc/ld.so.cache: no cache of ldconfig: it starts with other bytes; searched the")
    assert _folders(tree) == [("/opt/conf", "ld.so.conf")]


def test_conf_includes_are_followed_in_place(tree: FakeRoot) -> None:
    tree.file("/etc/ld.so.conf", "/first # comment\ninclude ld.so.conf.d/*.conf\n# /no\n/last=libc6\nhwcap 1 /none\n")
    tree.file("/etc/ld.so.conf.d/b.conf", "/b1:/b2 /b3\n")
    tree.file("/etc/ld.so.conf.d/a.conf", "/a\ninclude /etc/extra.conf\n")
    tree.file("/etc/ld.so.conf.d/not.txt", "/txt\n")
    tree.file("/etc/extra.conf", "/extra/\n")
    assert [path for path, _ in _folders(tree)] == ["/first", "/last", "/a", "/extra", "/b1", "/b2", "/b3"]


def test_conf_that_includes_itself_ends(tree: FakeRoot) -> None:
    tree.file("/etc/ld.so.conf", "include /etc/ld.so.conf\n/a\n")
    assert _folders(tree) == [("/a", "ld.so.conf")]


def test_too_many_conf_files_are_told(tree: FakeRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_trtcheck.probe.ldso.MAX_CONF_FILES", 2)
    tree.file("/etc/ld.so.conf", "include /etc/c/*.conf\n")
    for name in "abc":
        tree.file(f"/etc/c/{name}.conf", f"/{name}\n")
    assert _folders(tree) == [("/a", "ld.so.conf")]
    assert any("includes more than 2 files" in text for text in loader_search(tree.root, {}).problems)


def test_conf_that_is_no_file_is_told(tree: FakeRoot) -> None:
    tree.folder("/etc")
    os.mkfifo(tree.host("/etc/ld.so.conf"))
    assert any("not a regular file" in text for text in loader_search(tree.root, {}).problems)


def test_cache_that_links_to_the_host_is_not_read(tree: FakeRoot, tmp_path: Path) -> None:
    host_cache = tmp_path.parent / "host.cache"
    host_cache.write_bytes(cache_bytes(["/decoy/libcudnn.so.9"]))
    tree.link("/etc/ld.so.cache", str(host_cache))
    search = loader_search(tree.root, {})
    assert search.cached is None
    assert "/decoy" not in str(search.folders)
