"""Which wheel or Debian package brought a library file, and so its full version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_trtcheck.probe import dpkg
from pytest_trtcheck.probe.root import ReadError, Root

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_trtcheck.model.components import Component
    from pytest_trtcheck.model.facts import Distribution
    from pytest_trtcheck.probe.distinfo import InstalledPython

RECORD_LIMIT_BYTES = 8 << 20


@dataclass(frozen=True)
class Owner:
    """Who brought a file; all empty when nobody is known."""

    label: str = ""
    version: str = ""
    how: str = ""
    """``wheel metadata``, ``dpkg`` or ``rpm``."""
    note: str = ""


class Owners:
    """Answers who brought a file, from what is installed."""

    def __init__(
        self,
        root: Root,
        python: InstalledPython,
        packages: Sequence[dpkg.Package],
        rpm_libraries: Mapping[str, dpkg.Package],
    ) -> None:
        """Take the installed distributions and packages, and by path what rpm put on disk."""
        self._root = root
        self._python = python
        self._rpm_libraries = rpm_libraries
        self._packages = [package for package in packages if package.is_installed]

    def owner_of(self, component: Component, path: str) -> Owner:
        """Return the owner of the library of ``component`` at ``path``, wheels asked before packages."""
        for site in self._python.folders:
            if path.startswith(f"{site}/"):
                return self._wheel_owner(component, site, path[len(site) + 1 :])
        names = tuple(component.dpkg)
        candidates = [package for package in self._packages if names and package.name.startswith(names)]
        package = dpkg.owner_of(self._root, candidates, (path,))
        if package is not None:
            return Owner(f"{package.name} {package.version}", package.upstream, "dpkg")
        by_rpm = next(filter(None, map(self._rpm_libraries.get, dpkg.spellings(path))), None)
        if names and by_rpm is not None and by_rpm.name.startswith(names):
            return Owner(f"{by_rpm.name} {by_rpm.version}", by_rpm.upstream, "rpm")
        return Owner()

    def _wheel_owner(self, component: Component, site: str, inside: str) -> Owner:
        candidates = self._candidates(component, site, inside.partition("/")[0])
        if len(candidates) > 1:
            return self._by_record(candidates, f"{site}/{inside}", inside)
        return _owner(candidates[0]) if candidates else Owner()

    def _candidates(self, component: Component, site: str, top: str) -> list[Distribution]:
        """Return the distributions of one site folder that may have put a file under its subfolder ``top``."""
        installed = (*self._python.distributions, *self._python.hidden)
        here = [dist for dist in installed if dist.path.rpartition("/")[0] == site and dist.version]
        if top == "nvidia":
            return [dist for dist in here if dist.name in component.distributions]
        if not top.startswith("tensorrt"):
            return []
        # tensorrt_lean_libs is brought by tensorrt-lean-libs, tensorrt-lean-cu13-libs …
        words = top.split("_")
        return [dist for dist in here if [w for w in dist.name.split("-") if not w.startswith("cu")] == words]

    def _by_record(self, candidates: list[Distribution], path: str, inside: str) -> Owner:
        """Tell wheels that claim the same folder apart by the size that each RECORD states for the file."""
        claims = {dist: size for dist in candidates if (size := self._recorded_size(dist, inside)) is not None}
        if len(claims) == 1:
            return _owner(next(iter(claims)))
        try:
            with self._root.open(path) as file:
                size = file.seek(0, 2)
        except ReadError:
            size = -1
        fitting = [dist for dist, stated in claims.items() if stated == size]
        names = " and ".join(f"{dist.name} {dist.version}" for dist in claims or candidates)
        if not claims:
            return Owner(note=f"brought by {names}: no RECORD tells by which")
        note = f"{names} claim this file; the one installed last wrote it"
        if len(fitting) == 1:
            owner = _owner(fitting[0])
            return Owner(owner.label, owner.version, owner.how, f"{note}, by its size {owner.label}")
        return Owner(note=note)

    def _recorded_size(self, dist: Distribution, inside: str) -> int | None:
        """Return the size in bytes that RECORD states, -1 for none stated, None when the file is not in it."""
        try:
            text = self._root.read_text(f"{dist.path}/RECORD", RECORD_LIMIT_BYTES)
        except ReadError:
            return None
        for line in text.splitlines():
            if line.startswith(f"{inside},"):
                size = line.rpartition(",")[2]
                return int(size) if size.isdecimal() and len(size) < 20 else -1
        return None


def _owner(dist: Distribution) -> Owner:
    return Owner(f"{dist.name} {dist.version}", dist.version, "wheel metadata")
