"""Ways in which a server of the OpenAI protocol goes wrong, and what must be said of each."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.openai_server import Handler

LONGEST_WAIT = 30.0
"""Whatever goes wrong ends after so many seconds, so that no thread outlives the tests for long."""

WRONG: dict[str, str] = {
    "html": "text/html: '<html>",
    "not_json": "expected JSON, found application/json: '{\"choices\": ['",
    "deep_json": "expected JSON, found application/json: '[[[[",
    "no_choices": "expected choices, found \"{'object': 'text_completion'}\"",
    "wrong_text": "expected text and finish_reason, found",
    "wrong_reason": "expected one of stop, length, abort or cancelled as the reason of an end, found 'because'",
    "nan": "expected a number as log-probability, found 'nan'",
    "foreign_token": "expected a token of the probe model in logprobs, found",
    "too_many_tokens": "more tokens than asked for",
    "cut": "the answer was cut off",
    "closed": "RemoteDisconnected",
    "not_http": "BadStatusLine",
    "huge": "an answer of more than",
    "silent": "no complete answer within",
    "drip": "no complete answer within",
    "drip_head": "no complete answer within",
    "error500": "HTTP 500: out of memory",
    "redirect": "expected JSON, found",
}
"""Ways in which whole answers go wrong, and what must be said of each."""

WRONG_STREAMS: dict[str, str] = {
    "html": "text/html: '<html>",
    "html_as_events": "expected server-sent events, found text/event-stream: '<html>",
    "event_not_json": "expected JSON in an event, found",
    "cut": "the stream ended after 2 tokens without a finish_reason",
    "too_many_tokens": "more tokens than asked for",
    "comments": "bytes of events",
    "long_line": "a line of more than",
    "silent": "no complete answer within",
    "drip": "no complete answer within",
}
"""The same for streams."""

_CHOICE = {"text": "a", "finish_reason": "length"}
_PIECE = {"choices": [{"index": 0, "text": "a", "finish_reason": None}]}
DOCUMENTS: dict[str, Any] = {
    "no_choices": {"object": "text_completion"},
    "wrong_text": {"choices": [{"text": 7, "finish_reason": "length"}]},
    "wrong_reason": {"choices": [{**_CHOICE, "finish_reason": "because"}]},
    "nan": {"choices": [{**_CHOICE, "logprobs": {"tokens": ["a"], "token_logprobs": [float("nan")]}}]},
    "foreign_token": {"choices": [{**_CHOICE, "logprobs": {"tokens": ["Paris"], "token_logprobs": [-1.0]}}]},
    "too_many_tokens": {"choices": [{**_CHOICE, "text": "a" * 4000}]},
}
"""Answers of JSON, whole or as an event."""


def go_wrong(handler: Handler, how: str, *, stream: bool = False) -> None:
    """Answer in one of the wrong ways."""
    if how in DOCUMENTS and stream:
        handler.begin("text/event-stream")
        handler.event(DOCUMENTS[how])
    elif how in DOCUMENTS:
        handler.send_json(200, DOCUMENTS[how])
    elif how in _AT_ONCE:
        _AT_ONCE[how](handler)
    elif stream:
        handler.begin("text/event-stream")
        _STREAMS[how](handler)
    else:
        handler.begin("application/json", Content_Length="1000" if how == "cut" else "100000000")
        _BODIES[how](handler)


def _html(handler: Handler) -> None:
    handler.begin("text/html; charset=utf-8")
    handler.wfile.write(b"<html><body>Log in first</body></html>")


def _json(body: bytes) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.begin("application/json")
        handler.wfile.write(body)

    return answer


def _redirect(handler: Handler) -> None:
    handler.begin("text/plain", 302, Location="http://192.0.2.1/")


def _closed(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def _drip(what: bytes) -> Callable[[Handler], None]:
    """Send a byte now and then, without end."""

    def answer(handler: Handler) -> None:
        end = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < end:
            handler.wfile.write(what)
            handler.wfile.flush()
            time.sleep(0.05)

    return answer


def _flood(first: bytes, rest: bytes) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.wfile.write(first)
        for _ in range(100):
            handler.wfile.write(rest)

    return answer


def _two_pieces(handler: Handler) -> None:
    handler.event(_PIECE)
    handler.event(_PIECE)


_AT_ONCE: dict[str, Callable[[Handler], Any]] = {
    "html": _html,
    "not_json": _json(b'{"choices": ['),
    "deep_json": _json(b"[" * 200_000),
    "error500": lambda handler: handler.send_json(500, {"error": {"message": "out of memory", "code": 500}}),
    "redirect": _redirect,
    "closed": _closed,
    "not_http": lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "silent": lambda _: time.sleep(LONGEST_WAIT),
    "drip_head": _drip(b"H"),
}
_BODIES: dict[str, Callable[[Handler], Any]] = {
    "cut": lambda handler: handler.wfile.write(b'{"choices": '),
    "drip": _drip(b" "),
    "huge": _flood(b"", b" " * 1_000_000),
}
_STREAMS: dict[str, Callable[[Handler], Any]] = {
    "cut": _two_pieces,
    "drip": _drip(b":"),
    "comments": _flood(b"", (b": ping" + b"." * 1000 + b"\n\n") * 100),
    "long_line": _flood(b"data: [", b" " * 1_000_000),
    "html_as_events": lambda handler: handler.wfile.write(b"<html><body>Bad gateway</body></html>\n\n"),
    "event_not_json": lambda handler: handler.wfile.write(b"data: {'choices': []}\n\n"),
}
