"""A small process between a server under test and the process that wants it, so that nothing of the server is left.

Whatever becomes of the owner, by SIGKILL too, its end of a pipe closes; then the guard ends the server's processes and
removes its shared memory and its folder. It leaves the owner's process tree and environment behind, so that what kills
an owner with all its children does not take the guard along. Standard library only; run as a module.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_trtcheck.isolation.orphan import die_with_parent

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory lies on Linux
KILL_WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Charge:
    """What a guard starts, and what is removed at its end."""

    command: tuple[str, ...]
    environment: dict[str, str]
    log: str
    """File that takes the command's output."""
    folder: str
    """Removed with all that is in it."""
    shared_memory_prefix: str


def start_guard(charge: Charge) -> subprocess.Popen[bytes]:
    """Start a guard with its charge; its output tells ``started PID`` and ``exited STATUS``, a line each.

    Closing its input ends it and all of its charge; its output ends when everything is removed.
    """
    guard = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Without the marks by which children of a dead worker are found and killed.
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        start_new_session=True,
    )
    assert guard.stdin is not None
    try:
        guard.stdin.write(json.dumps(asdict(charge)).encode() + b"\n")
        guard.stdin.flush()
    except BrokenPipeError:
        # It died at once: its output ends without "started", which the owner tells.
        pass
    return guard


def leftovers(charge: Charge) -> list[str]:
    """Return the shared-memory segments that a charge has now."""
    return sorted(entry.name for entry in SHARED_MEMORY.glob(f"{charge.shared_memory_prefix}*"))


def members(session: int) -> list[int]:
    """Return the living processes of a session; one that ended and waits for its parent is not living."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                # The name in parentheses may itself hold spaces and parentheses.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session and fields[0] not in "ZX":
                    found.append(int(entry.name))
    return found


def end_session(session: int) -> None:
    """Kill all processes of a session and wait until they are gone."""
    until = time.monotonic() + KILL_WAIT_SECONDS
    while (living := members(session)) and time.monotonic() < until:
        for process in living:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _tell(words: str) -> None:
    with suppress(OSError):
        os.write(1, f"{words}\n".encode())


def _watch(server: subprocess.Popen[bytes]) -> None:
    """Tell when the server ends; return when the owner closes the pipe or is gone."""
    told = False
    while True:
        if not told and server.poll() is not None:
            told = True
            _tell(f"exited {server.returncode}")
        ready, _, _ = select.select([0], [], [], None if told else _POLL_SECONDS)
        if ready and not os.read(0, 4096):
            return


def _leave_the_tree() -> None:
    """Go on in a process whose parent is init: what kills an owner's children does not find it."""
    if os.fork():
        os._exit(0)


def main() -> None:
    """Serve one charge, read from standard input."""
    _leave_the_tree()
    # The owner's end of the pipe says when to stop, nothing else does: not Ctrl-C, not a terminal that closes.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 65536)
        if not part:
            return
        line += part
    told = json.loads(line)
    charge = Charge(**{**told, "command": tuple(told["command"])})
    try:
        with Path(charge.log).open("ab") as log:
            server = subprocess.Popen(
                charge.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=charge.environment,
                cwd=charge.folder,
                start_new_session=True,
                restore_signals=True,
                preexec_fn=_before_exec,  # noqa: PLW1509 - this process has one thread
            )
        _tell(f"started {server.pid}")
        _watch(server)
        end_session(server.pid)
        server.wait()
    except OSError as error:
        _tell(f"failed {error}")
    finally:
        for name in leftovers(charge):
            with suppress(OSError):
                (SHARED_MEMORY / name).unlink()
        shutil.rmtree(charge.folder, ignore_errors=True)


def _before_exec() -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    die_with_parent()


if __name__ == "__main__":
    main()
