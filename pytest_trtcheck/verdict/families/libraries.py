"""Are the libraries that the stack asks for there, once, and of one CUDA major?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import COMPONENTS, title_of
from pytest_trtcheck.model.facts import Fact
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.verdict.base import join, measured
from pytest_trtcheck.verdict.remedies import for_missing_library

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.verdict.base import Context, Unasked

# The other libraries of a family come in the same package as the first, and are not looked up one by one.
_FAMILY_BY_LIBRARY = {component.libraries[0]: component.key for component in COMPONENTS if component.libraries}
PART_OF = {"tensorrt_plugin": "tensorrt", "tensorrt_onnx_parser": "tensorrt"}
_JUDGED_BY_NEEDS = ("tensorrt", "tensorrt_lean", "tensorrt_dispatch", "torch", "tensorrt_llm", "torch_tensorrt")
_CUDNN_CHECKS = {"tensorrt": "TRC-DNN-001", "torch": "TRC-DNN-002"}
_CUDA_SUFFIX = re.compile(r"-cu(\d{2})(?:-|$)")


def libraries(context: Context) -> Iterator[Finding | Unasked]:
    """Judge shared libraries by what lies on disk."""
    for component in COMPONENTS:
        if component.libraries:
            yield from _one_version(context, component.key)
    yield from _one_cuda_major(context)
    for key in _JUDGED_BY_NEEDS:
        yield from _needed(context, key)


def family_of(soname: str) -> str:
    """Return the component that brings ``libcudnn.so.8``; empty when no component of ours does."""
    return _FAMILY_BY_LIBRARY.get(soname.partition(".so")[0] + ".so", "")


def brings(fact: Fact) -> str:
    """Return the versions and SONAMEs of all libraries of a component, in words; empty without one."""
    return join(
        dict.fromkeys(
            f"{copy.version or 'of unknown version'} ({copy.soname or copy.path})"
            for copy in fact.copies
            if copy.soname
        )
    )


def wants(fact: Fact, family: str) -> dict[str, str]:
    """Return each SONAME of a family that a component's files ask for, with the first file that asks."""
    needed: Mapping[str, list[str]] = fact.details.get("needed", {})
    pairs = ((soname, path) for path, sonames in needed.items() for soname in sonames if family_of(soname) == family)
    asked: dict[str, str] = {}
    for soname, path in pairs:
        asked.setdefault(soname, path)
    return asked


def told_missing(context: Context, key: str) -> dict[str, str]:
    """Return the SONAMEs that a component's files ask for and that are not there, each with the check that tells."""
    told: dict[str, str] = {}
    for sonames in context.fact(key).details.get("needed", {}).values():
        for soname in sonames:
            family = family_of(soname)
            check = _CUDNN_CHECKS.get(key, "") if family == "cudnn" else "TRC-LIB-003"
            if family and check and key in _JUDGED_BY_NEEDS and not has_soname(context.fact(family), soname):
                told[soname] = f"{check}-{key}"
    return told


def _one_version(context: Context, key: str) -> Iterator[Finding]:
    fact = context.fact(key)
    versions = {copy.version for copy in fact.copies if copy.version}
    if len(fact.copies) < 2 or not versions:
        return
    found = f"{len(fact.copies)} copies, {join(sorted(versions))}"
    chosen = fact.copies[fact.chosen] if fact.chosen is not None else None
    takes = f"the loader takes {chosen.version} in {chosen.path}: {fact.why_chosen}" if chosen else fact.why_chosen
    many = len(versions) > 1
    yield context.compatible(
        "TRC-LIB-001", key, facts=(key,), expected=f"one version of {title_of(key)}", found=found,
        severity=Severity.WARNING if many else Severity.INFO, detail=takes if many else "",
    )  # fmt: skip


def _one_cuda_major(context: Context) -> Iterator[Finding]:
    """Compare what lives in one Python process; a toolkit beside it may differ."""
    majors: dict[str, list[str]] = {}
    torch_cuda = context.dotted("torch_cuda")
    if torch_cuda:
        majors.setdefault(str(torch_cuda.major), []).append(f"torch (built for {torch_cuda})")
    for dist in context.stack.distributions:
        match = _CUDA_SUFFIX.search(dist.name)
        if match and (dist.name.startswith(("nvidia-", "tensorrt", "cupy-"))):
            majors.setdefault(match[1], []).append(dist.name)
    if not majors:
        return
    found = "; ".join(f"CUDA {major}: {', '.join(names)}" for major, names in sorted(majors.items()))
    yield context.compatible(
        "TRC-LIB-002", "python", facts=("cuda_runtime", "torch_cuda"), expected="one CUDA major", found=found,
        severity=Severity.WARNING if len(majors) > 1 else Severity.INFO,
    )  # fmt: skip


def _needed(context: Context, key: str) -> Iterator[Finding]:
    """Judge every SONAME that a component's files ask for, except cuDNN, which has checks of its own."""
    fact = context.fact(key)
    families = dict.fromkeys(
        family_of(soname) for sonames in fact.details.get("needed", {}).values() for soname in sonames
    )
    asked = {
        soname: (path, family)
        for family in families
        if family not in {"", "cudnn"}
        for soname, path in wants(fact, family).items()
    }
    if not asked:
        return
    missing = {soname: who for soname, who in asked.items() if not has_soname(context.fact(who[1]), soname)}
    if not missing:
        yield context.compatible("TRC-LIB-003", key, facts=(key,), expected=join(sorted(asked)), found="all there")
        return
    soname, (path, family) = next(iter(missing.items()))
    without = tuple(dict.fromkeys(family for _, family in missing.values()))
    yield context.incompatible(
        "TRC-LIB-003", key, components=tuple(dict.fromkeys(PART_OF.get(name, name) for name in (*without, key))),
        facts=(key, *without), expected=join(sorted(missing)),
        found=join(what_is_there(context, name) for name in without),
        detail=f"{path} needs {soname}", source=measured(f"NEEDED entries of {path}"),
        remedy=for_missing_library(context, soname, family),
    )  # fmt: skip


def what_is_there(context: Context, key: str) -> str:
    """Return ``cuDNN 9.10.2.21 (libcudnn.so.9)`` or ``no cuDNN library``."""
    there = brings(context.fact(key))
    return f"{title_of(key)} {there}" if there else f"no {title_of(key)} library"


def has_soname(fact: Fact, soname: str) -> bool:
    """Say whether a copy of that SONAME is among those the loader could find."""
    return any(copy.soname == soname or copy.path.rpartition("/")[2] == soname for copy in fact.copies if copy.soname)
