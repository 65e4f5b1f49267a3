"""Start a server of our own: ports, folder, command, and another attempt where the machine was at fault."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from pytest_trtcheck._suites.serving.endpoint import Endpoint
from pytest_trtcheck._suites.serving.installation import Installation
from pytest_trtcheck._suites.serving.server import LOOPBACK, Server, ServerError
from pytest_trtcheck.isolation.guard import Charge

ATTEMPTS = 3
_PORT_TAKEN = ("Address already in use", "failed to start HTTP service", "Socket '", "port is already in use")
STARVED = ("' is not healthy", "boost::interprocess::lock_exception")
"""What the server says of a Python stub that died, and of one that got no CPU for some seconds: see docs/serving.md."""


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for entry in sockets:
            entry.bind((LOOPBACK, 0))
        return [int(entry.getsockname()[1]) for entry in sockets]


def start_server(
    installation: Installation,
    fill: Sequence[tuple[str, str | bytes]],
    options: Sequence[str] = (),
    *,
    wait: bool = True,
    ports: Sequence[int] | None = None,
    environment: dict[str, str] | None = None,
) -> Server:
    """Start a server with these files, by path, in its model repository, and wait until it is ready.

    A port that another process took meanwhile costs another attempt, unless ``ports`` (HTTP, gRPC, metrics) are given,
    and so does, once, a Python stub that starved or died. ServerError when it does not come up; nothing of it is left.
    """
    taken = starved = 0
    while True:
        try:
            server = _prepare(installation, fill, options, ports or free_ports(3), environment)
        except OSError as error:
            words = f"the server's private folder: {error}; set TMPDIR to a folder that can be written"
            raise ServerError(words) from None
        server.starts = 1 + taken + starved
        try:
            server.launch()
            if wait:
                server.wait_until_ready()
        except BaseException as error:
            log = "\n".join(server.log_lines())
            server.discard()
            shutil.rmtree(server.folder, ignore_errors=True)
            if isinstance(error, ServerError):
                if ports is None and taken + 1 < ATTEMPTS and any(mark in log for mark in _PORT_TAKEN):
                    taken += 1
                    continue
                if not starved and any(mark in log for mark in STARVED):
                    starved = 1
                    continue
            raise
        return server


def _prepare(
    installation: Installation,
    fill: Sequence[tuple[str, str | bytes]],
    options: Sequence[str],
    ports: Sequence[int],
    environment: dict[str, str] | None,
) -> Server:
    identity = f"trtcheck_{os.getpid()}_{secrets.token_hex(4)}"
    folder = Path(tempfile.mkdtemp(prefix=f"{identity}_"))
    try:
        write_files(folder / "models", fill)
        http, grpc, metrics = ports
        command = (
            str(installation.program),
            f"--id={identity}",
            f"--model-repository={folder / 'models'}",
            f"--backend-directory={installation.lay_out_backends(folder)}",
            *(f"--{name}-address={LOOPBACK}" for name in ("http", "grpc", "metrics")),
            f"--http-port={http}",
            f"--grpc-port={grpc}",
            f"--metrics-port={metrics}",
            f"--backend-config=python,shm-region-prefix-name={identity}_",
            *options,
        )
        charge = Charge(
            command=command,
            environment=installation.environment(folder, {**os.environ, **(environment or {})}),
            log=str(folder / "server.log"),
            folder=str(folder),
            shared_memory_prefix=f"{identity}_",
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Server(installation, folder, Endpoint(LOOPBACK, http, grpc, metrics), charge, identity)


def write_files(folder: Path, files: Sequence[tuple[str, str | bytes]]) -> None:
    """Write files, by path below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
