"""Where the loader looks for a library that an object needs, in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pytest_trtcheck.probe.elf import Opens
from pytest_trtcheck.probe.ldso import CACHE_PATH, DEFAULT_FOLDERS
from pytest_trtcheck.probe.root import ReadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.binaries.closure import Mapped
    from pytest_trtcheck.probe.ldso import LoaderSearch

# $LIB and $PLATFORM differ between distributions: each spelling is tried.
_LIB = ("lib/x86_64-linux-gnu", "lib64", "lib/aarch64-linux-gnu", "lib")
MAX_FOLDERS = 4096


class Files(Opens, Protocol):
    """The door to files, as far as the loader's model needs it."""

    def resolve(self, path: str) -> str:
        """Return the path with all links followed; ReadError when it leads nowhere."""

    def is_file(self, path: str) -> bool:
        """Say whether a regular file is there, links followed."""

    def exists(self, path: str) -> bool:
        """Say whether something is there."""


class Search:
    """The loader's search in one root and environment."""

    def __init__(self, files: Files, search: LoaderSearch) -> None:
        self._files = files
        self._library_path = [folder.path for folder in search.folders if folder.found_by == "LD_LIBRARY_PATH"]
        self._cached: dict[str, list[str]] = {}
        for path in search.cached or {}:
            self._cached.setdefault(path.rpartition("/")[2], []).append(path)
        # Without a cache the loader does not read the conf; a cache that only we cannot read stands for the conf.
        unread = search.cached is None and files.exists(CACHE_PATH)
        self._conf = [folder.path for folder in search.folders if unread and folder.found_by == "ld.so.conf"]

    def candidates(self, name: str, loader: Mapped | None, program: Mapped | None) -> Iterator[tuple[str, str, str]]:
        """Yield path, real path and step of the search for each file that bears the name, the first wins."""
        for path, found_by in self._paths(name, loader, program):
            if self._files.is_file(path):
                try:
                    yield path, self._files.resolve(path), found_by
                except ReadError:
                    continue

    def _paths(self, name: str, loader: Mapped | None, program: Mapped | None) -> Iterator[tuple[str, str]]:
        if "/" in name:
            for path in _expanded(name, loader) if loader else (name,):
                yield path, "path"
            return
        yield from ((f"{folder}/{name}", by) for folder, by in _rpaths(loader, program))
        yield from ((f"{folder}/{name}", "LD_LIBRARY_PATH") for folder in self._library_path)
        if loader is not None:
            for folder in _folders(loader.shared.elf.runpath, loader):
                yield f"{folder}/{name}", f"RUNPATH of {loader.path}"
        yield from ((path, "ld.so.cache") for path in self._cached.get(name, ()))
        yield from ((f"{folder}/{name}", "ld.so.conf") for folder in self._conf)
        yield from ((f"{folder}/{name}", "default folder") for folder in DEFAULT_FOLDERS)


def _rpaths(loader: Mapped | None, program: Mapped | None) -> Iterator[tuple[str, str]]:
    """Yield the folders of RPATH: of the object that asks, of those that asked for it, and of the program.

    None of them counts for an object that has a RUNPATH, and the RPATH of an object that has both counts never.
    """
    if loader is not None and loader.shared.elf.runpath:
        return
    chain: list[Mapped] = []
    while loader is not None and loader not in chain:
        chain.append(loader)
        loader = loader.loader
    if program is not None and program not in chain:
        chain.append(program)
    for mapped in chain:
        if not mapped.shared.elf.runpath:
            for folder in _folders(mapped.shared.elf.rpath, mapped):
                yield folder, f"RPATH of {mapped.path}"


def _folders(entries: tuple[str, ...], mapped: Mapped) -> Iterator[str]:
    for entry in entries[:MAX_FOLDERS]:
        yield from _expanded(entry, mapped)


def _expanded(entry: str, mapped: Mapped) -> Iterator[str]:
    """Yield an entry with ``$ORIGIN`` and ``$LIB`` filled in; nothing for one that is relative to some folder."""
    origin = mapped.path.rpartition("/")[0]
    for name in ("ORIGIN", "{ORIGIN}"):
        entry = entry.replace(f"${name}", origin)
    if "$LIB" in entry or "${LIB}" in entry:
        filled = [entry.replace("${LIB}", lib).replace("$LIB", lib) for lib in _LIB]
    else:
        filled = [entry]
    for path in filled:
        if path.startswith("/") and "$" not in path:
            yield path.rstrip("/") or "/"
