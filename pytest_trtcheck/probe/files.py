"""All file probes in one call: facts, distributions and the seconds each probe took."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pytest_trtcheck.model.components import COMPONENTS, Component
from pytest_trtcheck.model.facts import Distribution, Fact, State
from pytest_trtcheck.probe import torch_facts
from pytest_trtcheck.probe.component_facts import Findings, component_fact
from pytest_trtcheck.probe.distinfo import InstalledPython, read_distributions
from pytest_trtcheck.probe.dpkg import FOLDER, Package, read_packages
from pytest_trtcheck.probe.ldso import CACHE_PATH, LoaderSearch, loader_search
from pytest_trtcheck.probe.libraries import FoundLibraries, find_libraries
from pytest_trtcheck.probe.owners import Owners
from pytest_trtcheck.probe.places import library_places
from pytest_trtcheck.probe.root import MissingError, ReadError, Root, shown
from pytest_trtcheck.probe.rpm import Installed, read_rpm
from pytest_trtcheck.probe.toolkit import probe_toolkit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

LIBCUDA = Component(
    "libcuda_files", "libcuda on disk", libraries=("libcuda.so",), dpkg=("libnvidia-compute-", "cuda-compat-")
)
"""The driver's library, as files: which one a process maps is for the driver probe to say."""


def probe_files(
    root: Root, *, env: Mapping[str, str], sys_path: Sequence[str]
) -> tuple[dict[str, Fact], tuple[Distribution, ...], dict[str, float]]:
    """Return the facts by key, the distributions, and the seconds of each probe.

    Facts: one per component, ``libcuda_files``, ``cuda_toolkit``, ``torch_cuda``, ``torch_cxx11_abi``,
    ``tensorrt_package_cuda``, ``ld_so_cache``, ``dpkg`` and, where there is such a database, ``rpm``. A probe
    that fails in a way nobody foresaw gives UNREADABLE facts that name it; the others go on.
    """
    return _Run(root, env, sys_path).all()


class _Run:
    def __init__(self, root: Root, env: Mapping[str, str], sys_path: Sequence[str]) -> None:
        self.root, self.env, self.sys_path = root, env, sys_path
        self.facts: dict[str, Fact] = {}
        self.seconds: dict[str, float] = {}
        self.failures: list[str] = []

    def all(self) -> tuple[dict[str, Fact], tuple[Distribution, ...], dict[str, float]]:
        root = self.root
        python = self._guarded("distributions", lambda: read_distributions(root, self.sys_path), InstalledPython(()))
        packages: tuple[Package, ...] = self._guarded("dpkg", self._packages, ())
        rpm = self._guarded("rpm", self._rpm, None)
        loader = self._guarded("loader", self._loader, LoaderSearch(()))
        problems: list[str] = list(python.problems)
        libraries = self._guarded(
            "libraries", lambda: self._libraries(loader, python, packages, rpm, problems), FoundLibraries({})
        )
        found = Findings(python, libraries, packages, (*self.failures, *problems, *libraries.problems))
        for component in (*COMPONENTS, LIBCUDA):
            self._fact(component.key, "components", partial(component_fact, root, component, found))
        self._fact("torch_cuda", "torch", lambda: torch_facts.torch_cuda(root, python))
        self._fact("torch_cxx11_abi", "torch", lambda: torch_facts.torch_cxx11_abi(root, python))
        self._fact("tensorrt_package_cuda", "torch", lambda: torch_facts.tensorrt_package_cuda(python))
        self._fact("cuda_toolkit", "toolkit", lambda: probe_toolkit(root, self.env))
        return self.facts, python.distributions, self.seconds

    def _packages(self) -> tuple[Package, ...]:
        where = f"{FOLDER}/status"
        try:
            packages = read_packages(self.root)
        except MissingError:
            self.facts["dpkg"] = Fact("dpkg", State.ABSENT, reason=f"no {where}: not a Debian or Ubuntu system")
            return ()
        except ReadError as error:
            self.facts["dpkg"] = Fact("dpkg", State.UNREADABLE, where=where, reason=f"unreadable: {error}")
            return ()
        details = {
            "held": [p.name for p in packages if p.held],
            "unfinished": {p.name: p.state for p in packages if not p.is_installed},
        }
        count = str(sum(p.is_installed for p in packages))
        self.facts["dpkg"] = Fact("dpkg", State.FOUND, count, where, "number of installed packages", details=details)
        return packages

    def _rpm(self) -> Installed | None:
        try:
            found = read_rpm(self.root)
        except ReadError as error:
            self.facts["rpm"] = Fact("rpm", State.UNREADABLE, where=error.path, reason=f"not read: {error}")
            return None
        if found is not None:
            count = str(len(found.packages))
            self.facts["rpm"] = Fact("rpm", State.FOUND, count, found.path, "number of installed packages")
        return found

    def _loader(self) -> LoaderSearch:
        loader = loader_search(self.root, self.env)
        details = {"folders": [shown(folder.path) for folder in loader.folders], "problems": list(loader.problems)}
        if loader.cached is not None:
            state, value, reason = State.FOUND, str(len(loader.cached)), ""
        else:
            state = State.UNREADABLE if self.root.exists(CACHE_PATH) else State.ABSENT
            value, reason = None, next((text for text in loader.problems if text.startswith(CACHE_PATH)), "")
        how = "number of libraries" if value else ""
        self.facts["ld_so_cache"] = Fact("ld_so_cache", state, value, CACHE_PATH, how, reason, details=details)
        return loader

    def _libraries(
        self,
        loader: LoaderSearch,
        python: InstalledPython,
        packages: Sequence[Package],
        rpm: Installed | None,
        problems: list[str],
    ) -> FoundLibraries:
        places = library_places(self.root, loader, self.env, python.folders, problems)
        components = (*(component for component in COMPONENTS if component.libraries), LIBCUDA)
        owners = Owners(self.root, python, packages, rpm.libraries if rpm else {})
        return find_libraries(self.root, components, places, loader.cached, owners)

    def _fact(self, key: str, probe: str, read: Callable[[], Fact]) -> None:
        failed = len(self.failures)
        fact = self._guarded(probe, read, None)
        self.facts[key] = fact or Fact(key, State.UNREADABLE, reason=self.failures[failed])

    def _guarded(self, probe: str, read: Callable[[], T], instead: T) -> T:
        """Return what the probe reads; should it break, ``instead``, with the failure kept in words."""
        start = time.perf_counter()
        try:
            return read()
        except Exception as error:  # noqa: BLE001 - a bug or a strange system must not cost the other facts
            self.failures.append(f"the {probe} probe failed: {type(error).__name__}: {shown(str(error))[:200]}")
            return instead
        finally:
            self.seconds[probe] = self.seconds.get(probe, 0.0) + time.perf_counter() - start
