"""From the archives of layers to a root: each is read once, from its beginning to its end."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pytest_trtcheck.errors import ImageError
from pytest_trtcheck.image import gzip_source, tar, zstd_source
from pytest_trtcheck.image.gzip_source import GzipSource
from pytest_trtcheck.image.keep import Piece, pieces_of
from pytest_trtcheck.image.layered_root import LayeredRoot
from pytest_trtcheck.image.limits import MAX_LAYERS
from pytest_trtcheck.image.tree import Tree
from pytest_trtcheck.image.unpacked import Unpacked
from pytest_trtcheck.image.zstd_source import ZstdSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_trtcheck.image.limits import Budget
    from pytest_trtcheck.image.source import Source


@dataclass
class Indexed:
    """A layer whose entries are known."""

    source: Source
    """Unpacked."""
    members: list[tar.Member]
    kept: dict[int, list[Piece]] = field(default_factory=dict)
    """Pieces of files by the offset of the file."""
    notes: list[str] = field(default_factory=list)
    digest: str = ""
    """Of the unpacked layer; empty for a plain one, of which the headers alone are read."""


def unpacked(source: Source) -> Source:
    """Return a source as it is when unpacked, by its first bytes."""
    start = source.read_at(0, 4)
    if start.startswith(gzip_source.MAGIC):
        return GzipSource(source)
    if start == zstd_source.MAGIC:
        return ZstdSource(source)
    return source


def index(packed: Source, budget: Budget) -> Indexed:
    """Read the headers of a layer; ImageError when it is no tar archive or a damaged one."""
    source = unpacked(packed)
    if isinstance(source, Unpacked):
        source.hash_it()
    if not tar.is_tar(source.read_at(0, 512)):
        raise ImageError(packed.name, "expected a tar archive, plain or packed with gzip or zstd; found something else")
    found = Indexed(source, [])
    # Where every byte passes by anyway, what is certain to be asked for is kept.
    is_packed = isinstance(source, Unpacked)
    for member in tar.members(source, found.notes):
        found.members.append(member)
        budget.count(packed.name, len(member.name) + len(member.target))
        if is_packed and (pieces := pieces_of(source, member, budget)):
            found.kept[member.offset] = pieces
    if isinstance(source, Unpacked):
        found.digest = source.digest()
    return found


class Laid(NamedTuple):
    """Layers laid over each other."""

    root: LayeredRoot
    notes: list[str]
    """What was passed over, in words."""
    checked: int
    """How many layers have the content that their digest says; those that differ are refused."""


def layered_root(layers: Sequence[Callable[[], Indexed]], diff_ids: Sequence[str] = (), *, at_once: int = 1) -> Laid:
    """Lay the layers over each other, the lowest first; ImageError for one that is not what its digest says.

    ``diff_ids`` are the digests of the unpacked layers, by the config; ``at_once`` layers are unpacked side by side.
    """
    if len(layers) > MAX_LAYERS:
        raise ImageError("image", f"{len(layers)} layers; at most {MAX_LAYERS} are read")
    tree = Tree()
    notes: list[str] = []
    sources: list[Source] = []
    kept: dict[tuple[int, int], list[Piece]] = {}
    checked = 0
    for number, layer in enumerate(_in_turn(layers, at_once)):
        stated = diff_ids[number] if number < len(diff_ids) else ""
        if layer.digest and stated:
            if layer.digest != stated:
                raise ImageError(
                    layer.source.name, f"its content is {layer.digest}, the config says {stated}: the image is damaged"
                )
            checked += 1
        else:
            # The content of the others is known to be whole: what their tar archive lacks says nothing.
            notes += layer.notes
        tree.apply(number, layer.members, layer.source.name)
        sources.append(layer.source)
        kept.update({(number, offset): pieces for offset, pieces in layer.kept.items()})
    return Laid(LayeredRoot(tree, sources, kept), [*notes, *tree.notes], checked)


def _in_turn(layers: Sequence[Callable[[], Indexed]], at_once: int) -> Iterator[Indexed]:
    """Yield the layers in their order, a few of them read ahead: unpacking leaves the interpreter to other threads."""
    if at_once < 2 or len(layers) < 2:
        yield from (make() for make in layers)
        return
    running: deque[Future[Indexed]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            for make in layers:
                running.append(pool.submit(make))
                if len(running) > at_once:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for one in running:
                one.cancel()
