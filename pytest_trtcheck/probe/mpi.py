"""MPI: its library and launcher, the implementation told by file names. No process is started."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_trtcheck.model.facts import Copy, Fact, State
from pytest_trtcheck.probe.root import ReadError, Root

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Where images put an MPI that is not in the loader's folders: NGC, HPC-X, EFA.
_PREFIXES = ("/usr/local/mpi", "/opt/hpcx/ompi", "/opt/amazon/openmpi", "/usr/lib/x86_64-linux-gnu/openmpi")
_OPEN_MPI_FILES = ("libopen-pal.so", "libopen-rte.so", "libmpi_java.so")
_PKGCONFIG = (("ompi.pc", "Open MPI"), ("ompi-c.pc", "Open MPI"), ("mpich.pc", "MPICH"))
_VERSION_LINE = re.compile(r"^Version:\s*(\d{1,4}(?:\.\d{1,4}){1,3})", re.MULTILINE)


def mpi_fact(root: Root, env: Mapping[str, str]) -> Fact:
    """Return ``openmpi``: libmpi or mpirun, whichever implementation; its name and SONAME are in the details.

    The value is the release where pkg-config data tells it. The numbers after ``libmpi.so`` are none.
    """
    from pytest_trtcheck.probe.ldso import loader_search

    folders = [folder.path for folder in loader_search(root, env).folders]
    folders += [f"{prefix}/lib" for prefix in _PREFIXES]
    launcher = find_program(root, env, ("mpirun", "mpiexec"), [f"{prefix}/bin" for prefix in _PREFIXES])
    libraries = [path for folder in folders for path in _libraries(root, folder)]
    if not libraries and launcher is None:
        reason = "no libmpi.so in any library folder and no mpirun on PATH"
        return Fact("openmpi", State.ABSENT, reason=reason)
    copies = _copies(root, libraries)
    implementation, version, how, where = _identity(root, libraries)
    first = copies[0] if copies else None
    return Fact(
        "openmpi",
        State.FOUND,
        version,
        where or (first.path if first else launcher or ""),
        how,
        "" if version else "the release is told by no pkg-config file",
        copies=copies,
        chosen=0 if copies else None,
        why_chosen="first in the loader's search" if copies else "",
        details={
            "soname": first.soname if first else None,
            "implementation": implementation,
            "launcher": launcher,
        },
    )


def find_program(
    root: Root, env: Mapping[str, str], names: Sequence[str], more_folders: Sequence[str] = ()
) -> str | None:
    """Return the first of the programs on PATH or in the further folders; relative entries are left out."""
    path = env.get("PATH") or "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    folders = [folder for folder in path.split(":") if folder.startswith("/")] + list(more_folders)
    candidates = (f"{folder.rstrip('/')}/{name}" for name in names for folder in folders)
    return next((candidate for candidate in candidates if root.is_file(candidate)), None)


def _libraries(root: Root, folder: str) -> list[str]:
    try:
        names = [entry.name for entry in root.listdir(folder)]
    except ReadError:
        return []
    return [f"{folder}/{name}" for name in names if re.fullmatch(r"libmpi\.so(?:\.\d{1,4})?", name)]


def _copies(root: Root, libraries: Sequence[str]) -> tuple[Copy, ...]:
    copies: dict[str, Copy] = {}
    for path in sorted(libraries, key=lambda path: path.endswith(".so")):
        try:
            real = root.resolve(path)
        except ReadError:
            continue
        folder, _, name = path.rpartition("/")
        soname = None if name.endswith(".so") else name
        copies.setdefault(real, Copy(real, None, "file name", folder, soname=soname))
    order = {path.rpartition("/")[0]: place for place, path in reversed(list(enumerate(libraries)))}
    return tuple(sorted(copies.values(), key=lambda copy: order[copy.found_by]))


def _identity(root: Root, libraries: Sequence[str]) -> tuple[str, str | None, str, str]:
    """Return implementation, release, how it was read and where."""
    for folder in dict.fromkeys(path.rpartition("/")[0] for path in libraries):
        for name, implementation in _PKGCONFIG:
            path = f"{folder}/pkgconfig/{name}"
            try:
                match = _VERSION_LINE.search(root.read_text(path))
            except ReadError:
                continue
            if match:
                return implementation, match[1], "pkg-config", path
    return _implementation(root, libraries), None, "file name", ""


def _implementation(root: Root, libraries: Sequence[str]) -> str:
    for path in libraries:
        folder = path.rpartition("/")[0]
        try:
            names = [entry.name for entry in root.listdir(folder)]
        except ReadError:
            continue
        if any(name.startswith(_OPEN_MPI_FILES) for name in names) or path.endswith(".so.40"):
            return "Open MPI"
        if any(name.startswith("libmpich.so") for name in names):
            return "MPICH"
        if any(name.startswith("libmpifort.so.12") for name in names):
            return "Intel MPI or MPICH"
    return "unknown"
