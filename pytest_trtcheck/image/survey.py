"""One walk through an image: where Python packages, engines and machine code lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_trtcheck.probe.plan_files import is_plan_name
from pytest_trtcheck.probe.root import Kind, ReadError

if TYPE_CHECKING:
    from pytest_trtcheck.probe.root import Root

NOT_OF_THE_IMAGE = frozenset({"/proc", "/sys", "/dev"})
"""A running container shows the host's kernel there."""
_SITES = {"site-packages", "dist-packages"}


@dataclass
class Survey:
    """Paths, real ones, by what is there."""

    files: int = 0
    sites: list[str] = field(default_factory=list)
    """Folders in which Python distributions are installed."""
    plans: list[str] = field(default_factory=list)
    """Files named like engines."""
    libraries: list[str] = field(default_factory=list)
    """Shared objects, links left out."""
    gpu_code: list[str] = field(default_factory=list)
    """``.cubin`` and ``.fatbin`` files."""
    problems: list[str] = field(default_factory=list)
    """What could not be looked into."""


def survey(root: Root) -> Survey:
    """Walk through the whole root once."""
    found = Survey()
    try:
        for folder, entries in root.walk(skip=NOT_OF_THE_IMAGE, problems=found.problems):
            found.files += len(entries)
            if folder.rpartition("/")[2] in _SITES:
                found.sites.append(folder)
            here = folder.rstrip("/")
            for name, kind in entries:
                if kind is not Kind.FILE:
                    continue
                if name.endswith(".so") or ".so." in name:
                    found.libraries.append(f"{here}/{name}")
                elif is_plan_name(name):
                    found.plans.append(f"{here}/{name}")
                elif name.endswith((".cubin", ".fatbin")):
                    found.gpu_code.append(f"{here}/{name}")
    except ReadError as error:
        found.problems.append(str(error))
    return found
