"""Which GPU code each component of a stack carries: the fact ``gpu_code``."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.binaries.gpucode import read_gpu_code
from pytest_trtcheck.binaries.running import How, runs
from pytest_trtcheck.model.facts import Fact, State
from pytest_trtcheck.probe.providers import provider_of_library, provider_of_module
from pytest_trtcheck.probe.root import Kind, ReadError, Root, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_trtcheck.binaries.gpucode import GpuCode

KEY = "gpu_code"
MAX_FILES = 3000
_MAX_SETS = 60
"""Different sets of architectures told of one file; the most seen are 21 (vLLM 0.11)."""
_HOW = "headers of fat binaries and cubins; nothing was run"
_SITE = re.compile(r".*/(?:site|dist)-packages/")
_MODULE_FILES = {"flash_attn_2_cuda": "flash_attn"}
"""Modules that lie in the site folder itself."""
_BACKEND = re.compile(r"/opt/tritonserver/backends/")


def probe_gpu_code(
    root: Root, paths: Iterable[str], *, sites: Sequence[str] = (), architectures: Sequence[int] = ()
) -> Fact:
    """Return the GPU code of all these files by component, those of Python prefixes other than ``sites`` left out.

    A file whose registered code does not run on one of ``architectures`` is read through, for code among its data.
    """
    files: list[dict[str, Any]] = []
    problems: list[str] = []
    chosen = [path for path in dict.fromkeys(paths) if _is_of(path, sites)]
    for path in root.in_reading_order(chosen):
        try:
            code = _read(root, path, architectures)
        except ReadError as error:
            if path.endswith((".cubin", ".fatbin")):
                problems.append(str(error))
            continue
        problems += [f"{shown(path)}: {problem}" for problem in code.problems]
        if code.groups:
            files.append(_described(path, code))
        if len(files) >= MAX_FILES:
            problems.append(f"more than {MAX_FILES} files with GPU code, the rest was not read")
            break
    if not files:
        return Fact(KEY, State.ABSENT, reason="no file with GPU code was found", details=_noted(problems))
    return Fact(KEY, State.FOUND, f"{len(files)} files", "", _HOW, details={"files": files} | _noted(problems))


def component_of(path: str) -> str:
    """Return the component that a file belongs to: by its package, else by its name; empty for a stranger."""
    name = path.rpartition("/")[2]
    inside = _SITE.sub("", path, count=1) if _SITE.match(path) else ""
    top = inside.partition("/")[0]
    if top and top != "nvidia" and not top.endswith(".libs"):
        # libtorchaudio is no library of torch: of a package that is no component, nothing is.
        return _MODULE_FILES.get(top.partition(".")[0]) or provider_of_module(top)
    return "triton_server" if _BACKEND.match(path) else provider_of_library(name)


def _is_of(path: str, sites: Sequence[str]) -> bool:
    return not sites or not _SITE.match(path) or any(path.startswith(f"{site}/") for site in sites)


def _read(root: Root, path: str, architectures: Sequence[int]) -> GpuCode:
    code = read_gpu_code(root, path)
    if not code.groups and not code.registered:
        # Reading every library of an image through would cost more than all the rest; what brings cubins as data
        # alone is found where some of its code is registered.
        return code
    if all(_runs_somewhere(code, architecture) for architecture in architectures):
        return code
    return read_gpu_code(root, path, is_deep=True)


def _runs_somewhere(code: GpuCode, architecture: int) -> bool:
    return any(runs(group.codes, architecture).how is How.NATIVE for group in code.groups)


def _described(path: str, code: GpuCode) -> dict[str, Any]:
    sets: Counter[str] = Counter()
    for group in code.groups:
        texts = sorted(group.codes, key=lambda one: (one.kind.value, one.number, one.suffix, one.ptx))
        sets[" ".join(one.text for one in texts)] += group.pieces
    kept = sets.most_common(_MAX_SETS)
    told: dict[str, Any] = {"component": component_of(path), "path": shown(path), "sets": dict(kept)}
    return told | ({"sets_left_out": len(sets) - len(kept)} if len(sets) > len(kept) else {})


def _noted(problems: list[str]) -> dict[str, Any]:
    return {"problems": problems[:20]} if problems else {}


def system_libraries(root: Root, folders: Iterable[str]) -> Iterator[str]:
    """Yield the libraries of components in some folders, links left out."""
    for folder in folders:
        try:
            entries = root.listdir(folder)
        except ReadError:
            continue
        for entry in entries:
            if entry.kind is Kind.FILE and ".so" in entry.name and provider_of_library(entry.name):
                yield f"{root.resolve(folder).rstrip('/')}/{entry.name}"
