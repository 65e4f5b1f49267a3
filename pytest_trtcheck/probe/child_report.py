"""The child's side of ``child``: report records, read the own map. Kept small, as every child imports it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def report(fd: int, record: Mapping[str, Any]) -> None:
    """Write one record; it is in the parent's hands even if the next statement kills this process."""
    line = (json.dumps(record) + "\n").encode()
    while line:
        line = line[os.write(fd, line) :]


def mapped_files(*parts: str) -> list[str]:
    """Return the files mapped into this process whose name contains one of ``parts``, sorted."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    paths = {line[line.index("/") :].removesuffix(" (deleted)") for line in lines if "/" in line}
    return sorted(path for path in paths if any(part in path.rpartition("/")[2] for part in parts))
