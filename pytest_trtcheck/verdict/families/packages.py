"""Do the installed packages hold what they declare of each other?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import STACK_DISTRIBUTIONS
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.model.versions import PackageVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.facts import Distribution
    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.verdict.base import Context, Unasked


def packages(context: Context) -> Iterator[Finding | Unasked]:
    """Judge the metadata of every installed package of the stack."""
    for dist in context.stack.distributions:
        key = STACK_DISTRIBUTIONS.get(dist.name)
        if key is None:
            continue
        if dist.note:
            yield context.unknown(
                "TRC-PKG-002", dist.name, facts=(key,), expected="metadata that can be read", found=dist.note,
                detail=f"read in {dist.path}",
            )  # fmt: skip
            continue
        yield from _requirements(context, dist, key)
        yield from _python(context, dist, key)


def _requirements(context: Context, dist: Distribution, key: str) -> Iterator[Finding]:
    stack_requirements = list(_on_the_stack(context, dist))
    if not stack_requirements:
        return
    unmet = [words for name, text in stack_requirements if (words := _unmet(context, name, text))]
    expected = ", ".join(text for _, text in stack_requirements)
    if unmet:
        yield context.compatible(
            "TRC-PKG-001", dist.name, severity=Severity.WARNING, facts=(key,),
            expected=expected, found="; ".join(unmet),
            detail=f"declared in {dist.path}",
            remedy=f"pip install --upgrade {dist.name}=={dist.version}, or keep the versions and test that they work.",
        )  # fmt: skip
    else:
        yield context.compatible("TRC-PKG-001", dist.name, facts=(key,), expected=expected, found="all met")


def _markers(context: Context) -> dict[str, str]:
    """Return what environment markers are evaluated with: this interpreter, or that of the image."""
    if context.stack.kind == "host":
        return {"extra": ""}
    python, machine = context.value("python") or "", context.value("arch") or ""
    known = {
        "extra": "", "os_name": "posix", "sys_platform": "linux", "platform_system": "Linux",
        "platform_machine": machine, "python_version": ".".join(python.split(".")[:2]), "python_full_version": python,
    }  # fmt: skip
    return {name: value for name, value in known.items() if value or name == "extra"}


def _on_the_stack(context: Context, dist: Distribution) -> Iterator[tuple[str, str]]:
    """Yield name and text of each requirement on another package of the stack that applies here."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    markers = _markers(context)
    for text in dist.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        name = canonicalize_name(requirement.name)
        if name not in STACK_DISTRIBUTIONS or (requirement.marker and not requirement.marker.evaluate(markers)):
            continue
        yield name, f"{name}{requirement.specifier}"


def _unmet(context: Context, name: str, text: str) -> str:
    """Return how a requirement is not met; empty when it is."""
    from packaging.requirements import Requirement

    installed = context.stack.distribution(name)
    if installed is None:
        return f"{text}: {name} is not installed"
    version = PackageVersion.try_parse(installed.version)
    if version is None:
        return f"{text}: version {installed.version!r} of {name} cannot be read"
    # Release candidates count: packaging would leave them out unless told so.
    met = Requirement(text).specifier.contains(version.pep440, prereleases=True)
    return "" if met else f"{text}: found {installed.version}"


def _python(context: Context, dist: Distribution, key: str) -> Iterator[Finding]:
    python = PackageVersion.try_parse(context.value("python"))
    if not dist.requires_python or python is None:
        return
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        admitted = SpecifierSet(dist.requires_python).contains(python.pep440, prereleases=True)
    except InvalidSpecifier:
        return
    found = f"Python {python}"
    if admitted:
        yield context.compatible(
            "TRC-PKG-003", dist.name, facts=(key, "python"), expected=dist.requires_python, found=found
        )
    else:
        yield context.incompatible(
            "TRC-PKG-003", dist.name, components=("python", key), facts=(key, "python"),
            expected=f"Python {dist.requires_python}", found=found, detail=f"declared in {dist.path}",
        )  # fmt: skip
