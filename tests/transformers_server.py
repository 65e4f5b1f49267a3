"""``transformers serve`` with a model, as a context: a real server of the OpenAI protocol."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_trtcheck.providers.servers import Server
from tests.listening import wait_until_listening

NEEDS = ("torch", "transformers", "fastapi", "uvicorn", "openai")
UP_SECONDS = 120.0


def is_here() -> bool:
    """Say whether the server's packages are installed."""
    return all(importlib.util.find_spec(name) is not None for name in NEEDS)


@contextmanager
def transformers_server(model: Path) -> Iterator[Server]:
    """Run the server on a port of its own until the context ends; it listens when the context begins."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "transformers.cli.transformers", "serve", str(model), "--host", "127.0.0.1",
        "--port", str(port), "--device", "cpu", "--dtype", "float32",
    ]  # fmt: skip
    server = subprocess.Popen(
        command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until_listening(port, UP_SECONDS, lambda: "" if server.poll() is None else f"status {server.returncode}")
        yield Server("127.0.0.1", port, "/v1")
    finally:
        server.kill()
        server.wait()
