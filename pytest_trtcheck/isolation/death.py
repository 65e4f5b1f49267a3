"""Name the end of a worker: hang, signal, memory killer, exit in the middle of a check."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

POISONED_STATUS = 86
"""Exit status of a worker that leaves because its CUDA context is lost; the next check gets a new one."""

_FATAL = re.compile(r"^Fatal Python error: (.*)$", re.MULTILINE)
_TERMINATE = re.compile(
    r"^terminate called (?:after throwing an instance of '([^']*)'|without an active exception)", re.M
)
_WHAT = re.compile(r"^\s*what\(\):\s*(.*)$", re.MULTILINE)


class End(str, Enum):
    """Kinds of end."""

    HANG = "hang"
    OUT_OF_MEMORY = "out of memory"
    SIGNAL = "crash"
    EXIT = "exit"
    UNKNOWN = "worker lost"


@dataclass(frozen=True)
class Death:
    """How a worker ended while it ran a check."""

    end: End
    message: str
    """One line: kind, signal or status, the last words that tell why."""


def describe_death(status: int | None, tail: str, *, hang_seconds: float | None = None, memory_kills: int = 0) -> Death:
    """Return how a worker ended.

    ``status`` is as subprocess gives it, negative for a signal; ``tail`` the end of its stderr; ``hang_seconds`` the
    deadline that it missed; ``memory_kills`` how often the kernel's memory killer struck in this cgroup meanwhile.
    """
    if hang_seconds is not None:
        return Death(End.HANG, f"hang: still running at its deadline of {hang_seconds:g} s; the worker was killed")
    if status is None:
        return Death(End.UNKNOWN, "worker lost: its exit status could not be read")
    if status == -signal.SIGKILL and memory_kills:
        return Death(End.OUT_OF_MEMORY, "out of memory: SIGKILL by the kernel's memory killer (cgroup oom_kill)")
    words = _last_words(tail)
    if status < 0:
        outside = " from outside" if status == -signal.SIGKILL else ""
        return Death(End.SIGNAL, f"crash: {signal_name(-status)}{outside}{words}")
    return Death(End.EXIT, f"exit: the process left with status {status} in the middle of the check{words}")


def signal_name(number: int) -> str:
    """Return ``SIGSEGV``, or ``signal 64`` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_words(tail: str) -> str:
    """Return what Python or the C++ runtime said of the end."""
    thrown = _TERMINATE.search(tail)
    if thrown:
        what = _WHAT.search(tail, thrown.end())
        told = f": {what[1].strip()}" if what else ""
        return f"; C++ terminate, {thrown[1] or 'no active exception'}{told}"[:500]
    fatal = _FATAL.search(tail)
    return f"; Fatal Python error: {fatal[1].strip()}"[:500] if fatal else ""


def memory_kill_count(root: str = "/") -> int:
    """Return how often the memory killer struck in this process's cgroup and those below it; 0 where unreadable."""
    try:
        lines = Path(root, "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if "memory" in controllers.split(","):
            mount, name = Path(root, "sys/fs/cgroup/memory"), "memory.oom_control"
        elif not controllers:
            mount, name = Path(root, "sys/fs/cgroup"), "memory.events"
        else:
            continue
        # Inside a container the path is often that of the host, and the mount is already our own cgroup.
        own = mount / path.lstrip("/")
        folder = own if (own / name).is_file() else mount
        if (folder / name).is_file():
            below = [folder, *(entry for entry in folder.iterdir() if entry.is_dir())]
            return sum(_oom_kills(entry / name) for entry in below)
    return 0


def _oom_kills(file: Path) -> int:
    try:
        pairs = (line.split() for line in file.read_text().splitlines())
        return next((int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] == "oom_kill"), 0)
    except (OSError, ValueError):
        return 0
