"""What a known-good image contains, written down, and how another one differs from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_trtcheck.described.documents import read_documents, read_text
from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.model.components import COMPONENTS
from pytest_trtcheck.model.facts import Fact, State
from pytest_trtcheck.probe.dpkg import read_packages
from pytest_trtcheck.probe.root import ReadError
from pytest_trtcheck.probe.rpm import read_rpm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.probe.root import Root

FORMAT = "1"
VERSIONS, PYTHON, PACKAGES = "versions", "python", "packages"
GROUPS = (VERSIONS, PYTHON, PACKAGES)
"""Components and ground of the stack; Python distributions; packages of dpkg and rpm. Each maps a name to a version."""

# Of the facts, those that belong to the image and not to the machine or to the way in which the image was read.
_PLATFORM = (
    "arch", "os", "glibc", "libstdcxx", "python", "cuda_toolkit", "triton_server", "openmpi", "torch_cuda",
    "torch_cxx11_abi", "tensorrt_package_cuda", "triton_container", "ngc_pytorch", "engine_built_with_tensorrt",
    "engine_built_with_tensorrt_llm",
)  # fmt: skip
_UNKNOWN = "version unknown"


@dataclass(frozen=True)
class Contents:
    """What an image contains."""

    image: str
    digest: str
    groups: Mapping[str, Mapping[str, str]]
    where: str = ""
    """The file that it was read from."""


def contents_of(stack: Stack, root: Root) -> Contents:
    """Return what an image contains; names without a version are kept, with words in its place."""
    keys = (*_PLATFORM, *(component.key for component in COMPONENTS))
    found = {key: stack.get(key) for key in keys}
    packages = _packages(root)
    return Contents(
        stack.name,
        stack.value("image") or "",
        {
            VERSIONS: {key: fact.value or _UNKNOWN for key, fact in sorted(found.items()) if fact.is_found},
            PYTHON: {dist.name: dist.version or _UNKNOWN for dist in stack.distributions},
            PACKAGES: dict(sorted(packages.items())),
        },
    )


def _packages(root: Root) -> dict[str, str]:
    try:
        packages = read_packages(root)
    except ReadError:
        packages = ()
    try:
        rpm = read_rpm(root)
    except ReadError:
        rpm = None
    return {package.name: package.version for package in (*packages, *(rpm.packages if rpm else ()))}


def to_text(contents: Contents) -> str:
    """Return the contents as a YAML document, every scalar in quotes."""
    lines = [
        "# What an image contains, written by pytest --trtcheck --trtcheck-freeze; held against another image by",
        "# --trtcheck-pins. Delete what may change. image and digest say where it comes from and are not compared.",
        f"format: {json.dumps(FORMAT)}",
        f"image: {json.dumps(contents.image)}",
        f"digest: {json.dumps(contents.digest)}",
    ]
    for group in GROUPS:
        entries = contents.groups.get(group) or {}
        lines.append(f"{group}:" if entries else f"{group}: {{}}")
        lines += [f"  {json.dumps(name)}: {json.dumps(version)}" for name, version in entries.items()]
    return "\n".join(lines) + "\n"


def read_pins(path: Path, name: str) -> Contents:
    """Return pins as written down; TrtcheckError, one line, for a file that holds none."""
    documents = list(islice(read_documents(read_text(path, name), name), 2))
    document = documents[0].value if len(documents) == 1 else None
    if documents and documents[0].error:
        raise documents[0].error
    where = f"--trtcheck-pins {name}"
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise OptionError(f"{where}: expected one document with format: {FORMAT!r}, as --trtcheck-freeze writes it")
    unknown = sorted(set(document) - {"format", "image", "digest", *GROUPS})
    if unknown:
        raise OptionError(f"{where}: expected the keys {', '.join(GROUPS)}, found {unknown[0]!r}")
    groups = {group: _group(document.get(group), f"{where}: {group}") for group in GROUPS if group in document}
    if not any(groups.values()):
        raise OptionError(f"{where}: expected at least one version, found none")
    return Contents(str(document.get("image") or ""), str(document.get("digest") or ""), groups, name)


def _group(value: object, where: str) -> dict[str, str]:
    if value is None or value == "{}":
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(version, str) for version in value.values()):
        raise OptionError(f"{where}: expected names with versions, found something else")
    return dict(value)


def differences(pinned: Contents, found: Contents) -> dict[str, list[str]]:
    """Return by group what differs, one line each; a group that is not pinned is not compared."""
    return {
        group: list(_differences(wanted, found.groups.get(group) or {}))
        for group, wanted in pinned.groups.items()
        if wanted
    }


def _differences(wanted: Mapping[str, str], have: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*wanted, *have}):
        if name not in have:
            yield f"{name} {wanted[name]} is missing"
        elif name not in wanted:
            yield f"{name} {have[name]} is new"
        elif wanted[name] != have[name]:
            yield f"{name} is {have[name]}, pinned {wanted[name]}"


def pins_fact(pinned: Contents, found: Contents) -> Fact:
    """Return ``pins``: how many differences there are, with all of them."""
    differing = differences(pinned, found)
    details = {
        "differences": differing,
        "compared": {group: len(pinned.groups[group]) for group in differing},
        "image": pinned.image,
        "digest": pinned.digest,
    }
    count = str(sum(map(len, differing.values())))
    return Fact("pins", State.FOUND, count, pinned.where, "number of differences", details=details)
