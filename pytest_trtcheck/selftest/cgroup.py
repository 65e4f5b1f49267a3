"""A memory cgroup of our own, to meet the kernel's memory killer without harming anything else."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_LIMIT_BYTES = 64 * 1024 * 1024
_NAME = "trtcheck-selftest"


def _parent() -> tuple[Path, str, str] | None:
    """Return the folder of this process's memory cgroup, and the names of its limit and of its process list."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return Path("/sys/fs/cgroup/memory", path.lstrip("/")), "memory.limit_in_bytes", "tasks"
        if not controllers and Path("/sys/fs/cgroup/cgroup.controllers").exists():
            return Path("/sys/fs/cgroup", path.lstrip("/")), "memory.max", "cgroup.procs"
    return None


def why_not() -> str:
    """Return why no cgroup can be made here; empty when one can. Removes what is left of an earlier try."""
    parent = _parent()
    if parent is None:
        return "no memory cgroup is mounted"
    group = parent[0] / _NAME
    try:
        group.mkdir(exist_ok=True)
        (group / parent[1]).write_text(str(_LIMIT_BYTES))
        group.rmdir()
    except OSError as error:
        return f"no memory cgroup can be made: {error.strerror or error}"
    return ""


def exceed_limit() -> None:
    """Move into a cgroup with a small limit and take more; the kernel kills this process."""
    parent = _parent()
    assert parent is not None
    group = parent[0] / f"{_NAME}-{os.getpid()}"
    group.mkdir()
    (group / parent[1]).write_text(str(_LIMIT_BYTES))
    (group / parent[2]).write_text(str(os.getpid()))
    blocks = [os.urandom(1024 * 1024) for _ in range(2 * _LIMIT_BYTES // (1024 * 1024))]
    raise AssertionError(f"{len(blocks)} MiB in a cgroup of {_LIMIT_BYTES} bytes, and nobody was killed")


def remove_leftovers() -> None:
    """Remove cgroups of processes that are gone."""
    parent = _parent()
    for group in parent[0].glob(f"{_NAME}*") if parent is not None else ():
        with suppress(OSError):
            group.rmdir()
