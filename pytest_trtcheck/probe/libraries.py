"""Every copy of the stack's shared libraries that a process could load, with the version of each."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pytest_trtcheck.model.facts import Copy
from pytest_trtcheck.probe.elf import Elf, read_elf
from pytest_trtcheck.probe.places import Place, Reach
from pytest_trtcheck.probe.root import Kind, ReadError, Root, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_trtcheck.model.components import Component
    from pytest_trtcheck.probe.owners import Owners

# A machine has 10 to 40 copies; one ELF file costs about 2 ms.
MAX_COPIES = 120

_LIBRARY_NAME = re.compile(r"(lib[A-Za-z0-9_]+\.so)((?:\.[0-9]{1,9}){0,6})")


class Rank(NamedTuple):
    """Order in which copies are met; the smallest wins."""

    reach: Reach
    position: int
    """Position inside the cache, or of the folder in the search."""
    newness: tuple[int, ...]
    """Negated version numbers: in one folder the newest file comes first."""


@dataclass(frozen=True)
class FoundCopy:
    """One copy with its place in the search."""

    copy: Copy
    rank: Rank
    owner: str = ""
    """``nvidia-cudnn-cu12 9.27.0.42``: the wheel or package that brought it."""


@dataclass
class _Candidate:
    """One real file and the names that lead to it."""

    component: Component
    real: str
    rank: Rank
    found_by: str
    linked: bool = False


@dataclass(frozen=True)
class FoundLibraries:
    """The copies of each component, and what stood in the way of finding more."""

    copies: Mapping[str, tuple[FoundCopy, ...]]
    problems: tuple[str, ...] = ()
    """Folders that could not be searched: a library may be in there."""
    broken: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By component: names that lead to no file."""


def find_libraries(
    root: Root,
    components: tuple[Component, ...],
    places: tuple[Place, ...],
    cached: Mapping[str, int] | None,
    owners: Owners,
) -> FoundLibraries:
    """Return every copy of the components' libraries in ``places``, the one that wins first.

    Of each component and folder only the library that comes first in the component table counts. Files that
    several names or folders lead to are one copy.
    """
    scan = _Scan(root, components, cached)
    for position, place in enumerate(places):
        scan.look_in(place, position)
    copies: dict[str, list[FoundCopy]] = {}
    for candidate in sorted(scan.candidates.values(), key=lambda candidate: candidate.rank)[:MAX_COPIES]:
        copies.setdefault(candidate.component.key, []).append(_read_copy(root, candidate, owners))
    if len(scan.candidates) > MAX_COPIES:
        scan.problems.append(f"{len(scan.candidates)} library copies found, only the first {MAX_COPIES} were read")
    return FoundLibraries(
        {key: tuple(sorted(found, key=lambda copy: copy.rank)) for key, found in copies.items()},
        tuple(scan.problems),
        {key: tuple(found) for key, found in scan.broken.items()},
    )


class _Scan:
    """State of one search through all places."""

    def __init__(self, root: Root, components: tuple[Component, ...], cached: Mapping[str, int] | None) -> None:
        self.root = root
        self.table = {
            name: (component, order) for component in components for order, name in enumerate(component.libraries)
        }
        self.cached = self._with_real_folders(cached)
        self.candidates: dict[str, _Candidate] = {}
        self.problems: list[str] = []
        self.broken: dict[str, list[str]] = {}

    def look_in(self, place: Place, position: int) -> None:
        try:
            entries = self.root.listdir(place.folder)
        except ReadError as error:
            self.problems.append(str(error))
            return
        first: dict[str, int] = {}
        matches: list[tuple[int, Component, str]] = []
        for name, kind in entries:
            # Nearly all of 10,000 names end here, so the costly match comes last.
            row = self.table.get(name[: name.find(".so") + 3])
            if row is None or kind is Kind.FOLDER or not _LIBRARY_NAME.fullmatch(name):
                continue
            component, order = row
            first[component.key] = min(order, first.get(component.key, order))
            matches.append((order, component, name))
        for order, component, name in matches:
            if order == first[component.key]:
                self._add(place, position, component, name)

    def _add(self, place: Place, position: int, component: Component, name: str) -> None:
        path = f"{place.folder.rstrip('/')}/{name}"
        try:
            real = self.root.resolve(path)
        except ReadError as error:
            self.broken.setdefault(component.key, []).append(str(error))
            return
        if not self.root.is_file(real):
            self.broken.setdefault(component.key, []).append(f"{shown(path)}: not a regular file")
            return
        rank, found_by = self._rank(place, position, path, real)
        known = self.candidates.get(real)
        if known is None:
            known = self.candidates[real] = _Candidate(component, real, rank, found_by)
        elif rank[:2] < known.rank[:2]:
            known.rank, known.found_by = rank, found_by
        known.linked |= real.rpartition("/")[2] != name

    def _rank(self, place: Place, position: int, path: str, real: str) -> tuple[Rank, str]:
        numbers = tuple(-int(part) for part in _suffix(real).split(".") if part)
        if self.cached is None or place.reach not in {Reach.CACHE, Reach.DEFAULT, Reach.UNSEARCHED}:
            return Rank(place.reach, position, numbers), place.found_by
        if path in self.cached:
            return Rank(Reach.CACHE, self.cached[path], numbers), "ld.so.cache"
        if place.is_default:
            return Rank(Reach.DEFAULT, position, numbers), "default folder"
        found_by = "folder of ld.so.cache, file not in it" if place.reach is Reach.CACHE else place.found_by
        return Rank(Reach.UNSEARCHED, position, numbers), found_by

    def _with_real_folders(self, cached: Mapping[str, int] | None) -> Mapping[str, int] | None:
        """Return the cache with links in the folders resolved, for names of the table only."""
        if cached is None:
            return None
        paths: dict[str, int] = {}
        for path, position in cached.items():
            folder, _, name = path.rpartition("/")
            match = _LIBRARY_NAME.fullmatch(name)
            if not match or match[1] not in self.table:
                continue
            try:
                paths.setdefault(f"{self.root.resolve(folder).rstrip('/')}/{name}", position)
            except ReadError:
                # The cache names a folder that is gone: nothing to find there.
                continue
        return paths


def _read_copy(root: Root, candidate: _Candidate, owners: Owners) -> FoundCopy:
    real, rank, note = candidate.real, candidate.rank, ""
    elf: Elf | None = None
    try:
        elf = read_elf(root, real)
    except ReadError as error:
        note = error.reason
    if elf and elf.bits != 64:
        # The loader passes over files of another word size.
        rank, note = rank._replace(reach=Reach.SPECIAL), f"a {elf.bits}-bit library, passed over by 64-bit programs"
    owner = owners.owner_of(candidate.component, real)
    version, how = _version(real, candidate.linked, elf)
    if owner.version:
        version, how = owner.version, owner.how
    copy = Copy(
        path=shown(real),
        version=version,
        how=how,
        found_by=candidate.found_by,
        soname=elf.soname if elf else None,
        needed=elf.needed if elf else (),
        note="; ".join(filter(None, (note, owner.note))),
    )
    return FoundCopy(copy, rank, owner.label)


def _suffix(real: str) -> str:
    """Return ``9.10.2`` of ``libcudnn.so.9.10.2``; empty for any other kind of name."""
    match = _LIBRARY_NAME.fullmatch(real.rpartition("/")[2])
    return match[2].lstrip(".") if match else ""


def _version(real: str, linked: bool, elf: Elf | None) -> tuple[str | None, str]:
    """Return the version that the file's name carries, if it says more than the SONAME does."""
    suffix = _suffix(real)
    if "." in suffix and not (elf and elf.soname == real.rpartition("/")[2]):
        return suffix, "link target" if linked else "file name"
    return None, "SONAME" if elf and elf.soname else "file name"
