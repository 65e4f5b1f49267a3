"""Which file asks for a library that is missing: the loader names only what it did not find."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_trtcheck.probe.root import Kind, ReadError, Root

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_FILES = 300
MAX_FOLDERS = 200


def find_needer(root: Root, soname: str, files: Sequence[str], folders: Sequence[str]) -> str:
    """Return the file whose NEEDED names ``soname``; empty when none of the files looked at does.

    Looked at are ``files`` (what was being loaded), what these need in turn, then every shared library in the
    package ``folders`` and in the library folders that wheels put beside them; 300 files at most.
    """
    from pytest_trtcheck.probe.elf import read_elf
    from pytest_trtcheck.probe.ldso import loader_search

    nearby = list(_libraries(root, [name for folder in folders for name in _with_siblings(folder)]))
    by_name = {path.rpartition("/")[2]: path for path in reversed(nearby)}
    search = [folder.path for folder in loader_search(root, os.environ).folders] if files else []
    seen: set[str] = set()
    queue = [*files, *nearby]
    while queue and len(seen) < MAX_FILES:
        path = queue.pop(0)
        if path in seen:
            continue
        seen.add(path)
        try:
            needed = read_elf(root, path).needed
        except ReadError:
            continue
        if soname in needed:
            return path
        if path not in nearby:
            found = (by_name.get(name) or _in_folders(root, name, search) for name in needed)
            queue[:0] = [name for name in found if name]
    return ""


def _with_siblings(folder: str) -> list[str]:
    """Return the package folder and those that auditwheel and NVIDIA's wheels put the libraries into."""
    folder = folder.rstrip("/")
    return [folder, f"{folder}_libs", f"{folder}.libs", f"{folder.removesuffix('_bindings')}_libs"]


def _libraries(root: Root, folders: Sequence[str]) -> Iterator[str]:
    """Yield the shared libraries below the folders, nearest first."""
    pending = list(dict.fromkeys(folders))
    for count, folder in enumerate(pending):
        if count >= MAX_FOLDERS:
            return
        try:
            entries = root.listdir(folder)
        except ReadError:
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if entry.kind is Kind.FOLDER:
                pending.append(path)
            elif entry.name.endswith(".so") or ".so." in entry.name:
                yield path


def _in_folders(root: Root, name: str, folders: Sequence[str]) -> str:
    return next((f"{folder}/{name}" for folder in folders if root.is_file(f"{folder}/{name}")), "")
