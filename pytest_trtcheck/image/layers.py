"""From the archives of layers to a root: each is read once, from its beginning to its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_trtcheck.errors import ImageError
from pytest_trtcheck.image import gzip_source, tar, zstd_source
from pytest_trtcheck.image.gzip_source import GzipSource
from pytest_trtcheck.image.layered_root import LayeredRoot
from pytest_trtcheck.image.limits import MAX_LAYERS
from pytest_trtcheck.image.tree import Tree
from pytest_trtcheck.image.unpacked import Unpacked
from pytest_trtcheck.image.zstd_source import ZstdSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_trtcheck.image.source import Source

KEPT_FILE_BYTES = 256 << 10
KEPT_STATUS_BYTES = 16 << 20
KEPT_LAYER_BYTES = 64 << 20
"""Small files that probes ask for by name are kept while a compressed layer passes by, up to this much of a layer."""

_KEPT_ENDS = (
    "/METADATA", "/PKG-INFO", "/WHEEL", "/INSTALLER", "/RECORD", "/direct_url.json", "/version.json", "/version.txt",
    "/version.py", "/TRITON_VERSION", "/pyvenv.cfg", "/config.json", ".pc", ".conf", "/os-release", "/ld.so.cache",
    "/environment", ".egg-link", ".cmake",
)  # fmt: skip
_STATUS = "var/lib/dpkg/status"


@dataclass
class Indexed:
    """A layer whose entries are known."""

    source: Source
    """Unpacked."""
    members: list[tar.Member]
    kept: dict[int, bytes] = field(default_factory=dict)
    """Contents by offset."""
    notes: list[str] = field(default_factory=list)


def unpacked(source: Source) -> Source:
    """Return a source as it is when unpacked, by its first bytes."""
    start = source.read_at(0, 4)
    if start.startswith(gzip_source.MAGIC):
        return GzipSource(source)
    if start == zstd_source.MAGIC:
        return ZstdSource(source)
    return source


def index(packed: Source) -> Indexed:
    """Read the headers of a layer; ImageError when it is no tar archive or a damaged one."""
    source = unpacked(packed)
    if not tar.is_tar(source.read_at(0, 512)):
        raise ImageError(packed.name, "expected a tar archive, plain or packed with gzip or zstd; found something else")
    found = Indexed(source, [])
    # Where every byte passes by anyway, what is certain to be asked for is kept.
    is_packed, left = isinstance(source, Unpacked), KEPT_LAYER_BYTES
    for member in tar.members(source, found.notes):
        found.members.append(member)
        if is_packed and member.size <= left and _is_kept(member):
            found.kept[member.offset] = source.read_at(member.offset, member.size)
            left -= member.size
    return found


def _is_kept(member: tar.Member) -> bool:
    if member.kind is not tar.FILE:
        return False
    if member.size <= KEPT_FILE_BYTES:
        return f"/{member.name}".endswith(_KEPT_ENDS)
    return member.size <= KEPT_STATUS_BYTES and member.name.endswith(_STATUS)


def layered_root(layers: Sequence[Callable[[], Indexed]]) -> tuple[LayeredRoot, list[str]]:
    """Lay the layers over each other, the lowest first; return the root and what was passed over, in words."""
    if len(layers) > MAX_LAYERS:
        raise ImageError("image", f"{len(layers)} layers; at most {MAX_LAYERS} are read")
    tree = Tree()
    notes: list[str] = []
    sources: list[Source] = []
    kept: dict[tuple[int, int], bytes] = {}
    for number, make in enumerate(layers):
        layer = make()
        tree.apply(number, layer.members, layer.source.name)
        sources.append(layer.source)
        kept.update({(number, offset): content for offset, content in layer.kept.items()})
        notes += layer.notes
    return LayeredRoot(tree, sources, kept), [*notes, *tree.notes]
