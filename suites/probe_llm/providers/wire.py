"""HTTP with hard bounds, by the standard library.

A server that is slow, cut off, endless or no such server costs one check, whose one line says what it did. Nothing is
followed, neither redirects nor proxies of the environment. What comes back is hostile until parsed.
"""

from __future__ import annotations

import http.client
import json
import math
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from pytest_trtcheck._suites.support.reasons import on_one_line
from pytest_trtcheck.providers.servers import Server

_FIRST_ERROR = 400
_SERVER_ERROR = 500
_QUOTED = 120


class ServerError(Exception):
    """A server that gave no answer, or one that its protocol does not allow; one line that says where and what."""


class DeclinedError(Exception):
    """A server that understood and said no, in its words."""


@dataclass(frozen=True)
class Bounds:
    """What one answer may cost."""

    connect_seconds: float = 5.0
    answer_seconds: float = 120.0
    """From the request to the last byte, however they come."""
    most_bytes: int = 16 * 1024 * 1024
    line_bytes: int = 1024 * 1024


class Call:
    """One request and its answer, as a context: whatever happens inside, it is over within its bounds."""

    def __init__(self, server: Server, path: str, document: Any = None, bounds: Bounds | None = None) -> None:
        """With a document it is a POST of JSON, of bytes as they are, else a GET; ``path`` comes below the server's."""
        self.server, self.path, self.bounds = server, path, bounds or Bounds()
        self._body = document if document is None or isinstance(document, bytes) else json.dumps(document)
        self.is_done = False
        """True once a stream of events said ``[DONE]``."""
        self._is_late = False
        self._timer: threading.Timer | None = None
        self._connection: http.client.HTTPConnection | None = None

    @property
    def where(self) -> str:
        """What is asked, as reports name it."""
        return f"{self.server}{self.path}"

    def __enter__(self) -> Call:
        self._connection = connection = self._connect()
        stream = connection.sock
        self._timer = threading.Timer(self.bounds.answer_seconds, self._expire, [stream])
        self._timer.daemon = True
        self._timer.start()
        try:
            headers = {"Accept": "application/json, text/event-stream", "Connection": "close"}
            if self._body is not None:
                headers["Content-Type"] = "application/json"
            method = "GET" if self._body is None else "POST"
            connection.request(method, f"{self.server.path}{self.path}", self._body, headers)
            self._response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.__exit__(None, None, None)
            raise self._error(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._connection is not None:
            self._connection.close()
        response = getattr(self, "_response", None)
        if response is not None:
            response.close()

    @property
    def status(self) -> int:
        """The status code."""
        return self._response.status

    @property
    def kind(self) -> str:
        """The media type, in lower case, without parameters."""
        return self._response.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def document(self) -> Any:
        """Return the body as JSON; DeclinedError for a no in JSON, ServerError for what is no JSON."""
        body = self._read()
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
            if self.status < _FIRST_ERROR:
                raise self.wrong(f"expected JSON, found {self._quoted(body)}") from None
        if self.status >= _FIRST_ERROR:
            words = error_words(found) or self._quoted(body)
            if self.status < _SERVER_ERROR and found is not None:
                raise DeclinedError(f"HTTP {self.status}: {words}")
            raise self.wrong(f"HTTP {self.status}: {words}")
        return found

    def parsed(self) -> tuple[Any, bool]:
        """Return the body as JSON and True, whatever the status; its beginning and False for what is no JSON."""
        body = self._read()
        try:
            return json.loads(body), True
        except (ValueError, RecursionError):
            return self._quoted(body), False

    def events(self) -> Iterator[Any]:
        """Yield the JSON of server-sent events until ``[DONE]`` or the end of the body."""
        read = 0
        while True:
            line = self._line()
            read += len(line)
            if read > self.bounds.most_bytes:
                raise self.wrong(f"more than {self.bounds.most_bytes} bytes of events")
            if not line:
                return
            text = line.strip()
            if not text or text.startswith((b":", b"event:", b"id:", b"retry:")):
                continue
            if not text.startswith(b"data:"):
                raise self.wrong(f"expected server-sent events, found {self._quoted(text)}")
            data = text[5:].strip()
            if data == b"[DONE]":
                self.is_done = True
                return
            try:
                yield json.loads(data)
            except (ValueError, RecursionError):
                raise self.wrong(f"expected JSON in an event, found {self._quoted(data)}") from None

    def wrong(self, words: str) -> ServerError:
        """Return the error that says where it was read."""
        return ServerError(on_one_line(f"{self.where}: {words}"))

    def _connect(self) -> http.client.HTTPConnection:
        server, seconds = self.server, self.bounds.connect_seconds
        if server.is_tls:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                server.host, server.port, timeout=seconds, context=ssl.create_default_context()
            )
        else:
            connection = http.client.HTTPConnection(server.host, server.port, timeout=seconds)
        try:
            connection.connect()
            connection.sock.settimeout(self.bounds.answer_seconds)
        except TimeoutError:
            connection.close()
            raise self.wrong(f"no connection within {seconds:g} s; is the server up?") from None
        except OSError as error:
            connection.close()
            raise self.wrong(f"no connection: {error.strerror or error}; is the server up?") from error
        return connection

    def _expire(self, stream: socket.socket) -> None:
        """Cut the connection from the side, which ends whatever waits on it."""
        self._is_late = True
        try:
            stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            # It is over already.
            return

    def _error(self, error: Exception) -> ServerError:
        if self._is_late or isinstance(error, TimeoutError):
            return self.wrong(f"no complete answer within {self.bounds.answer_seconds:g} s")
        if isinstance(error, http.client.IncompleteRead):
            return self.wrong("the answer was cut off")
        return self.wrong(f"{type(error).__name__}: {error}")

    def _read(self) -> bytes:
        try:
            body = self._response.read(self.bounds.most_bytes + 1)
            short = self._response.length
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._error(error) from error
        if self._is_late:
            raise self._error(TimeoutError())
        if len(body) > self.bounds.most_bytes:
            raise self.wrong(f"an answer of more than {self.bounds.most_bytes} bytes")
        if short:
            raise self.wrong(f"the answer was cut off, {short} bytes are missing")
        return body

    def _line(self) -> bytes:
        try:
            line = self._response.readline(self.bounds.line_bytes)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._error(error) from error
        if self._is_late:
            raise self._error(TimeoutError())
        if len(line) >= self.bounds.line_bytes:
            raise self.wrong(f"a line of more than {self.bounds.line_bytes} bytes")
        return line

    def _quoted(self, body: bytes) -> str:
        kind = self.kind or "no media type"
        return f"{kind}: {body[:_QUOTED].decode(errors='replace')!r}" if body else f"{kind} and nothing in it"


def error_words(document: Any) -> str:
    """Return the words of an error in JSON, of the forms that servers of language models use; empty for none."""
    if not isinstance(document, dict):
        return ""
    for name in ("error", "message", "detail"):
        found = document.get(name)
        if isinstance(found, dict):
            found = found.get("message") or found
        if found:
            return on_one_line(str(found))
    return "an error without words" if document.get("object") == "error" else ""


def number(value: Any) -> float | None:
    """Return a finite number; None for anything else."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        return float(value) if is_number and math.isfinite(value) else None
    except OverflowError:
        return None
