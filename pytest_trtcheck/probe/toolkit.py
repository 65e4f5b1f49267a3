"""CUDA toolkits on disk, by their version files and headers; no compiler is started."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.model.facts import Copy, Fact, State
from pytest_trtcheck.probe.places import cuda_folders
from pytest_trtcheck.probe.root import MissingError, ReadError, Root, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# CUDA_VERSION stands at byte 14,324 of the 1.1 MB cuda.h of CUDA 13.0.
HEADER_BYTES = 256 << 10

_HEADERS = (("cuda.h", "CUDA_VERSION"), ("cuda_runtime_api.h", "CUDART_VERSION"))
_TEXT_VERSION = re.compile(r"CUDA Version\s+([0-9]+(?:\.[0-9]+)+)")
_WRAPPED_NVCC = re.compile(rb"(/[A-Za-z0-9._/+-]+)/bin/nvcc\b")
_HOME_VARIABLES = ("CUDA_HOME", "CUDA_PATH")


@dataclass(frozen=True)
class _Toolkit:
    folder: str
    found_by: str


def probe_toolkit(root: Root, env: Mapping[str, str]) -> Fact:
    """Return the fact ``cuda_toolkit``: every toolkit, the one a build would use first.

    The order is that of common build systems: ``CUDA_HOME``, then ``nvcc`` on ``PATH``, then ``/usr/local/cuda*``.
    A folder counts when it has ``nvcc``, a version file or ``cuda.h``.
    """
    problems: list[str] = []
    copies: dict[str, Copy] = {}
    for toolkit in _toolkits(root, env, problems):
        try:
            real = root.resolve(toolkit.folder)
        except MissingError:
            continue
        except ReadError as error:
            problems.append(str(error))
            continue
        if real not in copies and (copy := _copy(root, real, toolkit.found_by)):
            copies[real] = copy
    if not copies:
        state = State.UNREADABLE if problems else State.ABSENT
        reason = "; ".join(problems) or "no toolkit in CUDA_HOME, on PATH or in /usr/local/cuda*"
        return Fact("cuda_toolkit", state, reason=reason)
    found = tuple(copies.values())
    details: dict[str, Any] = {"nvcc": root.is_file(f"{next(iter(copies))}/bin/nvcc")}
    if problems:
        details["problems"] = problems
    return Fact(
        "cuda_toolkit",
        State.FOUND if found[0].version else State.UNREADABLE,
        value=found[0].version,
        where=found[0].path,
        how=found[0].how,
        reason="" if found[0].version else found[0].note,
        copies=found,
        chosen=0,
        why_chosen=f"found by {found[0].found_by}" + (", before the others" if len(found) > 1 else ", only copy"),
        details=details,
    )


def _toolkits(root: Root, env: Mapping[str, str], problems: list[str]) -> Iterator[_Toolkit]:
    for name in _HOME_VARIABLES:
        if env.get(name, "").startswith("/"):
            yield _Toolkit(env[name], name)
    for folder in env.get("PATH", "").split(":"):
        home = _home_of_nvcc(root, f"{folder}/nvcc") if folder.startswith("/") else None
        if home:
            yield _Toolkit(home, "nvcc on PATH")
    for folder in cuda_folders(root, problems):
        yield _Toolkit(folder, "/usr/local/cuda*")


def _home_of_nvcc(root: Root, path: str) -> str | None:
    """Return the toolkit folder of an ``nvcc``; a shell script that calls the real one is looked through."""
    if not root.is_file(path):
        return None
    try:
        start = root.read_start(path, 4096)
        wrapped = _WRAPPED_NVCC.search(start) if start.startswith(b"#!") else None
        if wrapped:
            return wrapped[1].decode("ascii")
        return root.resolve(path).rpartition("/bin/")[0] or None
    except ReadError:
        return None


def _copy(root: Root, folder: str, found_by: str) -> Copy | None:
    """Return the toolkit in ``folder``, or None when it is something else, as a folder with libraries only."""
    notes: list[str] = []
    for read in (_from_json, _from_text, _from_headers):
        try:
            version, how = read(root, folder)
        except MissingError:
            continue
        except ReadError as error:
            notes.append(str(error))
            continue
        return Copy(shown(folder), version, how, found_by, note="; ".join(notes))
    if not notes and not root.is_file(f"{folder}/bin/nvcc"):
        return None
    notes = notes or [f"{shown(folder)} has nvcc but no version.json, version.txt or cuda.h"]
    return Copy(shown(folder), None, "", found_by, note="; ".join(notes))


def _from_json(root: Root, folder: str) -> tuple[str, str]:
    path = f"{folder}/version.json"
    try:
        version = json.loads(root.read_text(path))["cuda"]["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ReadError(path, 'expected {"cuda": {"version": …}}, found something else') from None
    if not isinstance(version, str) or not re.fullmatch(r"[0-9.]{1,30}", version):
        raise ReadError(path, f"expected a CUDA version, found {shown(str(version)[:40])!r}")
    return version, "version.json"


def _from_text(root: Root, folder: str) -> tuple[str, str]:
    path = f"{folder}/version.txt"
    match = _TEXT_VERSION.search(root.read_text(path))
    if not match:
        raise ReadError(path, 'expected "CUDA Version …", found something else')
    return match[1], "version.txt"


def _from_headers(root: Root, folder: str) -> tuple[str, str]:
    for header, macro in _HEADERS:
        path = f"{folder}/include/{header}"
        try:
            text = root.read_start(path, HEADER_BYTES).decode("utf-8", "replace")
        except MissingError:
            continue
        match = re.search(rf"^#define\s+{macro}\s+([0-9]{{4,6}})\b", text, re.MULTILINE)
        if not match:
            raise ReadError(path, f"expected a line #define {macro}, found none")
        number = int(match[1])
        return f"{number // 1000}.{number % 1000 // 10}", f"{macro} in {header}"
    raise MissingError(f"{folder}/include/cuda.h", "does not exist")
