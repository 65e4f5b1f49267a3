"""The ground the stack stands on: operating system, kernel, architecture, C and C++ libraries, Python, MPI."""

from __future__ import annotations

import platform
import re
import sys
from typing import TYPE_CHECKING

from pytest_trtcheck.model.facts import Copy, Fact, State
from pytest_trtcheck.probe.root import MissingError, ReadError, Root

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_KERNEL = "/proc/sys/kernel/osrelease"
_PROGRAMS = ("/bin/sh", "/usr/bin/env", "/bin/busybox", "/usr/bin/python3")
_MACHINES = {62: "x86_64", 183: "aarch64", 3: "i386", 40: "arm", 243: "riscv64", 21: "ppc64le"}
_LIBC_LIMIT_BYTES = 8 << 20
_LIBC_TEXT = re.compile(rb"GNU C Library [^\n\0]{0,120}release version (\d{1,2}\.\d{1,3})")
_LIBC_LINK = re.compile(r"libc-(\d{1,2}\.\d{1,3})\.so$")
_PYTHONS = ("/usr/local/bin/python3", "/usr/bin/python3")


def system_facts(root: Root, env: Mapping[str, str], *, own_interpreter: bool = True) -> dict[str, Fact]:
    """Return ``os``, ``kernel``, ``arch``, ``glibc``, ``libstdcxx`` and ``python`` of the root.

    ``own_interpreter`` says that the interpreter under test is the one that runs this; for another root the
    version is told by the links of its ``bin`` folders.
    """
    folders = _loader_folders(root, env)
    facts = (
        os_fact(root),
        kernel_fact(root),
        arch_fact(root),
        glibc_fact(root, folders),
        libstdcxx_fact(root, [*_conda_folders(root, env), *folders]),
        own_python_fact() if own_interpreter else python_fact(root),
    )
    return {fact.key: fact for fact in facts}


def os_fact(root: Root) -> Fact:
    """Return ``os``: PRETTY_NAME of os-release, with ID and VERSION_ID in the details."""
    problem = ""
    for path in _OS_RELEASE:
        try:
            lines = root.read_text(path).splitlines()
        except MissingError:
            continue
        except ReadError as error:
            problem = problem or str(error)
            continue
        fields = {name.strip(): value.strip().strip("\"'") for name, _, value in (x.partition("=") for x in lines)}
        details = {"id": fields.get("ID", ""), "version_id": fields.get("VERSION_ID", "")}
        name = fields.get("PRETTY_NAME") or " ".join(filter(None, details.values())) or None
        return Fact("os", State.FOUND, name, path, "PRETTY_NAME", details=details)
    if problem:
        return Fact("os", State.UNREADABLE, reason=problem)
    return Fact("os", State.ABSENT, reason=f"none of {', '.join(_OS_RELEASE)} exists")


def kernel_fact(root: Root) -> Fact:
    """Return ``kernel``: the release of the running kernel; a folder or an image runs none."""
    try:
        return Fact("kernel", State.FOUND, root.read_text(_KERNEL).strip(), _KERNEL, "kernel release")
    except MissingError:
        return Fact("kernel", State.NOT_PROBED, reason=f"{_KERNEL} does not exist: no kernel runs in this root")
    except ReadError as error:
        return Fact("kernel", State.UNREADABLE, reason=str(error))


def arch_fact(root: Root) -> Fact:
    """Return ``arch``: what the programs of the root are compiled for."""
    for path in _PROGRAMS:
        try:
            start = root.read_start(path, 20)
        except ReadError:
            continue
        if start[:4] == b"\x7fELF" and len(start) == 20:
            machine = int.from_bytes(start[18:20], "big" if start[5] == 2 else "little")
            name = _MACHINES.get(machine, f"ELF machine {machine}")
            return Fact("arch", State.FOUND, name, path, "ELF header")
    return Fact("arch", State.UNREADABLE, reason=f"none of {', '.join(_PROGRAMS)} is a program that can be read")


def glibc_fact(root: Root, folders: Sequence[str]) -> Fact:
    """Return ``glibc``: from the text in libc.so.6, or from the file name that old releases gave it."""
    path = _first_file(root, "libc.so.6", folders)
    if path is None:
        musl = next((f for folder in ("/lib", "/usr/lib") for f in _names(root, folder, "ld-musl-")), "")
        reason = f"{musl} is here: the C library is musl" if musl else "no libc.so.6 in any library folder"
        return Fact("glibc", State.ABSENT, reason=reason)
    try:
        real = root.resolve(path)
        link = _LIBC_LINK.search(real)
        if link:
            return Fact("glibc", State.FOUND, link[1], real, "file name")
        match = _LIBC_TEXT.search(root.read_start(path, _LIBC_LIMIT_BYTES))
    except ReadError as error:
        return Fact("glibc", State.UNREADABLE, reason=str(error))
    if match is None:
        reason = f"{path}: expected the text 'GNU C Library … release version', found none"
        return Fact("glibc", State.UNREADABLE, reason=reason)
    return Fact("glibc", State.FOUND, match[1].decode("ascii"), real, "text in the file")


def libstdcxx_fact(root: Root, folders: Sequence[str]) -> Fact:
    """Return ``libstdcxx``: the newest GLIBCXX of the copy that the loader takes; CXXABI is in the details."""
    from pytest_trtcheck.probe.elf import newest_version_nodes

    name = "libstdc++.so.6"
    copies: dict[str, Copy] = {}
    nodes: dict[str, str] = {}
    for folder in folders:
        path = f"{folder}/{name}"
        if not root.is_file(path):
            continue
        real = root.resolve(path)
        if real in copies:
            continue
        try:
            found, note = newest_version_nodes(root, path), ""
        except ReadError as error:
            found, note = {}, str(error)
        nodes = nodes or found
        how = "version nodes of the ELF file"
        copies[real] = Copy(real, found.get("GLIBCXX"), how, folder, soname=name, note=note)
    listed = tuple(copies.values())
    if not listed:
        return Fact("libstdcxx", State.ABSENT, reason=f"no {name} in any library folder")
    first = listed[0]
    return Fact(
        "libstdcxx",
        State.FOUND if first.version else State.UNREADABLE,
        first.version,
        first.path,
        first.how,
        first.note,
        copies=listed,
        chosen=0,
        why_chosen=f"{first.found_by} comes first in the search",
        details=nodes if first.version else {},
    )


def own_python_fact() -> Fact:
    """Return ``python``: the interpreter that runs this."""
    details = {
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "is_virtual_environment": sys.prefix != sys.base_prefix,
    }
    version = platform.python_version()
    return Fact("python", State.FOUND, version, sys.executable, "this interpreter", details=details)


def python_fact(root: Root) -> Fact:
    """Return ``python`` of a root that is not ours: major and minor, by the name that python3 links to."""
    for path in _PYTHONS:
        try:
            real = root.resolve(path)
        except ReadError:
            continue
        match = re.search(r"/python(3\.\d{1,2})$", real)
        if match:
            return Fact("python", State.FOUND, match[1], real, "link target")
        return Fact("python", State.FOUND, None, real, "file name", f"{path} does not lead to a pythonX.Y")
    return Fact("python", State.ABSENT, reason=f"none of {', '.join(_PYTHONS)} exists")


def _loader_folders(root: Root, env: Mapping[str, str]) -> list[str]:
    from pytest_trtcheck.probe.ldso import loader_search

    return [folder.path for folder in loader_search(root, env).folders]


def _conda_folders(root: Root, env: Mapping[str, str]) -> list[str]:
    """Return the library folder of an active conda environment: its Python finds it through RPATH first."""
    prefix = env.get("CONDA_PREFIX", "")
    return [f"{prefix}/lib"] if prefix.startswith("/") and root.is_dir(f"{prefix}/conda-meta") else []


def _first_file(root: Root, name: str, folders: Sequence[str]) -> str | None:
    return next((f"{folder}/{name}" for folder in folders if root.is_file(f"{folder}/{name}")), None)


def _names(root: Root, folder: str, prefix: str) -> list[str]:
    try:
        return [f"{folder}/{entry.name}" for entry in root.listdir(folder) if entry.name.startswith(prefix)]
    except ReadError:
        return []
