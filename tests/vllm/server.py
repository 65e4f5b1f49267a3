"""vLLM's own server of the OpenAI protocol with the probe model, on a port of the loopback interface."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
from pytest_trtcheck._suites.serving.openai.client import CHAT_TEMPLATE
from pytest_trtcheck._suites.serving.starting import free_ports
from pytest_trtcheck.isolation.guard import Charge, members, start_guard
from pytest_trtcheck.providers.servers import Server
from tests.listening import wait_until_listening

UP_SECONDS = 240.0
END_SECONDS = 30.0


@contextmanager
def vllm_server(log: Path) -> Iterator[Server]:
    """Run the server until the context ends, its output into ``log``.

    A guard ends it whatever becomes of this process.
    """
    (port,) = free_ports(1)
    folder = Path(tempfile.mkdtemp(prefix="trtcheck_vllm_"))
    model = folder / "probe"
    shutil.copytree(MODEL, model)
    shutil.copy(CHAT_TEMPLATE, model)
    command = (
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--host", "127.0.0.1",
        "--port", str(port), "--enforce-eager", "--kv-cache-memory-bytes", str(256 << 20),
    )  # fmt: skip
    guard = start_guard(Charge(command, dict(os.environ), str(log), str(folder), f"{folder.name}_"))
    try:
        session = _started(guard)
        wait_until_listening(port, UP_SECONDS, lambda: _last_words(session, log))
        yield Server("127.0.0.1", port, "/v1")
        _stop(session)
    finally:
        guard.communicate()


def _started(guard: subprocess.Popen[bytes]) -> int:
    assert guard.stdout is not None
    word, _, number = guard.stdout.readline().decode().partition(" ")
    assert word == "started", f"{word} {number}"
    return int(number)


def _last_words(session: int, log: Path) -> str:
    """Return the end of the log if the server has ended."""
    return "" if members(session) else f"{log.read_text(encoding='utf-8', errors='replace')[-3000:]!r}"


def _stop(session: int) -> None:
    """Let the server remove its shared memory, if it ends in time; the guard kills what is left of it."""
    end = time.monotonic() + END_SECONDS
    with suppress(ProcessLookupError):
        os.kill(session, signal.SIGTERM)
    while members(session) and time.monotonic() < end:
        time.sleep(0.1)
