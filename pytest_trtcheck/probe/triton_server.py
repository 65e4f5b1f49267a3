"""The Triton Inference Server: where it is installed, its release, its backends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_trtcheck.model.facts import Copy, Fact, State
from pytest_trtcheck.probe.mpi import find_program
from pytest_trtcheck.probe.root import Kind, ReadError, Root

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HOME = "/opt/tritonserver"
_WHEEL = "nvidia-pytriton wheel"
_WHEEL_HOME = "pytriton/tritonserver"
_WHEEL_RELEASES = {
    "2.33.0": ("0.2.0", "0.2.1", "0.2.2", "0.2.3", "0.2.4", "0.2.5"),
    "2.36.0": ("0.3.0", "0.3.1", "0.4.0"),
    "2.39.0": ("0.4.1", "0.4.2"),
    "2.41.0": ("0.5.0",),
    "2.42.0": ("0.5.1", "0.5.2"),
    "2.43.0": ("0.5.3",),
    "2.44.0": ("0.5.4", "0.5.5", "0.5.6"),
    "2.45.0": ("0.5.7",),
    "2.46.0": ("0.5.8",),
    "2.47.0": ("0.5.9",),
    "2.48.0": ("0.5.10",),
    "2.49.0": ("0.5.11",),
    "2.50.0": ("0.5.12",),
    "2.51.0": ("0.5.13", "0.5.14", "0.6.0", "0.7.0"),
}
"""Releases of tritonserver, and the releases of nvidia-pytriton that carry them. Source: PyTriton's CHANGELOG.md."""
_DIST_INFO = re.compile(r"nvidia_pytriton-([\w.]{1,20})\.dist-info")
_VERSION = re.compile(r"\d{1,3}\.\d{1,3}(?:\.\d{1,3})?[\w.+-]{0,20}")


def triton_server_fact(root: Root, env: Mapping[str, str], site_packages: Sequence[str] = ()) -> Fact:
    """Return ``triton_server`` with every copy, the backends of the first in the details.

    Looked at are /opt/tritonserver, the ``tritonserver`` on PATH, and the server inside the nvidia-pytriton
    wheel, whose release follows from the wheel's.
    """
    homes = _homes(root, env, site_packages)
    if not homes:
        reason = f"no {HOME}, no tritonserver on PATH, no nvidia-pytriton wheel with a server"
        return Fact("triton_server", State.ABSENT, reason=reason)
    copies = tuple(_copy(root, env, home, found_by) for home, found_by in homes.items())
    first = copies[0]
    home = next(iter(homes))
    return Fact(
        "triton_server",
        State.FOUND,
        first.version,
        first.path,
        first.how,
        first.note,
        copies=copies,
        chosen=0,
        why_chosen=f"{first.found_by} comes first in the search",
        details={"home": home, "backends": _backends(root, home)},
    )


def _homes(root: Root, env: Mapping[str, str], site_packages: Sequence[str]) -> dict[str, str]:
    """Return the folders that hold ``bin/tritonserver``, with the place of the search."""
    homes: dict[str, str] = {}
    if root.is_file(f"{HOME}/bin/tritonserver"):
        homes[HOME] = HOME
    program = find_program(root, env, ("tritonserver",))
    if program is not None:
        try:
            homes.setdefault(root.resolve(program).removesuffix("/tritonserver").removesuffix("/bin"), "PATH")
        except ReadError:
            homes.setdefault(program.removesuffix("/bin/tritonserver"), "PATH")
    for folder in site_packages:
        home = f"{folder.rstrip('/')}/{_WHEEL_HOME}"
        if root.is_file(f"{home}/bin/tritonserver"):
            homes.setdefault(home, _WHEEL)
    return homes


def _copy(root: Root, env: Mapping[str, str], home: str, found_by: str) -> Copy:
    program = f"{home}/bin/tritonserver"
    path = f"{home}/TRITON_VERSION"
    try:
        text = root.read_text(path, 1024).strip()
    except ReadError as error:
        told = env.get("TRITON_SERVER_VERSION", "") if home == HOME else ""
        if _VERSION.fullmatch(told):
            return Copy(program, told, "TRITON_SERVER_VERSION", found_by)
        wheel = _wheel_release(root, home) if home.endswith(_WHEEL_HOME) else None
        for release, wheels in _WHEEL_RELEASES.items():
            if wheel in wheels:
                return Copy(program, release, f"release of the wheel nvidia-pytriton {wheel}", found_by)
        if wheel:
            return Copy(program, None, "file", found_by, note=f"release unknown: that of nvidia-pytriton {wheel}")
        return Copy(program, None, "file", found_by, note=f"release unknown: {error}")
    if not _VERSION.fullmatch(text):
        note = f"{path}: expected a release like 2.59.0, found {text[:60]!r}"
        return Copy(program, None, "TRITON_VERSION", found_by, note=note)
    return Copy(program, text, "TRITON_VERSION", found_by)


def _backends(root: Root, home: str) -> dict[str, str]:
    try:
        entries = root.listdir(f"{home}/backends")
    except ReadError:
        return {}
    return {entry.name: f"{home}/backends/{entry.name}" for entry in entries if entry.kind is not Kind.FILE}


def _wheel_release(root: Root, home: str) -> str | None:
    """Return the release of the wheel that a server lies in; None where its metadata is not there."""
    try:
        entries = root.listdir(home.removesuffix(f"/{_WHEEL_HOME}"))
    except ReadError:
        return None
    return next((match[1] for entry in entries if (match := _DIST_INFO.fullmatch(entry.name))), None)
