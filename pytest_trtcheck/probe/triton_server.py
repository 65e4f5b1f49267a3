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
_WHEEL_HOME = "pytriton/tritonserver"
_VERSION = re.compile(r"\d{1,3}\.\d{1,3}(?:\.\d{1,3})?[\w.+-]{0,20}")


def triton_server_fact(root: Root, env: Mapping[str, str], site_packages: Sequence[str] = ()) -> Fact:
    """Return ``triton_server`` with every copy, the backends of the first in the details.

    Looked at are /opt/tritonserver, the ``tritonserver`` on PATH, and the server inside the nvidia-pytriton
    wheel, which carries no version of its own.
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
            homes.setdefault(home, "nvidia-pytriton wheel")
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
