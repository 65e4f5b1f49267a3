"""The named files of an archive or layout: manifests, configs, blobs."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from typing import TYPE_CHECKING, Any, Protocol

from pytest_trtcheck.errors import ImageError
from pytest_trtcheck.image import tar
from pytest_trtcheck.image.layers import Indexed, index
from pytest_trtcheck.image.limits import MAX_DOCUMENT_BYTES, Budget
from pytest_trtcheck.image.source import FileSource, Part
from pytest_trtcheck.probe.root import ReadError, shown

if TYPE_CHECKING:
    from pytest_trtcheck.image.source import Source
    from pytest_trtcheck.probe.root import Root

_MAX_LINKS = 8
CORES = min(4, os.cpu_count() or 1)


class Store(Protocol):
    """Where the parts of images lie."""

    name: str
    layers_at_once: int
    """How many layers may be read side by side."""

    def source(self, path: str) -> Source | None:
        """Return a file by its path; None when there is none."""

    def layer(self, path: str) -> Indexed | None:
        """Return a layer by its path, its entries known; None when there is none."""


class FolderStore:
    """A folder of this machine, read through a root: links in it lead nowhere else."""

    def __init__(self, root: Root, name: str) -> None:
        self.name = name
        self._root = root
        self.opened: list[FileSource] = []
        self.layers_at_once = CORES
        self._budget = Budget()

    def source(self, path: str) -> Source | None:
        """Return a file of the folder."""
        if not self._root.is_file(f"/{path}"):
            return None
        try:
            with self._root.open(f"/{path}") as file:
                descriptor = os.dup(file.fileno())
        except ReadError as error:
            raise ImageError(self.name, str(error)) from None
        self.opened.append(FileSource(descriptor, f"{self.name}/{shown(path)}"))
        return self.opened[-1]

    def layer(self, path: str) -> Indexed | None:
        """Return a layer of the folder."""
        source = self.source(path)
        return index(source, self._budget) if source is not None else None


class TarStore:
    """An archive. A packed one is passed over once: its layers are read on the way."""

    def __init__(self, source: Source, *, is_packed: bool) -> None:
        """Read the headers; ImageError for a damaged archive."""
        self.name = source.name
        self.notes: list[str] = []
        # What is unpacked has few places to read from at once, and its layers were all passed by then.
        self.layers_at_once = 1 if is_packed else CORES
        self._budget = Budget()
        self._source = source
        self._members: dict[str, tar.Member] = {}
        self._passed: dict[str, Indexed] = {}
        for member in tar.members(source, self.notes):
            self._budget.count(self.name, len(member.name) + len(member.target))
            path = posixpath.normpath(member.name).lstrip("/")
            self._members[path] = member
            if is_packed and member.kind is tar.FILE and _may_be_layer(source, member):
                self._passed[path] = index(self._part(path, member), self._budget)

    @property
    def paths(self) -> frozenset[str]:
        """Paths of all entries."""
        return frozenset(self._members)

    def source(self, path: str) -> Source | None:
        """Return a file of the archive."""
        path = self._followed(path)
        member = self._members.get(path)
        return self._part(path, member) if member is not None and member.kind is tar.FILE else None

    def layer(self, path: str) -> Indexed | None:
        """Return a layer of the archive."""
        found = self._passed.pop(self._followed(path), None)
        if found is not None:
            return found
        source = self.source(path)
        return index(source, self._budget) if source is not None else None

    def _part(self, path: str, member: tar.Member) -> Part:
        return Part(self._source, member.offset, member.size, f"{self.name}: {shown(path)}")

    def _followed(self, path: str) -> str:
        """Return the path of the file that a link leads to: docker and skopeo link layers that images share."""
        path = posixpath.normpath(path).lstrip("/")
        for _ in range(_MAX_LINKS):
            member = self._members.get(path)
            if member is None or member.kind not in {tar.LINK, tar.HARD_LINK}:
                return path
            base = posixpath.dirname(path) if member.kind is tar.LINK else ""
            path = posixpath.normpath(posixpath.join("/", base, member.target)).lstrip("/")
        raise ImageError(self.name, f"the links of {shown(path)} form a loop")


def document(store: Store, path: str, digest: str = "") -> Any:
    """Return a JSON document; ImageError when it is missing, too large, no JSON, or not what its digest says."""
    source = store.source(path)
    where = f"{store.name}: {shown(path)}"
    if source is None:
        raise ImageError(where, "missing from the image")
    data = source.read_at(0, MAX_DOCUMENT_BYTES + 1)
    if len(data) > MAX_DOCUMENT_BYTES:
        raise ImageError(where, f"larger than the {MAX_DOCUMENT_BYTES} bytes that are read of such a document")
    if digest and f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
        raise ImageError(where, f"its content is not what its digest {digest} says: the image is damaged")
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ImageError(where, "expected a JSON document, found something else") from None


def digest_of(store: Store, path: str) -> str:
    """Return the SHA-256 digest of a small file."""
    source = store.source(path)
    data = source.read_at(0, MAX_DOCUMENT_BYTES) if source else b""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _may_be_layer(source: Source, member: tar.Member) -> bool:
    if member.size < 2:
        return False
    start = source.read_at(member.offset, min(512, member.size))
    return start[:2] == b"\x1f\x8b" or start[:4] == b"\x28\xb5\x2f\xfd" or tar.is_tar(start)
