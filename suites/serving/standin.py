"""A stand-in for a broken server: in front of a real one, it passes on what it is asked, and changes some of it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pytest_trtcheck._suites.serving.endpoint import LONGEST_BODY_BYTES, Answer, Endpoint

SECONDS = 60.0
_STREAM = "text/event-stream"
_PASSED_ON = ("content-type", "inference-header-content-length", "content-encoding")


class Mischief:
    """Sound: passes everything on as it is."""

    def answer(self, method: str, path: str, body: bytes) -> Answer | None:  # noqa: ARG002 - for those that use it
        """Return an answer of its own, None to ask the real server."""
        return None

    def pass_on(self, path: str, body: bytes) -> bytes:  # noqa: ARG002 - likewise
        """Return what the real server is asked instead."""
        return body

    def change(self, method: str, path: str, body: bytes, answer: Answer) -> Answer | None:  # noqa: ARG002 - likewise
        """Return what becomes of the real server's answer; None to close the connection without one."""
        return answer

    def events(self, events: Iterable[bytes]) -> Iterable[bytes]:
        """Return what becomes of the lines of a stream."""
        return events


class StandIn:
    """Makes an endpoint that stands in front of a real one."""

    def __init__(self, mischief: Mischief) -> None:
        self.mischief = mischief
        self._servers: list[ThreadingHTTPServer] = []

    def __call__(self, real: Endpoint) -> Endpoint:
        """Listen on a port of its own; HTTP and metrics go through it, gRPC does not."""
        server = _Server((real.host, 0), _Handler)
        server.real, server.mischief = real, self.mischief
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return replace(real, http_port=server.server_port, metrics_port=server.server_port)

    def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    block_on_close = False
    real: Endpoint
    mischief: Mischief

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that go."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._pass_on("GET")

    def do_POST(self) -> None:
        self._pass_on("POST")

    def _pass_on(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        mischief, real = self.server.mischief, self.server.real
        own = mischief.answer(method, self.path, body)
        if own is not None:
            self._send(own)
            return
        port = real.metrics_port if self.path == "/metrics" else real.http_port
        connection = real.connect(SECONDS, port)
        try:
            headers = {name: value for name in _PASSED_ON if (value := self.headers.get(name)) is not None}
            connection.request(method, self.path, mischief.pass_on(self.path, body) or None, headers)
            response = connection.getresponse()
            if _STREAM in (response.getheader("Content-Type") or ""):
                self._stream(response)
                return
            told = {name.lower(): value for name, value in response.getheaders()}
            answer = Answer(response.status, told, response.read(LONGEST_BODY_BYTES))
            self._send(mischief.change(method, self.path, body, answer))
        except (OSError, http.client.HTTPException):
            self.close_connection = True
        finally:
            connection.close()

    def _stream(self, response: http.client.HTTPResponse) -> None:
        self.close_connection = True
        self.send_response(response.status)
        self.send_header("Content-Type", _STREAM)
        self.send_header("Connection", "close")
        self.end_headers()
        with suppress(OSError):
            for line in self.server.mischief.events(iter(response.readline, b"")):
                self.wfile.write(line)
                self.wfile.flush()

    def _send(self, answer: Answer | None) -> None:
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer.status)
        _send_headers(self, answer.headers)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)


def _send_headers(handler: BaseHTTPRequestHandler, headers: Mapping[str, str]) -> None:
    for name in _PASSED_ON:
        if name in headers:
            handler.send_header(name, headers[name])
