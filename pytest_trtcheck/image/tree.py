"""The files of an image: layers laid one over the other, whiteouts and hard links applied, nothing unpacked.

Source: the OCI image specification, layer.md ("Applying Changesets", "Whiteouts").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_trtcheck.image import tar
from pytest_trtcheck.image.limits import MAX_PATH
from pytest_trtcheck.probe.root import MAX_LINKS, shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

OPAQUE = ".wh..wh..opq"
WHITEOUT = ".wh."
_MAX_NOTES = 20


class File(NamedTuple):
    """Where the content of a regular file lies."""

    layer: int
    offset: int
    """Below 0 for a sparse file, whose content is not read."""
    size: int


class Special:
    """A device, FIFO or socket."""


SPECIAL = Special()
Node: TypeAlias = "dict[str, Node] | str | File | Special"
"""A folder, the text of a link, a file, or what is none of these."""


class Tree:
    """All files of an image by path."""

    def __init__(self) -> None:
        self.top: dict[str, Node] = {}
        self.notes: list[str] = []
        """What was passed over, in words; the first twenty."""
        self._last: tuple[str, dict[str, Node]] | None = None

    def apply(self, number: int, members: Iterable[tar.Member], name: str) -> None:
        """Lay a layer over what is there.

        Whiteouts come first wherever they stand in the archive: they hide what lower layers brought and never what
        comes beside them.
        """
        entries: list[tuple[str, tar.Member]] = []
        whiteouts: list[str] = []
        for member in members:
            path = _clean(member.name)
            if path is None:
                self._note(f"{name}: passed over {shown(member.name[:200])!r}, which no path of an image can be")
            elif path.rpartition("/")[2].startswith(WHITEOUT):
                whiteouts.append(path)
            else:
                entries.append((path, member))
        for path in whiteouts:
            self._hide(path)
        self._last = None
        for path, member in entries:
            self._put(path, member, number, name)

    def find(self, path: str) -> Node | None:
        """Return what lies at a path whose folders are no links; None when nothing does."""
        node: Node | None = self.top
        for part in path.split("/"):
            if not part:
                continue
            if not isinstance(node, dict):
                return None
            node = node.get(part)
        return node

    def _hide(self, path: str) -> None:
        parent, _, name = path.rpartition("/")
        folder = self._folder(parent, make=False)
        if folder is None:
            return
        if name == OPAQUE:
            folder.clear()
        else:
            folder.pop(name[len(WHITEOUT) :], None)

    def _put(self, path: str, member: tar.Member, number: int, layer: str) -> None:
        parent, _, name = path.rpartition("/")
        if not name:
            return  # The root itself.
        folder = self._parent(parent)
        node = self._node(member, number) if folder is not None else None
        if folder is None or node is None:
            why = f"a hard link to {shown(member.target[:200])!r}, which is no file here" if folder is not None else (
                "a folder of its path is a file or a link that leads nowhere"
            )  # fmt: skip
            self._note(f"{layer}: passed over {shown(path)!r}: {why}")
            return
        old = folder.get(name)
        if isinstance(node, dict) and isinstance(old, dict):
            return
        if isinstance(old, (dict, str)):
            self._last = None  # What it remembers may lie below the old one.
        folder[name] = node

    def _node(self, member: tar.Member, number: int) -> Node | None:
        if member.kind is tar.FILE:
            return File(number, member.offset, member.size)
        if member.kind is tar.FOLDER:
            return {}
        if member.kind is tar.LINK:
            return member.target if len(member.target) <= MAX_PATH and "\0" not in member.target else None
        if member.kind is tar.SPARSE:
            return File(number, -1, member.size)
        if member.kind is tar.HARD_LINK:
            target = _clean(member.target)
            parent, _, name = (target or "").rpartition("/")
            folder = self._folder(parent, make=False) if target else None
            node = folder.get(name) if folder is not None else None
            return None if isinstance(node, dict) else node
        return SPECIAL

    def _parent(self, path: str) -> dict[str, Node] | None:
        """Return the folder at ``path``; archives list the files of a folder together, so the last one is kept."""
        if self._last is not None and self._last[0] == path:
            return self._last[1]
        folder = self._folder(path, make=True)
        if folder is not None:
            self._last = (path, folder)
        return folder

    def _folder(self, path: str, *, make: bool) -> dict[str, Node] | None:
        """Return the folder at a path, links followed inside the image only; None when there can be none."""
        trail = [self.top]
        pending, links = path.split("/")[::-1], 0
        while pending:
            part = pending.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                if len(trail) > 1:
                    trail.pop()
                continue
            node = trail[-1].get(part)
            if node is None and make:
                node = trail[-1][part] = {}
            if isinstance(node, dict):
                trail.append(node)
            elif isinstance(node, str) and links < MAX_LINKS:
                links += 1
                if node.startswith("/"):
                    del trail[1:]
                pending.extend(reversed(node.split("/")))
            else:
                return None
        return trail[-1]

    def _note(self, words: str) -> None:
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(words)


def _clean(name: str) -> str | None:
    """Return the path without a leading slash; None for one that leaves the image or that no system call takes."""
    if name.startswith("./"):
        name = name[2:]
    name = name.strip("/")
    if len(name) > MAX_PATH or "\0" in name:
        return None
    if "//" not in name and "./" not in name and not name.endswith((".", "..")):
        return name
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)
