"""One tritonserver, started on ports of its own and stopped so that nothing of it is left."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pytest_trtcheck._suites.serving.endpoint import Endpoint, TransportError
from pytest_trtcheck._suites.serving.installation import Installation
from pytest_trtcheck.isolation.guard import Charge, leftovers, members, start_guard

LOOPBACK = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
GUARD_SECONDS = 15.0
_POLL_SECONDS = 0.02
_TAIL_BYTES = 256 * 1024
_LINES = 6
_LAST_LINES = 3
_ERROR = re.compile(r"E\d{4} |[Ee]rror|Traceback|\w+Error\b|Signal \(|terminate called|what\(\):")
_NO_WORDS = re.compile(r"[+|]|\d+# |.*CudaDriverHelper has not been initialized|Error: Failed to initialize NVML")
"""Tables, frames of a native stack, and what it says on every machine without a GPU."""


class ServerError(Exception):
    """The server did not do what it must, with the last lines of its log."""


@dataclass
class Times:
    """When the server came to what, in seconds from its start; None for what never came."""

    live: float | None = None
    ready: float | None = None


@dataclass
class Server:
    """A running server of ours."""

    installation: Installation
    folder: Path
    """Private folder: model repository, log, links; removed at the end."""
    endpoint: Endpoint
    charge: Charge
    identity: str
    """Its ``--id``, by which a client knows that it talks to this one."""
    times: Times = field(default_factory=Times)
    pid: int = 0
    started: float = 0.0
    exit_status: int | None = None
    starts: int = 1
    """How often it was started until it came up."""
    _guard: subprocess.Popen[bytes] | None = None
    _told: bytes = b""

    @property
    def repository(self) -> Path:
        """Folder with the models."""
        return self.folder / "models"

    @property
    def log(self) -> Path:
        """File with all that the server wrote."""
        return Path(self.charge.log)

    def log_lines(self) -> list[str]:
        """Return the last part of the log."""
        with suppress(OSError), self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(size - _TAIL_BYTES, 0))
            return log.read(_TAIL_BYTES).decode(errors="replace").splitlines()
        return []

    def last_words(self) -> str:
        """Return the last lines of the log that tell of errors, and the very last, on one line."""
        lines = [line.strip() for line in self.log_lines() if line.strip() and not _NO_WORDS.match(line.strip())]
        errors = [line for line in lines if _ERROR.match(line)][-_LINES:]
        chosen = [line for line in lines if line in errors or line in lines[-_LAST_LINES:]]
        return " / ".join(dict.fromkeys(line[:400] for line in chosen)) or "its log is empty"

    def is_alive(self) -> bool:
        """Say whether the process is there; notes its exit status when it is not."""
        self._hear(0)
        return self.exit_status is None

    def wait_for_exit(self, seconds: float) -> bool:
        """Return True when the server ended within this time."""
        until = time.monotonic() + seconds
        while self.exit_status is None and time.monotonic() < until:
            self._hear(max(0.0, until - time.monotonic()))
        return self.exit_status is not None

    def death(self) -> str:
        """Return how the server ended, and its last words."""
        status = self.exit_status
        how = "still running" if status is None else f"exit status {status}"
        if status is not None and status < 0:
            how = signal.Signals(-status).name
        return f"tritonserver ended: {how}; last lines of its log: {self.last_words()}"

    def kill(self) -> None:
        """Kill the server's own process, as the kernel does when memory is short."""
        with suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)

    def wait_until_ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until the server says that it is live and ready; ServerError when it ends or takes too long."""
        until = self.started + seconds
        while time.monotonic() < until:
            if not self.is_alive():
                raise ServerError(self.death())
            with suppress(TransportError):
                if self.times.live is None and self.endpoint.is_live(timeout=1.0):
                    self.times.live = time.monotonic() - self.started
                if self.times.live is not None and self.times.ready is None and self.endpoint.is_ready(timeout=1.0):
                    self.times.ready = time.monotonic() - self.started
                if self.times.ready is not None:
                    # The metrics port opens last, some 40 ms after the server calls itself ready.
                    self.endpoint.metrics_text()
                    return
            time.sleep(_POLL_SECONDS)
        came = "live, never ready" if self.times.live is not None else "never live"
        came = "ready, without metrics" if self.times.ready is not None else came
        raise ServerError(f"tritonserver was {came} within {seconds:g} s; last lines of its log: {self.last_words()}")

    def stop(self, seconds: float = STOP_SECONDS) -> list[str]:
        """Ask the server to end, and return what it left: processes, shared memory, ports, in words; empty for nothing.

        Whatever it left is then removed. Safe to call twice.
        """
        if self._guard is None:
            return []
        left = []
        with suppress(OSError):
            os.kill(self.pid, signal.SIGTERM)
        if not self.wait_for_exit(seconds):
            left.append(f"still running {seconds:g} s after SIGTERM")
        else:
            # Stubs end when their server's last message reaches them, a moment after it.
            until = time.monotonic() + 2
            while (members(self.pid) or leftovers(self.charge)) and time.monotonic() < until:
                time.sleep(_POLL_SECONDS)
            left += [f"process {process}" for process in members(self.pid)]
        left += [f"shared memory {name}" for name in leftovers(self.charge)]
        self._release()
        left += [f"port {port}" for port in self.endpoint.ports if not _is_free(port)]
        if self.folder.exists():
            left.append(f"folder {self.folder}")
        return left

    def discard(self) -> None:
        """End the server at once, without asking, and remove everything of it."""
        if self._guard is not None:
            self._release()

    def _release(self) -> None:
        """Let the guard end and remove everything, and wait for it."""
        guard, self._guard = self._guard, None
        assert guard is not None
        assert guard.stdin is not None
        assert guard.stdout is not None
        with suppress(OSError):
            guard.stdin.close()
        until = time.monotonic() + GUARD_SECONDS
        while time.monotonic() < until:
            ready, _, _ = select.select([guard.stdout], [], [], until - time.monotonic())
            if ready and not os.read(guard.stdout.fileno(), 4096):
                break
        guard.stdout.close()
        guard.wait()

    def _hear(self, seconds: float) -> None:
        """Take what the guard tells, waiting for it this long at most."""
        if self._guard is None or self._guard.stdout is None or self.exit_status is not None:
            return
        ready, _, _ = select.select([self._guard.stdout], [], [], seconds)
        if not ready:
            return
        part = os.read(self._guard.stdout.fileno(), 4096)
        self._told += part
        for line in self._told.decode(errors="replace").splitlines():
            word, _, rest = line.partition(" ")
            if word == "started":
                self.pid = int(rest)
            elif word == "exited":
                self.exit_status = int(rest)
            elif word == "failed":
                raise ServerError(f"{self.installation.program} could not be started: {rest}")
        if not part and self.exit_status is None:
            self.exit_status = -signal.SIGKILL

    def launch(self) -> None:
        """Start the program in the charge of a guard; ServerError when that cannot be done."""
        self.started = time.monotonic()
        self._guard = start_guard(self.charge)
        until = self.started + GUARD_SECONDS
        while not self.pid and self.exit_status is None and time.monotonic() < until:
            self._hear(max(0.0, until - time.monotonic()))
        if not self.pid:
            raise ServerError("the guard of tritonserver did not start it")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server binds: connections of before that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
