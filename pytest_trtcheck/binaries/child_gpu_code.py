"""Read the GPU code of what is installed, in a child: reading gigabytes must not hold up the run that waits for it.

Arguments: descriptor, architectures joined by commas, then site folders. A record for each file, one at the end.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pytest_trtcheck.binaries.audit import probe_gpu_code, system_libraries
from pytest_trtcheck.probe.child_report import report
from pytest_trtcheck.probe.ldso import loader_search
from pytest_trtcheck.probe.root import Kind, Root

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def main(fd: int, architectures: str, sites: Sequence[str]) -> None:
    """Report every file with GPU code."""
    root = Root("/")
    wanted = [int(text) for text in architectures.split(",") if text]
    folders = [folder.path for folder in loader_search(root, os.environ).folders]
    paths = [*_below(root, sites), *system_libraries(root, folders)]
    fact = probe_gpu_code(root, paths, architectures=wanted)
    for file in fact.details.get("files", ()):
        report(fd, {"kind": "file", **file})
    report(fd, {"kind": "end", "problems": list(fact.details.get("problems", ()))})


def _below(root: Root, sites: Sequence[str]) -> Iterator[str]:
    for site in sites:
        if root.is_dir(site):
            for folder, entries in root.walk(site, problems=[]):
                names = (entry.name for entry in entries if entry.kind is Kind.FILE and ".so" in entry.name)
                yield from (f"{folder}/{name}" for name in names if name.endswith(".so") or ".so." in name)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
