"""What the HTTP client makes of answers, sound and hostile, from a stand-in server that sends them byte for byte."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pytest_trtcheck._suites.serving.endpoint import Answer, AnswerError, Endpoint, TransportError, read_inference
from pytest_trtcheck._suites.serving.metrics import parse_metrics

HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


@contextmanager
def sending(raw: str) -> Iterator[Endpoint]:
    """Answer every request with these bytes, then close."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(raw.encode())
                # Closed with part of the request unread, the connection would be reset.
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(5)
                while connection.recv(65536):
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Endpoint("127.0.0.1", listener.getsockname()[1], None, None)
        thread.join(5)


def events(body: str) -> list[object]:
    with sending(HEAD + body) as endpoint:
        return list(endpoint.generate_stream("m", {}, 5.0))


def test_events_come_in_order_whatever_their_line_ends() -> None:
    assert events('data: {"a": 1}\n\ndata: {"a": 2}\r\n\r\n') == [{"a": 1}, {"a": 2}]
    assert events("") == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('data: {"a": 1}\n\ndata: {"a"', "cut off inside an event"),
        ('data: {"error": "out of tokens"}\n\n', "out of tokens"),
        ("data: nothing\n\n", "a body that is no JSON"),
        ("data: [1]\n\n", "no JSON object"),
        ("hello\n\n", "a line that is no event"),
    ],
)
def test_a_stream_that_is_wrong_is_told(body: str, words: str) -> None:
    with pytest.raises(AnswerError, match=words):
        events(body)


def test_an_error_inside_http_200_is_an_error() -> None:
    answer = Answer(200, {}, b'{"error": "no such thing"}')
    assert answer.error() == "no such thing"
    with pytest.raises(AnswerError, match="HTTP 200: no such thing"):
        answer.checked()


@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        ({}, b'{"outputs": 3}', "the protocol does not allow"),
        ({}, b'{"outputs": [{"name": "X"}]}', "the protocol does not allow: KeyError"),
        ({}, b"<html>", "no JSON"),
        ({"inference-header-content-length": "999"}, b"{}", "with a body of 2 bytes"),
        ({"inference-header-content-length": "x"}, b"{}", "'x' with a body"),
    ],
)
def test_an_inference_answer_that_is_none_is_told(headers: dict[str, str], body: bytes, words: str) -> None:
    with pytest.raises(AnswerError, match=words):
        read_inference(Answer(200, headers, body))


def test_bytes_after_the_last_tensor_are_told() -> None:
    entry = {"name": "X", "datatype": "INT8", "shape": [1], "parameters": {"binary_data_size": 1}}
    head = json.dumps({"outputs": [entry]}).encode()
    headers = {"inference-header-content-length": str(len(head))}
    assert read_inference(Answer(200, headers, head + b"\x05"))["X"].values == (5,)
    with pytest.raises(AnswerError, match="1 bytes follow the last tensor"):
        read_inference(Answer(200, headers, head + b"\x05\x06"))


@pytest.mark.parametrize("ask", [Endpoint.is_live, lambda endpoint: endpoint.get("/v2")])
def test_no_answer_names_what_was_asked(ask: Callable[[Endpoint], object]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransportError, match=r"GET /v2.*ConnectionRefusedError"):
        ask(Endpoint("127.0.0.1", port, None, None))


def test_what_is_no_http_is_told() -> None:
    with sending("220 ftp ready\r\n") as endpoint, pytest.raises(TransportError, match="BadStatusLine"):
        endpoint.get("/v2")


def test_metrics_are_summed_by_name_and_labels() -> None:
    text = '# HELP x y\nx{model="a",reason="R \\" }"} 2\nx{model="b"} 3 1700000000\ny 1e3\n'
    metrics = parse_metrics(text)
    assert (metrics.total("x"), metrics.total("x", model="a"), metrics.total("z")) == (5, 2, 0)
    assert metrics.total("y") == 1000
    with pytest.raises(ValueError, match="no sample"):
        parse_metrics("<html>")
