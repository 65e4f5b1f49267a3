"""One fact per component of the table, from the distributions and the libraries that were found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.model.facts import Copy, Fact, State
from pytest_trtcheck.probe.needs import module_needs, stack_sonames
from pytest_trtcheck.probe.places import WHY, Reach
from pytest_trtcheck.probe.root import Root, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_trtcheck.model.components import Component
    from pytest_trtcheck.model.facts import Distribution
    from pytest_trtcheck.probe.distinfo import InstalledPython
    from pytest_trtcheck.probe.dpkg import Package
    from pytest_trtcheck.probe.libraries import FoundCopy, FoundLibraries

# Libraries that come with libnvinfer and are loaded by the Python bindings together with it.
_COMPANIONS = {"tensorrt": ("tensorrt", "tensorrt_plugin", "tensorrt_onnx_parser")}


@dataclass(frozen=True)
class Findings:
    """Everything the component facts are made from."""

    python: InstalledPython
    libraries: FoundLibraries
    packages: Sequence[Package]
    problems: tuple[str, ...]
    """Folders that could not be looked into: something may be in there."""


def component_fact(root: Root, component: Component, found: Findings) -> Fact:
    """Return the fact of one component: by its Python distribution where it has a module, else by its library."""
    dists = [dist for name in component.distributions for dist in found.python.named(name)]
    libraries = found.libraries.copies.get(component.key, ())
    if component.module and dists:
        return _python_fact(root, component, dists, libraries, found)
    if libraries:
        return _library_fact(root, component, dists, libraries, found)
    return _nothing_found(component, dists, found)


def _python_fact(
    root: Root,
    component: Component,
    dists: list[Distribution],
    libraries: tuple[FoundCopy, ...],
    found: Findings,
) -> Fact:
    first = dists[0]
    copies = [_dist_copy(dist) for dist in dists]
    details = _details(root, component, libraries, found, offset=len(copies))
    details["origin"] = first.origin
    if component.libraries:
        details["library"] = "found" if libraries else "missing"
    if libraries:
        details["library_copy"] = len(copies)
        details["library_why"] = _why(libraries)
    return Fact(
        component.key,
        State.FOUND,
        value=first.version or None,
        where=first.path,
        how="dist-info METADATA",
        copies=(*copies, *(library.copy for library in libraries)),
        chosen=0,
        why_chosen=_why_dist(dists),
        details=details,
    )


def _library_fact(
    root: Root,
    component: Component,
    dists: list[Distribution],
    libraries: tuple[FoundCopy, ...],
    found: Findings,
) -> Fact:
    first = libraries[0].copy
    details = _details(root, component, libraries, found, offset=0)
    if dists:
        details["distributions"] = {dist.name: dist.version for dist in reversed(dists)}
    return Fact(
        component.key,
        State.FOUND,
        value=first.version,
        where=first.path,
        how=first.how,
        copies=tuple(library.copy for library in libraries),
        chosen=0,
        why_chosen=_why(libraries),
        details=details,
    )


def _nothing_found(component: Component, dists: list[Distribution], found: Findings) -> Fact:
    key, what = component.key, _sought(component)
    broken = found.libraries.broken.get(key, ())
    half = [p for p in found.packages if component.dpkg and p.name.startswith(component.dpkg)]
    if broken:
        return Fact(key, State.UNREADABLE, reason="; ".join(broken[:3]))
    if dists:
        names = ", ".join(f"{dist.name} {dist.version}" for dist in dists)
        reason = f"{names} is installed ({dists[0].path}), but {what} was not found; install it again"
        return Fact(key, State.UNREADABLE, where=dists[0].path, reason=reason)
    if found.problems:
        more = f" and {len(found.problems) - 1} more" if len(found.problems) > 1 else ""
        reason = f"{what} was not found, but not every folder could be searched: {found.problems[0]}{more}"
        return Fact(key, State.UNREADABLE, reason=reason)
    if half:
        reason = f"dpkg lists {half[0].name} {half[0].version} as {half[0].state}, but {what} was not found"
        return Fact(key, State.UNREADABLE, where="/var/lib/dpkg/status", reason=reason)
    return Fact(key, State.ABSENT, reason=f"{what} was not found")


def _sought(component: Component) -> str:
    names = [f"a distribution {component.distributions[0]}"] if component.module else []
    names += [f"{component.libraries[0]}*"] if component.libraries else []
    return " or ".join(names)


def _details(
    root: Root, component: Component, libraries: tuple[FoundCopy, ...], found: Findings, offset: int
) -> dict[str, Any]:
    """Return the further values: who owns which file, which copy serves which SONAME, what the native parts need."""
    by_soname: dict[str, int] = {}
    for index, library in enumerate(libraries, offset):
        if library.copy.soname:
            by_soname.setdefault(library.copy.soname, index)
    owners = {library.copy.path: library.owner for library in libraries if library.owner}
    problems = list(found.libraries.broken.get(component.key, ()))
    needed: dict[str, list[str]] = {}
    for companion in _COMPANIONS.get(component.key, (component.key,) if component.libraries else ()):
        for library in found.libraries.copies.get(companion, ())[:1]:
            needed[library.copy.path] = stack_sonames(library.copy.needed)
    needed |= module_needs(root, component.key, found.python.folders, problems)
    details = {
        "by_soname": by_soname,
        "owners": owners,
        "needed": {path: names for path, names in needed.items() if names},
        "problems": problems,
    }
    return {name: value for name, value in details.items() if value}


def _why(libraries: tuple[FoundCopy, ...]) -> str:
    first, *others = libraries
    reason = WHY[first.rank.reach]
    if not others:
        aside = "; no loader searches there by itself" if first.rank.reach >= Reach.UNSEARCHED else ""
        return f"only copy, by {first.copy.found_by}{aside}"
    if others[0].rank[:2] == first.rank[:2]:
        return f"{reason}; of several in {first.copy.path.rpartition('/')[0]} the newest"
    return f"{reason}; the next one is {others[0].copy.path} ({others[0].copy.found_by})"


def _why_dist(dists: list[Distribution]) -> str:
    if len(dists) == 1:
        return "only copy"
    if dists[1].name == dists[0].name:
        return f"first on sys.path; hides {dists[1].version or dists[1].path}"
    return f"{dists[0].name} decides, before {', '.join(dict.fromkeys(dist.name for dist in dists[1:]))}"


def _dist_copy(dist: Distribution) -> Copy:
    return Copy(
        path=dist.path,
        version=dist.version or None,
        how="dist-info METADATA",
        found_by=shown(dist.path.rpartition("/")[0]),
        note=dist.note,
    )
