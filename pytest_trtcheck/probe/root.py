"""The one door to files: every file probe reads through a ``Root``, so nothing outside it can be reported.

What any root offers, be it a folder of this machine or an image that was never unpacked (``pytest_trtcheck.image``):

- ``resolve``, ``readlink``, ``exists``, ``is_file``, ``is_dir``, ``size``: where a path leads, and what lies there;
- ``listdir`` (one folder, kept) and ``walk`` (all folders below one, not kept);
- ``open`` (a binary file that reads and seeks), ``read_start``, ``read_bytes``, ``read_text``, all bounded;
- ``in_reading_order``: paths in the order in which they are cheapest to read one after the other.

All raise ReadError in words, MissingError for what is not there, and nothing else that a file can bring about.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pytest_trtcheck.errors import TrtcheckError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_ENTRIES = 200_000
MAX_WALKED = 2_000_000
MAX_LINKS = 40
TEXT_LIMIT_BYTES = 1 << 20


class ReadError(TrtcheckError):
    """A path that cannot be read. ``reason`` says why in words and never repeats the path."""

    def __init__(self, path: str, reason: str) -> None:
        """Name the path and why it cannot be read."""
        super().__init__(f"{shown(path)}: {reason}")
        self.path = path
        self.reason = reason


class MissingError(ReadError):
    """Nothing is there, or a link leads nowhere."""


class Kind(Enum):
    """What a path is, its last link not followed."""

    FILE = "regular file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "FIFO, socket or device"


class Entry(NamedTuple):
    """One name in a folder."""

    name: str
    kind: Kind


class Node(NamedTuple):
    """What lies at one path."""

    kind: Kind
    target: str = ""
    """Text of the link, as stored; empty for anything else."""


def shown(text: str) -> str:
    r"""Return text from disk in a form that any report can hold: bytes that are not UTF-8 become ``\xNN``."""
    return text if text.isprintable() else "".join(map(_shown_char, text))


def _shown_char(char: str) -> str:
    if char.isprintable():
        return char
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")


class Root:
    """A folder taken as root of a file system. Paths given and returned are absolute posix paths inside it.

    Links are followed by hand: an absolute one starts again at this root and ``..`` stops at it, so a link in
    a container image never leads to a file of the host. Listings and link targets are kept, a Root is a view
    for one run. Another kind of root (an image archive) overrides ``_node``, ``_entries``, ``_size`` and ``_open``.
    """

    def __init__(self, path: str | Path = "/") -> None:
        """Take the folder at ``path`` of this machine."""
        self._base = str(Path(path).absolute()).rstrip("/")
        self._nodes: dict[str, Node] = {}
        self._listings: dict[str, tuple[Entry, ...]] = {}

    def resolve(self, path: str) -> str:
        """Return the path with all links followed; MissingError if it leads nowhere, ReadError for a loop."""
        done, pending, links = "", path.split("/")[::-1], 0
        while pending:
            part = pending.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            step = f"{done}/{part}"
            node = self._known_node(path, step, links)
            if node.kind is not Kind.LINK:
                done = step
                continue
            links += 1
            if links > MAX_LINKS:
                raise ReadError(path, f"its links form a loop (gave up after {MAX_LINKS})")
            if node.target.startswith("/"):
                done = ""
            pending.extend(reversed(node.target.split("/")))
        return done or "/"

    def readlink(self, path: str) -> str | None:
        """Return the text of the link at ``path``, or None when it is no link."""
        folder, _, name = path.rstrip("/").rpartition("/")
        node = self._known_node(path, f"{self.resolve(folder).rstrip('/')}/{name}", 0)
        return node.target if node.kind is Kind.LINK else None

    def exists(self, path: str) -> bool:
        """Say whether something is there; False also when it cannot be reached."""
        return self._kind(path) is not None

    def is_file(self, path: str) -> bool:
        """Say whether a regular file is there, links followed."""
        return self._kind(path) is Kind.FILE

    def is_dir(self, path: str) -> bool:
        """Say whether a folder is there, links followed."""
        return self._kind(path) is Kind.FOLDER

    def listdir(self, path: str) -> tuple[Entry, ...]:
        """Return the entries of a folder sorted by name, each with its kind; one scan however large it is."""
        real = self.resolve(path)
        if real not in self._listings:
            with _worded(path):
                self._listings[real] = self._sorted_entries(path, real)
        return self._listings[real]

    def walk(
        self, top: str = "/", *, skip: frozenset[str] = frozenset(), problems: list[str] | None = None
    ) -> Iterator[tuple[str, tuple[Entry, ...]]]:
        """Yield every folder below ``top`` with its entries by name, links not followed; nothing of it is kept.

        Folders in ``skip`` are left out whole. What cannot be listed is told in ``problems``; ReadError once more
        than two million entries were met.
        """
        pending, count = [top.rstrip("/")], 0
        while pending:
            folder = pending.pop()
            try:
                with _worded(folder or "/"):
                    entries = sorted(self._entries(folder or "/"))
            except ReadError as error:
                if problems is not None:
                    problems.append(str(error))
                continue
            count += len(entries)
            if count > MAX_WALKED:
                raise ReadError(top, f"more than {MAX_WALKED} files below it")
            yield folder or "/", tuple(entries)
            below = [f"{folder}/{entry.name}" for entry in entries if entry.kind is Kind.FOLDER]
            pending += [path for path in reversed(below) if path not in skip]

    def size(self, path: str) -> int:
        """Return the size in bytes of the regular file, links followed."""
        real = self.resolve(path)
        if self._real_kind(real) is not Kind.FILE:
            raise ReadError(path, "not a regular file")
        with _worded(path):
            return self._size(real)

    def in_reading_order(self, paths: Iterable[str]) -> list[str]:
        """Return the paths in the order in which they are cheapest to read; here any order is as good."""
        return list(paths)

    def open(self, path: str) -> BinaryIO:
        """Return the regular file open for reading and seeking; a FIFO or device is refused unopened."""
        real = self.resolve(path)
        kind = self._real_kind(real)
        if kind is not Kind.FILE:
            raise ReadError(path, f"not a regular file but a {kind.value}")
        with _worded(path):
            return self._open(real)

    def read_start(self, path: str, size_bytes: int) -> bytes:
        """Return at most the first ``size_bytes`` bytes."""
        with self.open(path) as file, _worded(path):
            return file.read(size_bytes)

    def read_bytes(self, path: str, limit_bytes: int = TEXT_LIMIT_BYTES) -> bytes:
        """Return the whole file; ReadError when it is larger than the limit."""
        data = self.read_start(path, limit_bytes + 1)
        if len(data) > limit_bytes:
            raise ReadError(path, f"larger than the {limit_bytes} bytes that are read of such a file")
        return data

    def read_text(self, path: str, limit_bytes: int = TEXT_LIMIT_BYTES) -> str:
        """Return the whole file as text; bytes that are not UTF-8 become U+FFFD."""
        return self.read_bytes(path, limit_bytes).decode("utf-8", "replace")

    def _known_node(self, asked: str, step: str, links: int) -> Node:
        node = self._nodes.get(step)
        if node is None:
            try:
                with _worded(asked):
                    node = self._nodes[step] = self._node(step)
            except MissingError:
                if links:
                    reason = f"a link that leads to {shown(step)}, which does not exist"
                    raise MissingError(asked, reason) from None
                raise
        return node

    def _kind(self, path: str) -> Kind | None:
        try:
            return self._real_kind(self.resolve(path))
        except ReadError:
            return None

    def _real_kind(self, real: str) -> Kind:
        return self._nodes[real].kind if real != "/" else Kind.FOLDER

    def _sorted_entries(self, path: str, real: str) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        for entry in self._entries(real):
            entries.append(entry)
            if len(entries) > MAX_ENTRIES:
                raise ReadError(path, f"more than {MAX_ENTRIES} entries")
        entries.sort()
        return tuple(entries)

    def _node(self, real: str) -> Node:
        host = Path(self._base + real)
        mode = host.lstat().st_mode
        if stat.S_ISLNK(mode):
            return Node(Kind.LINK, str(os.readlink(host)))  # noqa: PTH115 - Path would normalise the text
        if stat.S_ISDIR(mode):
            return Node(Kind.FOLDER)
        return Node(Kind.FILE if stat.S_ISREG(mode) else Kind.OTHER)

    def _entries(self, real: str) -> Iterator[Entry]:
        with os.scandir(self._base + real) as scan:
            for item in scan:
                if item.is_file(follow_symlinks=False):
                    kind = Kind.FILE
                elif item.is_symlink():
                    kind = Kind.LINK
                else:
                    kind = Kind.FOLDER if item.is_dir(follow_symlinks=False) else Kind.OTHER
                yield Entry(item.name, kind)

    def _size(self, real: str) -> int:
        return Path(self._base + real).lstat().st_size

    def _open(self, real: str) -> BinaryIO:
        # Should the file be swapped after it was looked at, O_NOFOLLOW and O_NONBLOCK keep the harm small.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.fdopen(os.open(self._base + real, flags), "rb")


@contextmanager
def _worded(path: str) -> Iterator[None]:
    """Turn what the operating system says into a ReadError about ``path``."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise MissingError(path, "does not exist") from None
    except PermissionError:
        raise ReadError(path, "permission denied") from None
    except OSError as error:
        words = errno.errorcode.get(error.errno or 0, "OSError")
        raise ReadError(path, f"{error.strerror or error} ({words})") from None
    except ValueError:
        raise ReadError(path, "no valid path: it holds a zero byte or half a character") from None
