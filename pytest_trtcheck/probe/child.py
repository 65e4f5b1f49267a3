"""Run one Python child with a deadline. Whatever loads a native library runs in one, so a crash costs little.

A child reports JSON lines on a pipe of its own, because libraries print to stdout. It runs in a session of
its own, so that it dies together with everything it started.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

TAIL_BYTES = 8 * 1024
RECORD_BYTES = 1024 * 1024
_PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])
_POLL_SECONDS = 0.05
_REAP_SECONDS = 2.0
_CHUNK = 64 * 1024
_ALARM_GRACE_SECONDS = 10

# The current folder must not shadow what is imported; this package is looked for last if the child would not
# find it by itself. The alarm ends a child whose parent was killed. A crash is kept from leaving a core file.
# Shortly before the deadline, told as monotonic time so that a slow start counts, a traceback shows the hang.
_BOOT = f"""\
import sys
if sys.path and sys.path[0] == "":
    del sys.path[0]
import faulthandler, os, resource, runpy, signal, time
parent, left, fd = sys.argv[1], float(sys.argv[2]) - time.monotonic(), int(sys.argv[3])
if parent not in sys.path:
    sys.path.append(parent)
resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
signal.signal(signal.SIGALRM, signal.SIG_DFL)
signal.alarm(max(0, int(left)) + {_ALARM_GRACE_SECONDS})
faulthandler.dump_traceback_later(max(0.01, left - min(1.0, left * 0.3)))
os.set_inheritable(fd, False)
module = sys.argv[4]
sys.argv[1:] = [str(fd), *sys.argv[5:]]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class ChildEnd:
    """How a child ended and what it had reported by then."""

    records: tuple[dict[str, Any], ...] = ()
    """What it reported, in order; a line that is no JSON object is left out."""
    returncode: int | None = None
    """Exit status, negative for a signal; None when it never started or its status was lost."""
    signal: str = ""
    """Name of the signal that ended it, ``SIGSEGV``; empty when it left by itself or was killed by us."""
    seconds: float = 0.0
    timed_out: bool = False
    """True when it was killed at its deadline."""
    stopped: bool = False
    """True when it was killed, or never started, because the run was closing."""
    stderr_tail: str = ""
    """The last 8 KiB of its stdout and stderr, as they came."""
    start_error: str = ""
    """Why it could not be started; empty when it was."""

    @property
    def ended_well(self) -> bool:
        """True when it left by itself with status 0."""
        return self.returncode == 0 and not self.timed_out and not self.stopped

    def describe(self) -> str:
        """Tell in words how it ended."""
        if self.start_error:
            return f"the child process could not be started: {self.start_error}"
        if self.stopped:
            return "the run was closing before the child process had ended"
        if self.timed_out:
            return f"the child process hung and was killed after {self.seconds:.1f} s"
        if self.signal:
            return f"the child process was ended by {self.signal}"
        if self.returncode is None:
            return "the exit status of the child process was lost: SIGCHLD is ignored in this process"
        return f"the child process left with status {self.returncode}"


def run_child(
    code_module: str,
    args: Sequence[str] = (),
    *,
    deadline_seconds: float,
    env: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
) -> ChildEnd:
    """Run ``code_module`` as ``__main__`` in a child; its ``sys.argv[1]`` is the descriptor to report on.

    Returns when the child has ended, at its deadline, or soon after ``stop`` is set. In every case the child
    and what is left of its process group are dead by then, and every descriptor is closed.
    """
    if stop is not None and stop.is_set():
        return ChildEnd(stopped=True)
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        try:
            read_fd, write_fd = os.pipe()
            reader = stack.enter_context(os.fdopen(read_fd, "rb", 0))
            writer = stack.enter_context(os.fdopen(write_fd, "wb", 0))
            process = _start(code_module, args, write_fd, started + deadline_seconds, env)
        except (OSError, ValueError) as error:
            return ChildEnd(start_error=str(error), seconds=time.monotonic() - started)
        writer.close()
        assert process.stdout is not None
        output = stack.enter_context(process.stdout)
        records, tail = _Records(), _Tail()
        pipes: dict[int, Callable[[bytes], None]] = {
            reader.fileno(): records.feed,
            output.fileno(): tail.feed,
        }
        try:
            cause = _watch(process.pid, pipes, started + deadline_seconds, stop)
        except BaseException:
            _end(process, kill_group=True)
            raise
        returncode = _end(process, kill_group=cause != "lost")
        _drain(pipes)
    return ChildEnd(
        records=records.parsed(),
        returncode=None if cause == "lost" else returncode,
        signal=_signal_name(returncode) if not cause else "",
        seconds=time.monotonic() - started,
        timed_out=cause == "deadline",
        stopped=cause == "stop",
        stderr_tail=tail.text(),
    )


def _start(
    code_module: str,
    args: Sequence[str],
    write_fd: int,
    deadline: float,
    env: Mapping[str, str] | None,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable or "", *_interpreter_flags(), "-X", "faulthandler", "-c", _BOOT),
            *(_PACKAGE_PARENT, str(deadline), str(write_fd), code_module, *args),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(write_fd,),
        start_new_session=True,
        env=None if env is None else dict(env),
    )


def _interpreter_flags() -> list[str]:
    """Return the flags of this interpreter that change what can be imported."""
    flags = {"-E": sys.flags.ignore_environment, "-s": sys.flags.no_user_site, "-S": sys.flags.no_site}
    return [name for name, is_set in flags.items() if is_set]


def _watch(
    pid: int, pipes: Mapping[int, Callable[[bytes], None]], deadline: float, stop: threading.Event | None
) -> str:
    """Feed the pipes until the child has ended; return ``""``, or why it is to be killed, or ``lost``."""
    with selectors.DefaultSelector() as selector:
        for fd, feed in pipes.items():
            os.set_blocking(fd, False)
            selector.register(fd, selectors.EVENT_READ, feed)
        while True:
            exited = _has_exited(pid)
            if exited is not False:
                return "" if exited else "lost"
            if stop is not None and stop.is_set():
                return "stop"
            left = deadline - time.monotonic()
            if left <= 0:
                return "deadline"
            if not selector.get_map():
                # Both pipes are closed, so the end is near; a short sleep, since nothing is left to wake us.
                time.sleep(min(left, 0.002))
                continue
            for key, _ in selector.select(min(left, _POLL_SECONDS)):
                if not _pump(key.fd, key.data):
                    selector.unregister(key.fd)


def _has_exited(pid: int) -> bool | None:
    """Say whether the child is dead, without reaping it: until then nobody else can get its process id."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return None


def _pump(fd: int, feed: Callable[[bytes], None]) -> bool:
    """Hand on one chunk; False at the end of the pipe."""
    try:
        chunk = os.read(fd, _CHUNK)
    except BlockingIOError:
        return True
    feed(chunk)
    return bool(chunk)


def _drain(pipes: Mapping[int, Callable[[bytes], None]]) -> None:
    """Read what is left in the pipes of a dead child.

    A process that left the child's session may still hold a pipe and write to it, so there is a bound.
    """
    for fd, feed in pipes.items():
        for _ in range(32):
            try:
                chunk = os.read(fd, _CHUNK)
            except BlockingIOError:
                break
            if not chunk:
                break
            feed(chunk)


def _end(process: subprocess.Popen[bytes], *, kill_group: bool) -> int:
    """Kill the group of the child, reap the child, return its status.

    A child stuck inside the kernel, in a driver that does not answer, survives even SIGKILL until the call
    returns. It is left behind then: waiting for it would hang the run.
    """
    if kill_group:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    try:
        return process.wait(timeout=_REAP_SECONDS)
    except subprocess.TimeoutExpired:
        process.returncode = -signal.SIGKILL
        return process.returncode


def _signal_name(returncode: int) -> str:
    if returncode >= 0:
        return ""
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


class _Tail:
    """The last bytes of a stream."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, chunk: bytes) -> None:
        self._data = (self._data + chunk)[-TAIL_BYTES:]

    def text(self) -> str:
        return self._data.decode("utf-8", "replace")


class _Records:
    """The report pipe, up to a size that no honest child reaches."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, chunk: bytes) -> None:
        self._data = (self._data + chunk)[:RECORD_BYTES]

    def parsed(self) -> tuple[dict[str, Any], ...]:
        found = []
        for line in self._data.splitlines():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict):
                found.append(record)
        return tuple(found)
