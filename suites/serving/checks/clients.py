"""Clients that misbehave: slow, gone in the middle, too large, talking nonsense. Nobody else must notice."""

from __future__ import annotations

import json
import shutil
import socket
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.serving.abuse import strict
from pytest_trtcheck._suites.serving.bench import wait_until
from pytest_trtcheck._suites.serving.checking import Check, Measured, NotRun, expect
from pytest_trtcheck._suites.serving.checks.requests import serves
from pytest_trtcheck._suites.serving.crowd import Traffic
from pytest_trtcheck._suites.serving.known import SPLIT_PATH, met
from pytest_trtcheck._suites.serving.vitals import vitals_of
from pytest_trtcheck.isolation.guard import SHARED_MEMORY
from pytest_trtcheck.model.report import Measurement, Reason

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.bench import Bench
    from pytest_trtcheck._suites.serving.endpoint import Endpoint

SLOW_STEP_SECONDS = 0.02
IDLE_CONNECTIONS = 100
GONE = 20
LARGE_BYTES = 100 * 1024 * 1024
LARGE_SECONDS = 60.0
NEEDED_BYTES = 6 * LARGE_BYTES
ANSWER_SECONDS = 10.0
SLACK_DESCRIPTORS = 8
NONSENSE = (
    b"\x16\x03\x01\x02\x00\x01\x00" * 20,
    b"GET /v2 HTTP/1.1\r\nHost: a\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n",
    b"POST /v2/models/strict/infer HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n{}",
    b"POST /v2/models/strict/infer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
    b"\r\n" * 1000,
)
"""What is no HTTP, or lies about its length."""


def _request(body: bytes, claimed: int | None = None) -> bytes:
    head = f"POST /v2/models/strict/infer HTTP/1.1\r\nHost: trtcheck\r\nContent-Length: {claimed or len(body)}\r\n\r\n"
    return head.encode() + body


def _connect(stack: ExitStack, http: Endpoint) -> socket.socket:
    return stack.enter_context(socket.create_connection((http.host, http.http_port), ANSWER_SECONDS))


def slow(bench: Bench) -> Measured:
    """A client that sends its request a few bytes at a time is answered, and others are served meanwhile."""
    http = bench.http("trouble")
    whole = _request(strict().encode())
    line = whole.index(b"\r\n") + 2
    with Traffic(lambda: serves(http), clients=1) as traffic:
        told = _in_pieces(http, [whole[:line], *(whole[at : at + 4] for at in range(line, len(whole), 4))])
        meanwhile = traffic.answers
    expect(told.startswith(b"HTTP/1.1 200"), f"a slow client was answered with {told[:80]!r}")
    expect(not traffic.errors, f"while a client was slow, others failed: {(traffic.errors or [''])[0]}")
    expect(meanwhile > 1, "while a client was slow, nobody else was answered")
    yield Measurement("answers_meanwhile", meanwhile, "answers")
    middle = whole.index(b"/models")
    told = _in_pieces(http, [whole[:middle], whole[middle:]])
    if not told.startswith(b"HTTP/1.1 200"):
        met(bench, SPLIT_PATH, f"{told[:24]!r}")
    serves(http)


def _in_pieces(http: Endpoint, pieces: list[bytes]) -> bytes:
    """Send pieces with a pause after each, and return the beginning of the answer, empty for none."""
    with ExitStack() as stack:
        client = _connect(stack, http)
        with suppress(OSError):
            for piece in pieces:
                client.sendall(piece)
                time.sleep(SLOW_STEP_SECONDS)
            return client.recv(65536)
    return b""


def gone(bench: Bench) -> Measured:
    """Clients that go in the middle of a request, or come and say nothing, hold nothing and disturb nobody."""
    server, http = bench.server("trouble"), bench.http("trouble")
    serves(http)
    before = vitals_of(server).descriptors
    sent = strict().encode()
    with ExitStack() as stack:
        for _ in range(IDLE_CONNECTIONS):
            _connect(stack, http)
        for _ in range(GONE):
            with ExitStack() as one:
                _connect(one, http).sendall(_request(sent[: len(sent) // 2], claimed=len(sent)))
        with ExitStack() as one:
            _connect(one, http).sendall(_request(sent, claimed=10**14))
        serves(http)
    left = 0

    def settled() -> bool:
        nonlocal left
        left = vitals_of(server).descriptors - before
        return left <= SLACK_DESCRIPTORS

    expect(wait_until(settled, ANSWER_SECONDS, 0.1), f"{left} more descriptors are open after all clients are gone")
    serves(http)
    return ()


def nonsense(bench: Bench) -> Measured:
    """What is no HTTP is refused or cut off, and others are served."""
    http = bench.http("trouble")
    for words in NONSENSE:
        with ExitStack() as stack:
            client = _connect(stack, http)
            client.settimeout(1.0)
            # Cut off while it still sends, or no answer to what waits for more: both are the server's right.
            with suppress(OSError):
                client.sendall(words)
                told = client.recv(4096)
                expect(not told.startswith(b"HTTP/1.1 200"), f"{words[:20]!r} was answered with {told[:80]!r}")
        serves(http)
    return ()


def body(bench: Bench) -> Measured:
    """A body of 100 MB is answered right or refused in words, and others are served."""
    free = shutil.disk_usage(SHARED_MEMORY).free
    if free < NEEDED_BYTES:
        raise NotRun(Reason.TOO_LITTLE_MEMORY, f"{SHARED_MEMORY}: expected {NEEDED_BYTES} bytes free, found {free}")
    http = bench.http("trouble")
    entry = {"name": "IN_UINT8", "datatype": "UINT8", "shape": [1, LARGE_BYTES]}
    document = {
        "inputs": [{**entry, "parameters": {"binary_data_size": LARGE_BYTES}}],
        "parameters": {"binary_data_output": True},
    }
    head = json.dumps(document).encode()
    sent = bytes(range(256)) * (LARGE_BYTES // 256)
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    began = time.monotonic()
    answer = http.ask("POST", "/v2/models/echo/infer", head + sent, headers, timeout=LARGE_SECONDS)
    yield Measurement("large_body", time.monotonic() - began, "s")
    right = answer.status == 200 and answer.body.endswith(sent)
    expect(right or (answer.status >= 400 and answer.error()),
           f"a body of {LARGE_BYTES} bytes was answered with HTTP {answer.status}, {len(answer.body)} bytes that are "
           "not what was sent")  # fmt: skip
    text = b'{"inputs": "' + b"a" * LARGE_BYTES + b'"}'
    told = http.ask("POST", "/v2/models/strict/infer", text, timeout=LARGE_SECONDS)
    expect(told.status >= 400 and told.error(), f"100 MB of JSON that is no request: HTTP {told.status}")
    serves(http)


CHECKS = (
    Check("slow-client", "TRC-SRV-015", slow),
    Check("gone-clients", "TRC-SRV-015", gone),
    Check("no-http", "TRC-SRV-015", nonsense),
    Check("large-body", "TRC-SRV-015", body, seconds=180.0),
)
