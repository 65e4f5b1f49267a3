"""Parsers of files on disk return or raise our own error, on any bytes."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_trtcheck.probe.distinfo import parse_headers, read_distributions
from pytest_trtcheck.probe.dpkg import DpkgError, parse_status
from pytest_trtcheck.probe.elf import Elf, ElfError, newest_version_nodes, read_elf
from pytest_trtcheck.probe.ldso import CacheError, loader_search, parse_cache
from pytest_trtcheck.probe.root import shown
from pytest_trtcheck.probe.toolkit import probe_toolkit
from pytest_trtcheck.probe.torch_facts import torch_cuda
from tests.fakeroot import SITE, FakeRoot, cache_bytes, elf_bytes, stanza

ELF = elf_bytes(
    soname="libx.so.1", needed=["liba.so.2"], runpath="$ORIGIN", version_nodes=["GLIBCXX_3.4", "GLIBCXX_3.4.30"]
)
CACHE = cache_bytes(["/a/libx.so.1", "/b/liby.so.2"], old_first=True)
STATUS = (stanza("a", "1:1.0-1") + stanza("b", "2")).encode()


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """Return ``data`` with a few bytes overwritten and its end cut off, or any bytes at all."""
    edits = st.lists(st.tuples(st.integers(0, len(data) - 1), st.binary(min_size=1, max_size=8)), max_size=6)

    def apply(changes: list[tuple[int, bytes]], length: int) -> bytes:
        buffer = bytearray(data)
        for offset, new in changes:
            buffer[offset : offset + len(new)] = new
        return bytes(buffer[:length])

    cut = st.one_of(st.just(len(data)), st.integers(0, len(data)))
    return st.one_of(st.builds(apply, edits, cut), st.binary(max_size=300))


@settings(max_examples=300)
@given(mutated(ELF))
def test_elf(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = FakeRoot(Path(folder))
        tree.file("/lib.so", data)
        with suppress(ElfError):
            elf = read_elf(tree.root, "/lib.so")
            assert isinstance(elf, Elf)
            assert all(text.isprintable() for text in (*elf.needed, *elf.runpath, elf.soname or "x"))
        with suppress(ElfError):
            assert set(newest_version_nodes(tree.root, "/lib.so")) <= {"GLIBCXX", "CXXABI"}


@given(mutated(CACHE))
def test_loader_cache(data: bytes) -> None:
    with suppress(CacheError):
        assert all(path.startswith("/") for path in parse_cache(data))


@given(mutated(STATUS))
def test_dpkg_status(data: bytes) -> None:
    with suppress(DpkgError):
        for package in parse_status(data):
            assert package.name
            assert package.version or not package.is_installed
            assert package.upstream.isprintable()


@given(st.text())
def test_headers(text: str) -> None:
    for key, values in parse_headers(text).items():
        assert key == key.lower()
        assert values


@given(st.text(alphabet=st.characters()))
def test_shown_text_can_be_written_anywhere(text: str) -> None:
    assert shown(text).isprintable()
    shown(text).encode("utf-8")


@settings(max_examples=60)
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_metadata_conf_and_version_files(first: bytes, second: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = FakeRoot(Path(folder))
        path = tree.dist("torch", "2.13.0", files={"METADATA": first, "direct_url.json": second, "WHEEL": first})
        tree.file(f"{SITE}/torch/version.py", first)
        tree.file("/etc/ld.so.conf", first)
        tree.file("/etc/ld.so.cache", second)
        tree.file("/usr/local/cuda/version.json", first)
        tree.file("/usr/local/cuda/version.txt", second)
        python = read_distributions(tree.root, [SITE])
        assert [dist.path for dist in python.distributions] == [path]
        assert torch_cuda(tree.root, python).key == "torch_cuda"
        assert loader_search(tree.root, {}).folders
        assert probe_toolkit(tree.root, {}).key == "cuda_toolkit"
