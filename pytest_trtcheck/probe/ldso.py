"""Where the dynamic loader searches: ``LD_LIBRARY_PATH``, its cache and conf, its default folders."""

from __future__ import annotations

import fnmatch
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_trtcheck.probe.root import MissingError, ReadError, Root, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

CACHE_PATH = "/etc/ld.so.cache"
CONF_PATH = "/etc/ld.so.conf"
CACHE_LIMIT_BYTES = 32 << 20
MAX_CONF_FILES = 256

DEFAULT_FOLDERS = (
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
)

_OLD_MAGIC = b"ld.so-1.7.0\0"
_NEW_MAGIC = b"glibc-ld.so.cache1.1"
_OLD_ENTRY = struct.Struct("<iII")
_NEW_HEADER_BYTES = 48
_NEW_ENTRY = struct.Struct("<iIIIQ")
# The second byte of an entry's flags names the ABI: 0 is 32-bit x86 and ARM, 8 is x32.
_SKIPPED_ABIS = {0x00, 0x08}


class CacheError(ReadError):
    """The loader's cache is there and cannot be understood."""


@dataclass(frozen=True)
class SearchFolder:
    """One folder of the search."""

    path: str
    found_by: str
    """``LD_LIBRARY_PATH``, ``ld.so.cache``, ``ld.so.conf`` or ``default folder``."""


@dataclass(frozen=True)
class LoaderSearch:
    """The loader's search, in its order."""

    folders: tuple[SearchFolder, ...]
    cached: Mapping[str, int] | None = field(default=None)
    """Library paths of the cache with their position in it; None when it could not be read."""
    problems: tuple[str, ...] = ()
    """What could not be read or used, in words."""


def loader_search(root: Root, env: Mapping[str, str]) -> LoaderSearch:
    """Return every folder that the loader of this root searches, first one first.

    RPATH and RUNPATH of single files and ``glibc-hwcaps`` subfolders are no part of it. The loader reads only
    the cache, not the conf; folders of the conf are listed too, for libraries that no ``ldconfig`` has seen.
    """
    library_path, problems = _library_path(env)
    cached: Mapping[str, int] | None = None
    try:
        cached = read_cache(root)
    except ReadError as error:
        problems.append(f"{error}; searched the folders of {CONF_PATH} instead")
    groups = [("LD_LIBRARY_PATH", library_path)]
    if cached is not None:
        groups.append(("ld.so.cache", [path.rpartition("/")[0] or "/" for path in cached]))
    groups.append(("ld.so.conf", _conf_folders(root, problems)))
    groups.append(("default folder", list(DEFAULT_FOLDERS)))
    seen: dict[str, SearchFolder] = {}
    for found_by, folders in groups:
        for folder in folders:
            seen.setdefault(folder, SearchFolder(folder, found_by))
    return LoaderSearch(tuple(seen.values()), cached, tuple(problems))


def _library_path(env: Mapping[str, str]) -> tuple[list[str], list[str]]:
    folders, problems = [], []
    text = env.get("LD_LIBRARY_PATH", "")
    for entry in re.split("[:;]", text) if text else []:
        if entry.startswith("/") and "$" not in entry:
            folders.append(entry.rstrip("/") or "/")
        else:
            what = shown(entry) or "an empty entry, which means the current folder,"
            problems.append(f"LD_LIBRARY_PATH: {what} was not searched, only absolute folders are")
    return folders, problems


def read_cache(root: Root) -> dict[str, int]:
    """Return the 64-bit library paths of ``/etc/ld.so.cache`` with their positions in it."""
    return parse_cache(root.read_bytes(CACHE_PATH, CACHE_LIMIT_BYTES))


def parse_cache(data: bytes) -> dict[str, int]:
    """Return the paths of a cache in the old format, the new one, or the old with the new after it.

    Raises CacheError when a count or an offset leaves the file. Source: glibc, sysdeps/generic/dl-cache.h.
    """
    start = 0
    if data.startswith(_OLD_MAGIC):
        count = _count_at(data, len(_OLD_MAGIC))
        entries_at = len(_OLD_MAGIC) + 4
        strings_at = entries_at + count * _OLD_ENTRY.size
        start = (strings_at + 7) // 8 * 8
        if not data.startswith(_NEW_MAGIC, start):
            return _paths(data, entries_at, count, _OLD_ENTRY, strings_at)
    if not data.startswith(_NEW_MAGIC, start):
        raise CacheError(CACHE_PATH, "no cache of ldconfig: it starts with other bytes")
    count = _count_at(data, start + len(_NEW_MAGIC))
    return _paths(data, start + _NEW_HEADER_BYTES, count, _NEW_ENTRY, start)


def _count_at(data: bytes, offset: int) -> int:
    if len(data) < offset + 4:
        raise CacheError(CACHE_PATH, "cut short inside its header")
    return int.from_bytes(data[offset : offset + 4], "little")


def _paths(data: bytes, entries_at: int, count: int, entry: struct.Struct, strings_at: int) -> dict[str, int]:
    end = entries_at + count * entry.size
    if end > len(data):
        found = f"{count} entries should end at byte {end}, the file at {len(data)}"
        raise CacheError(CACHE_PATH, f"cut short: {found}")
    paths: dict[str, int] = {}
    for position, fields in enumerate(entry.iter_unpack(data[entries_at:end])):
        if (fields[0] >> 8) & 0xFF in _SKIPPED_ABIS:
            continue
        text_at = strings_at + fields[2]
        text_end = data.find(b"\0", text_at, text_at + 4096)
        if text_end < 0 or not data.startswith(b"/", text_at):
            raise CacheError(CACHE_PATH, f"entry {position} has no path at byte {text_at}")
        paths.setdefault(data[text_at:text_end].decode("utf-8", "surrogateescape"), position)
    return paths


def _conf_folders(root: Root, problems: list[str]) -> list[str]:
    """Return the folders of ld.so.conf in order; includes are followed, each file once."""
    folders: list[str] = []
    pending, seen = [CONF_PATH], set[str]()
    while pending:
        path = pending.pop(0)
        if path in seen:
            continue
        seen.add(path)
        if len(seen) > MAX_CONF_FILES:
            problems.append(f"{CONF_PATH}: includes more than {MAX_CONF_FILES} files, the rest was not read")
            break
        try:
            text = root.read_bytes(path).decode("utf-8", "surrogateescape")
        except MissingError:
            continue
        except ReadError as error:
            problems.append(str(error))
            continue
        included: list[str] = []
        for line in text.splitlines():
            words = line.partition("#")[0].split()
            if words and words[0] == "include":
                for pattern in words[1:]:
                    included += _matching(root, path, pattern, problems)
            elif words and words[0] != "hwcap":
                folders += _named_folders(words)
        pending = included + pending
    return folders


def _named_folders(words: list[str]) -> list[str]:
    """Return the folders of a line: one, or several joined by colons, commas, spaces; ``=libc6`` cut off."""
    parts = re.split("[:,]", ",".join(words))
    return [part.partition("=")[0].rstrip("/") for part in parts if part.startswith("/")]


def _matching(root: Root, conf: str, pattern: str, problems: list[str]) -> list[str]:
    """Return the files an include line names; only its last part may be a glob, as in every distribution."""
    if not pattern.startswith("/"):
        pattern = f"{conf.rpartition('/')[0]}/{pattern}"
    folder, _, name = pattern.rpartition("/")
    if not set(name) & set("*?["):
        return [pattern]
    try:
        names = [entry.name for entry in root.listdir(folder)]
        return [f"{folder}/{found}" for found in names if fnmatch.fnmatchcase(found, name)]
    except MissingError:
        return []
    except ReadError as error:
        problems.append(str(error))
        return []
