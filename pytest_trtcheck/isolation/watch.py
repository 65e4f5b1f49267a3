"""Deadlines, enforced from the controller: a worker that is blocked in C cannot enforce anything itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

STACK_SIGNAL = signal.SIGUSR1
"""Makes a worker write the Python stacks of all its threads (faulthandler), even while C code holds the GIL."""

_STACKS_AT = 0.9
_TICK_SECONDS = 0.05
_NATIVE_STACK_SECONDS = 10


@dataclass
class Running:
    """A check that a worker runs now."""

    nodeid: str
    pid: int
    started: float
    deadline_seconds: float
    stacks_asked: bool = False
    native_stack: str = ""


@dataclass
class Watch:
    """Looks at what runs, in a thread of the controller's."""

    clock: Callable[[], float] = time.monotonic
    hung: dict[str, Running] = field(default_factory=dict)
    """Checks whose worker was killed at the deadline, by node id."""

    def __post_init__(self) -> None:
        """Prepare; ``start`` begins."""
        self._running: dict[str, Running] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._loop, name="trtcheck-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=_NATIVE_STACK_SECONDS + 1)

    def begin(self, nodeid: str, pid: int, deadline_seconds: float) -> None:
        """Start the clock of a check."""
        with self._lock:
            self._running[nodeid] = Running(nodeid, pid, self.clock(), deadline_seconds)

    def end(self, nodeid: str) -> None:
        """Stop the clock of a check."""
        with self._lock:
            self._running.pop(nodeid, None)

    def _loop(self) -> None:
        while not self._stop.wait(_TICK_SECONDS):
            with self._lock:
                running = list(self._running.values())
            for check in running:
                # Whatever goes wrong with one look, deadlines stay in force.
                with suppress(Exception):
                    self._look(check)

    def _look(self, check: Running) -> None:
        elapsed = self.clock() - check.started
        if elapsed >= check.deadline_seconds:
            with self._lock:
                # It may have ended since the list was made; then nobody is killed.
                if self._running.pop(check.nodeid, None) is None:
                    return
                self.hung[check.nodeid] = check
            kill_tree(check.pid)
        elif elapsed >= check.deadline_seconds * _STACKS_AT and not check.stacks_asked:
            check.stacks_asked = True
            with suppress(OSError):
                os.kill(check.pid, STACK_SIGNAL)
            left = check.deadline_seconds * (1 - _STACKS_AT)
            check.native_stack = native_stack(check.pid, min(left, _NATIVE_STACK_SECONDS))


def native_stack(pid: int, timeout_seconds: float) -> str:
    """Return the native stacks of a process as py-spy shows them; empty where py-spy is not there or may not look."""
    program = shutil.which("py-spy")
    if program is None:
        return ""
    command = [program, "dump", "--native", "--nonblocking", "--pid", str(pid)]
    with suppress(OSError, subprocess.SubprocessError):
        end = subprocess.run(command, capture_output=True, timeout=timeout_seconds, check=False)
        if end.returncode == 0:
            return end.stdout.decode(errors="replace")
    return ""


def kill_tree(pid: int) -> None:
    """Kill a process and all that it started, the youngest first."""
    for process in (*reversed(descendants(pid)), pid):
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)


def kill_tagged(environment: Mapping[str, str]) -> None:
    """Kill every process that was started with these environment variables: children that outlived their parent."""
    wanted = {f"{name}={value}".encode() for name, value in environment.items()}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if wanted <= set((entry / "environ").read_bytes().split(b"\0")):
                    os.kill(int(entry.name), signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Return the processes below one, parents before children."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                # The name in parentheses may itself hold spaces and parentheses.
                parent = int(Path(entry, "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    below: list[int] = []
    queue = [pid]
    while queue:
        found = children.get(queue.pop(0), [])
        below += found
        queue += found
    return below
