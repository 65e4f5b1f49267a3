"""What each package of a stack would come to when it is imported, by the model of the loader: the fact ``loading``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.binaries.blame import blamed
from pytest_trtcheck.binaries.closure import Process
from pytest_trtcheck.binaries.objects import python_of
from pytest_trtcheck.binaries.opened import PACKAGES, SERVER, Package, backends, files_of
from pytest_trtcheck.binaries.surroundings import Surroundings
from pytest_trtcheck.model.facts import Fact, State
from pytest_trtcheck.probe.elf import read_elf
from pytest_trtcheck.probe.ldso import loader_search
from pytest_trtcheck.probe.providers import provider_of_library, provider_of_symbol
from pytest_trtcheck.probe.root import ReadError, Root, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pytest_trtcheck.binaries.closure import Load, Mapped, Undefined
    from pytest_trtcheck.binaries.opened import File

KEY = "loading"
MAX_TOLD = 12
"""Missing things told of one file; the number of all is told as well."""
_MAX_NEARBY = 20_000
_HOW = "read as the dynamic loader reads them; nothing was loaded"


@dataclass(frozen=True)
class Python:
    """The interpreter that imports."""

    program: str = ""
    """Its executable; empty when it is not in this root."""
    version: str = ""
    """``3.12``; empty when unknown."""
    sites: tuple[str, ...] = ()
    """Where an import looks, in order."""


def probe_loading(root: Root, env: Mapping[str, str], python: Python, libraries: Iterable[str]) -> Fact:
    """Return what opening the native parts of every package comes to; ``libraries`` are all the shared objects."""
    try:
        return _Loading(root, env, python, libraries).fact()
    except ReadError as error:
        return Fact(KEY, State.UNREADABLE, reason=str(error))


@dataclass
class _Loading:
    root: Root
    env: Mapping[str, str]
    python: Python
    libraries: Iterable[str]
    modules: list[dict[str, Any]] = field(default_factory=list)
    copies: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    after: dict[str, Process] = field(default_factory=dict)
    """The process in which a package was imported, by its key."""

    def fact(self) -> Fact:
        """Return all that was found; ABSENT when there is nothing to open."""
        if self._is_foreign():
            return Fact(KEY, State.NOT_PROBED, reason="its loader is not that of glibc")
        around = Surroundings(system=not self._is_whole(), nearby=dict(self._nearby()))
        start = Process(self.root, self._search(), self.env, program=self.python.program, around=around)
        for package in PACKAGES:
            self._import(package, start)
        if self.root.is_file(SERVER):
            self._serve(replace(around, nearby={}))
        if not self.modules:
            return Fact(KEY, State.ABSENT, reason="no native part of a known package was found")
        failing = sum(not module["loads"] for module in self.modules)
        details = {"modules": self.modules, "copies": list(self.copies.values()), "system": not around.system}
        value = f"{len(self.modules)} files, {failing} would not load"
        return Fact(KEY, State.FOUND, value, shown(self.python.program), _HOW, details=details)

    def _search(self) -> Any:
        return loader_search(self.root, self.env)

    def _is_whole(self) -> bool:
        """Say whether this is a system with a C library and the interpreter in it."""
        search = self._search()
        places = [folder.path for folder in search.folders]
        has_libc = any(self.root.is_file(f"{folder}/libc.so.6") for folder in places)
        return has_libc and bool(self.python.program or not self.python.sites)

    def _is_foreign(self) -> bool:
        if not self.python.program:
            return False
        try:
            return any("musl" in name for name in read_elf(self.root, self.python.program).needed)
        except ReadError:
            return False

    def _nearby(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield file names below the site folders, with their paths: what Python code may open by itself."""
        found: dict[str, list[str]] = {}
        for path in self.libraries:
            if any(path.startswith(f"{site}/") for site in self.python.sites):
                found.setdefault(path.rpartition("/")[2], []).append(path)
            if len(found) > _MAX_NEARBY:
                break
        yield from ((name, tuple(paths)) for name, paths in found.items())

    def _import(self, package: Package, start: Process) -> None:
        files = list(files_of(self.root, package, self.python.sites))
        if not any(not file.part.is_tried for file in files):
            return
        before = [self.after[key] for key in package.after if key in self.after]
        process = self._joined(before, start)
        for file in _for_this_python(files, self.python.version):
            branch = process if file.part.is_essential or file.part.is_tried else process.branch()
            load = branch.open(file.path, is_global=file.part.is_global)
            if not file.part.is_tried:
                self._tell(package.key, file, load, branch)
        for wrong in _for_another_python(files, self.python.version):
            self.modules.append(_described(package.key, wrong, self.python.version) | {"loads": False})
        self.after[package.key] = process

    def _joined(self, before: Sequence[Process], start: Process) -> Process:
        """Return a process that has imported all of these, in their order."""
        process = (before[0] if before else start).branch()
        for other in before[1:]:
            have = {mapped.real for mapped in process.mapped}
            process.mapped += [mapped for mapped in other.mapped if mapped.real not in have]
            process.visible = list(dict.fromkeys([*process.visible, *other.visible]))
        return process

    def _serve(self, around: Surroundings) -> None:
        process = Process(self.root, self._search(), self.env, program=SERVER, around=around)
        files = list(backends(self.root))
        if process.start is not None:
            self._add("triton_server", {"path": SERVER, "essential": True}, process.start, process)
        for file in files:
            branch = process.branch()
            self._tell("triton_server", file, branch.open(file.path), branch)

    def _tell(self, key: str, file: File, load: Load, process: Process) -> None:
        self._add(key, _described(key, file, self.python.version), load, process)

    def _add(self, key: str, words: dict[str, Any], load: Load, process: Process) -> None:
        self.modules.append({"component": key, **words, "loads": load.loads, **_missing(load, process)})
        for mapped in load.scope:
            self._note_copies(key, mapped)

    def _note_copies(self, key: str, mapped: Mapped) -> None:
        family = provider_of_library(mapped.path)
        if mapped.others and family:
            others = [shown(path) for path in mapped.others[:MAX_TOLD]]
            self.copies.setdefault(
                (family, mapped.real),
                {"component": family, "taken": shown(mapped.real), "by": mapped.found_by, "for": key, "others": others},
            )


def _described(key: str, file: File, version: str) -> dict[str, Any]:
    built_for = python_of(file.path)
    words: dict[str, Any] = {"component": key, "path": shown(file.path), "essential": file.part.is_essential}
    if built_for:
        words |= {"python": built_for, "interpreter": version}
    return words


def _missing(load: Load, process: Process) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if load.missing:
        told["missing"] = [
            {"library": shown(one.library), "needed_by": shown(one.needed_by or load.path), "reason": shown(one.reason)}
            for one in load.missing[:MAX_TOLD]
        ]
    if load.nodes:
        told["nodes"] = [
            {"node": shown(one.node), "library": shown(one.library), "needed_by": shown(one.needed_by)}
            for one in load.nodes[:MAX_TOLD]
        ]
    if load.undefined:
        told["undefined"] = [blamed(one, load, process) for one in _of_each(load.undefined)[:MAX_TOLD]]
        told["undefined_count"] = len(load.undefined)
    if load.assumed:
        told["assumed"] = list(load.assumed[:MAX_TOLD])
    return told


def _of_each(undefined: Sequence[Undefined]) -> list[Undefined]:
    """Return the first symbol of each provider, then the second: many of one must not hide the others."""
    seen: Counter[str] = Counter()
    places = []
    for one in undefined:
        provider = provider_of_symbol(one.symbol)
        places.append((seen[provider], one))
        seen[provider] += 1
    return [one for _, one in sorted(places, key=lambda pair: pair[0])]


def _fits(file: File, version: str) -> bool:
    built_for = python_of(file.path)
    return not built_for or not version or built_for in {"abi3", version}


def _for_this_python(files: Iterable[File], version: str) -> list[File]:
    return [file for file in files if _fits(file, version)]


def _for_another_python(files: Sequence[File], version: str) -> Iterator[File]:
    """Yield modules that are there for other Pythons only: a package may bring one for each."""
    stems = {_stem(file) for file in _for_this_python(files, version)}
    for file in files:
        if not _fits(file, version) and _stem(file) not in stems:
            yield file


def _stem(file: File) -> str:
    folder, _, name = file.path.rpartition("/")
    return f"{folder}/{name.partition('.')[0]}"
