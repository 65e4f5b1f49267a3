"""A root whose files lie in the layers of an image."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, BinaryIO, cast

from pytest_trtcheck.image.keep import Patched, Piece
from pytest_trtcheck.image.source import Part, Source, reader
from pytest_trtcheck.image.tree import File, Tree
from pytest_trtcheck.probe.root import Entry, Kind, Node, ReadError, Root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


class LayeredRoot(Root):
    """Reads straight from the layers; links lead nowhere but into the image."""

    def __init__(self, tree: Tree, layers: Sequence[Source], kept: Mapping[tuple[int, int], list[Piece]]) -> None:
        """Take the files by path, the layers that hold them, and what was kept of files, by layer and offset."""
        # Below a device nothing lies: should a way to this machine's files be left open, it leads nowhere.
        super().__init__(os.devnull)
        self._tree, self._layers, self._kept = tree, layers, kept

    def in_reading_order(self, paths: Iterable[str]) -> list[str]:
        """Return the paths as they lie in the archive, what is not there last."""

        def place(path: str) -> tuple[int, int]:
            try:
                node = self._tree.find(self.resolve(path))
            except ReadError:
                node = None
            return (node.layer, node.offset) if isinstance(node, File) else (len(self._layers), 0)

        return sorted(paths, key=place)

    def _node(self, real: str) -> Node:
        node = self._tree.find(real)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return Node(_kind(node), node if isinstance(node, str) else "")

    def _entries(self, real: str) -> Iterator[Entry]:
        folder = self._tree.find(real)
        if not isinstance(folder, dict):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return (Entry(name, _kind(node)) for name, node in folder.items())

    def _size(self, real: str) -> int:
        return self._file(real).size

    def _open(self, real: str) -> BinaryIO:
        file = self._file(real)
        if file.offset < 0:
            raise OSError(errno.ENOTSUP, "a sparse file in the archive, which is not read")
        layer = self._layers[file.layer]
        part: Source = Part(layer, file.offset, file.size, layer.name)
        kept = self._kept.get((file.layer, file.offset))
        return cast("BinaryIO", reader(Patched(part, kept) if kept else part, file.size))

    def _file(self, real: str) -> File:
        node = self._tree.find(real)
        if not isinstance(node, File):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return node


def _kind(node: object) -> Kind:
    if isinstance(node, File):
        return Kind.FILE
    if isinstance(node, dict):
        return Kind.FOLDER
    return Kind.LINK if isinstance(node, str) else Kind.OTHER
