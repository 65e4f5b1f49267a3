"""What the dynamic loader would do: which libraries it maps for an object, and what it would find missing.

The model follows glibc (elf/dl-load.c, dl-deps.c, dl-version.c, dl-lookup.c): search order, what counts as already
loaded, version nodes, scopes. ``glibc-hwcaps`` folders, LD_AUDIT and dlmopen are no part of it.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pytest_trtcheck.binaries.objects import is_relocated, read_object
from pytest_trtcheck.binaries.search import Search
from pytest_trtcheck.binaries.surroundings import NEARBY, Surroundings
from pytest_trtcheck.probe.root import ReadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pytest_trtcheck.binaries.objects import SharedObject
    from pytest_trtcheck.binaries.search import Files
    from pytest_trtcheck.binaries.symbols import Import
    from pytest_trtcheck.probe.ldso import LoaderSearch

MAX_MAPPED = 2000


class Missing(NamedTuple):
    """A library that no place of the search has, or that is there and cannot be used."""

    library: str
    needed_by: str
    reason: str = ""
    """Why a file that was found is no use; empty when none was found."""


class MissingNode(NamedTuple):
    """A version node that the library found does not define."""

    node: str
    library: str
    """Path of the library that was found."""
    needed_by: str


class Undefined(NamedTuple):
    """A symbol that nothing in the scope of the object defines."""

    symbol: str
    needed_by: str
    node: str = ""
    library: str = ""
    """The library that the version node is asked of; empty for a symbol without version."""
    is_call: bool = False
    """Only called: with RTLD_LAZY it fails at the call instead of the load."""


@dataclass(eq=False)
class Mapped:
    """One object in the process."""

    shared: SharedObject
    real: str
    found_by: str
    """Which step of the search led to it."""
    loader: Mapped | None
    """The object that asked for it first; None for the program and for what was opened by itself."""
    names: set[str] = field(default_factory=set)
    others: tuple[str, ...] = ()
    """Further files of that name which the search would have come to later."""

    @property
    def path(self) -> str:
        """Where it was found, links not followed: ``$ORIGIN`` is this folder."""
        return self.shared.path

    def answers_to(self, name: str) -> bool:
        """Say whether the loader takes this object for ``name``."""
        return name in self.names or name == self.shared.elf.soname


@dataclass(frozen=True)
class Load:
    """What opening one object comes to."""

    path: str
    scope: tuple[Mapped, ...] = ()
    """The object and what it needs, in the loader's order; mapped only if nothing is missing."""
    missing: tuple[Missing, ...] = ()
    nodes: tuple[MissingNode, ...] = ()
    undefined: tuple[Undefined, ...] = ()
    """Empty when a library is missing: then it is not known what that would have defined."""
    assumed: tuple[str, ...] = ()
    """Libraries that were taken as present though they are not here; see Surroundings."""

    @property
    def loads(self) -> bool:
        """True when the loader would open it, as Python does, with RTLD_NOW."""
        return not (self.missing or self.nodes or self.undefined)


class Process:
    """A process as far as the loader goes: what is mapped, and what everybody can see of it."""

    def __init__(
        self,
        files: Files,
        search: LoaderSearch,
        env: Mapping[str, str],
        *,
        program: str = "",
        around: Surroundings | None = None,
    ) -> None:
        """Start ``program``, an executable, or nothing; libraries of LD_PRELOAD come with it."""
        self.files, self.around = files, around or Surroundings()
        self.search = Search(files, search)
        self.mapped: list[Mapped] = []
        self.visible: list[Mapped] = []
        """The global scope: the program, what it needs, and what was opened with RTLD_GLOBAL."""
        self._objects: dict[str, SharedObject | ReadError] = {}
        self.program: Mapped | None = None
        self.start: Load | None = None
        if program:
            self.start = self.open(program, is_global=True)
            self.program = next(iter(self.start.scope), None)
        for name in env.get("LD_PRELOAD", "").replace(":", " ").split():
            self.open(name, is_global=True)

    def branch(self) -> Process:
        """Return a copy of this process that goes its own way from here; files read are shared."""
        other = copy(self)
        other.mapped, other.visible = list(self.mapped), list(self.visible)
        return other

    def open(self, path: str, *, is_global: bool = False) -> Load:
        """Return what dlopen of ``path`` with RTLD_NOW comes to; what it maps stays mapped when it succeeds."""
        before = len(self.mapped)
        missing: list[Missing] = []
        assumed: list[str] = []
        first = self._map(path, None, missing)
        scope = self._with_needs(first, missing, assumed) if first else []
        new = self.mapped[before:]
        nodes = [] if missing else list(self._missing_nodes(new))
        undefined: list[Undefined] = []
        if not missing and not nodes:
            everyone = list(dict.fromkeys([*self.visible, *scope]))
            for mapped in reversed(new):
                undefined += self._undefined(mapped, everyone, assumed)
        load = Load(path, tuple(scope), tuple(missing), tuple(nodes), tuple(undefined), tuple(dict.fromkeys(assumed)))
        if not load.loads:
            del self.mapped[before:]
        elif is_global:
            self.visible = list(dict.fromkeys([*self.visible, *scope]))
        return load

    def _with_needs(self, first: Mapped, missing: list[Missing], assumed: list[str]) -> list[Mapped]:
        """Return the object and all it needs, breadth first."""
        scope = [first]
        seen = {id(first)}
        for mapped in scope:
            for name in mapped.shared.elf.needed:
                if self.around.bring(name) and not self._is_here(name, mapped):
                    assumed.append(name)
                    continue
                found = self._map(name, mapped, missing)
                if found is not None and id(found) not in seen and len(scope) < MAX_MAPPED:
                    seen.add(id(found))
                    scope.append(found)
        return scope

    def _is_here(self, name: str, loader: Mapped) -> bool:
        """Say whether the library is mapped, or the search would find it."""
        if name in self.around.nearby or any(mapped.answers_to(name) for mapped in self.mapped):
            return True
        return next(self.search.candidates(name, loader, self.program), None) is not None

    def _candidates(self, name: str, loader: Mapped | None) -> Iterator[tuple[str, str, str]]:
        """Yield what the search comes to, then what Python code may have opened before."""
        yield from self.search.candidates(name, loader, self.program)
        for path in self.around.nearby.get(name, ()):
            if self.files.is_file(path):
                yield path, self.files.resolve(path), NEARBY

    def _map(self, name: str, loader: Mapped | None, missing: list[Missing]) -> Mapped | None:
        known = next((mapped for mapped in self.mapped if mapped.answers_to(name)), None)
        if known is not None:
            known.names.add(name)
            return known
        reason = ""
        candidates = self._candidates(name, loader)
        for path, real, found_by in candidates:
            same = next((mapped for mapped in self.mapped if mapped.real == real), None)
            if same is not None:
                same.names.add(name)
                return same
            shared = self._object(path)
            if isinstance(shared, ReadError):
                # The loader gives up at a file that is no ELF file, and passes over one for another machine.
                reason = f"{path}: {shared.reason}"
                break
            if not self._fits(shared):
                reason = f"{path}: {shared.elf.bits}-bit for {shared.elf.machine}"
                continue
            others = tuple(dict.fromkeys(other for _, other, _ in candidates if other != real))
            mapped = Mapped(shared, real, found_by, loader, {name, path}, others)
            self.mapped.append(mapped)
            return mapped
        missing.append(Missing(name, loader.path if loader else "", reason))
        return None

    def _fits(self, shared: SharedObject) -> bool:
        elf = shared.elf
        if elf.bits != 64:
            return False
        return self.program is None or elf.machine == self.program.shared.elf.machine

    def _object(self, path: str) -> SharedObject | ReadError:
        if path not in self._objects:
            try:
                self._objects[path] = read_object(self.files, path)
            except ReadError as error:
                self._objects[path] = error
        return self._objects[path]

    def _missing_nodes(self, new: Iterable[Mapped]) -> Iterator[MissingNode]:
        for mapped in new:
            for need in mapped.shared.needs:
                library = next((other for other in self.mapped if other.answers_to(need.library)), None)
                if library is None or need.is_weak or not library.shared.nodes:
                    # An object without versions is taken with a warning.
                    continue
                if need.node not in library.shared.nodes:
                    yield MissingNode(need.node, library.path, mapped.path)

    def _undefined(self, mapped: Mapped, scope: list[Mapped], assumed: list[str]) -> list[Undefined]:
        lost = [one for one in mapped.shared.symbols.imports if not one.is_weak and not _is_defined(one, scope)]
        if assumed or self.around.system:
            lost = [one for one in lost if not self.around.define(_text(one.name), assumed, scope)]
        if not lost:
            return []
        calls = is_relocated(self.files, mapped.shared, lost)
        return [
            Undefined(
                _text(one.name),
                mapped.path,
                one.need.node if one.need else "",
                one.need.library if one.need else "",
                calls[one.position],
            )
            for one in lost
            if one.position in calls
        ]


def _is_defined(wanted: Import, scope: list[Mapped]) -> bool:
    node = wanted.need.node if wanted.need else None
    return any(mapped.shared.symbols.defines(wanted.name, node) for mapped in scope)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
