"""A server's HTTP interface by the standard library alone: health, metadata, repository, inference, streams, metrics.

What comes back is hostile until parsed: bodies are bounded, and a status code proves nothing by itself.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pytest_trtcheck._suites.serving.tensors import Tensor, TensorError, from_json, pack, to_json, unpack

LONGEST_BODY_BYTES = 256 * 1024 * 1024
_EVENT_PREFIX = b"data: "
_MOST_WORDS = 400
_JSON_LENGTH = "Inference-Header-Content-Length"


class TransportError(Exception):
    """No answer: no connection, cut off, or too late."""


class AnswerError(Exception):
    """An answer that is an error, or none that the protocol allows; in the server's words where there are any."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """Status and body as they came."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes

    def document(self) -> Any:
        """Return the body as JSON; AnswerError when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise AnswerError(
                f"HTTP {self.status} with a body that is no JSON: {self.body[:80]!r}", self.status
            ) from None

    def error(self) -> str:
        """Return the server's words of an error, whatever the status; empty when the answer is none."""
        words = ""
        try:
            document = json.loads(self.body)
            if isinstance(document, dict) and "error" in document:
                words = str(document["error"])[:_MOST_WORDS] or "an error without words"
        except (ValueError, RecursionError):
            if self.status >= 400:
                words = self.body[:_MOST_WORDS].decode(errors="replace").strip()
        return words or (f"HTTP {self.status} without words" if self.status >= 400 else "")

    def checked(self) -> Answer:
        """Return the answer itself; AnswerError when it is an error, by status or by body."""
        words = self.error()
        if words or not 200 <= self.status < 300:
            raise AnswerError(f"HTTP {self.status}: {words or 'no words'}", self.status)
        return self


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens."""

    host: str
    http_port: int
    grpc_port: int | None
    metrics_port: int | None

    @property
    def ports(self) -> tuple[int, ...]:
        """All that are known."""
        return tuple(port for port in (self.http_port, self.grpc_port, self.metrics_port) if port is not None)

    @property
    def grpc_address(self) -> str:
        """Host and port for gRPC."""
        return f"{self.host}:{self.grpc_port}"

    def connect(self, timeout: float, port: int | None = None) -> http.client.HTTPConnection:
        """Return a connection that is made at the first request."""
        return http.client.HTTPConnection(self.host, port or self.http_port, timeout=timeout)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: float = 30.0,
        port: int | None = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> Answer:
        """Return what the server answers, errors too; TransportError for no answer."""
        own = connection is None
        connection = connection or self.connect(timeout, port)
        try:
            with _named(f"{method} {path}"):
                connection.request(method, path, body, dict(headers or {}))
                response = connection.getresponse()
                read = response.read(LONGEST_BODY_BYTES + 1)
        finally:
            if own:
                connection.close()
        if len(read) > LONGEST_BODY_BYTES:
            raise TransportError(f"{method} {path}: an answer of more than {LONGEST_BODY_BYTES} bytes")
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, read)

    def get(self, path: str, timeout: float = 10.0) -> Any:
        """Return a JSON document; AnswerError for an error."""
        return self.ask("GET", path, timeout=timeout).checked().document()

    def post(self, path: str, document: Any, timeout: float = 60.0) -> Answer:
        """Send a JSON document and return the answer, errors too."""
        return self.ask("POST", path, json.dumps(document), {"Content-Type": "application/json"}, timeout=timeout)

    # Health and metadata.

    def is_live(self, timeout: float = 10.0) -> bool:
        """Say whether the server calls itself live."""
        return self.ask("GET", "/v2/health/live", timeout=timeout).status == 200

    def is_ready(self, timeout: float = 10.0, model: str | None = None) -> bool:
        """Say whether the server, or a model, calls itself ready."""
        path = "/v2/health/ready" if model is None else f"/v2/models/{model}/ready"
        return self.ask("GET", path, timeout=timeout).status == 200

    def statistics(self, model: str) -> dict[str, Any]:
        """Return the statistics of a model's only version."""
        found: dict[str, Any] = self.get(f"/v2/models/{model}/stats")["model_stats"][0]
        return found

    # The repository.

    def index(self) -> dict[str, str]:
        """Return the state of each model that the repository holds, the newest version's."""
        entries = self.post("/v2/repository/index", {}).checked().document()
        return {entry["name"]: str(entry.get("state", "")) for entry in entries}

    def load(self, model: str, config: str | None = None, timeout: float = 60.0) -> Answer:
        """Load or reload a model, with a configuration (JSON) in place of its own where one is given."""
        parameters = {} if config is None else {"parameters": {"config": config}}
        return self.post(f"/v2/repository/models/{model}/load", parameters, timeout)

    def unload(self, model: str, timeout: float = 60.0) -> Answer:
        """Unload a model; the answer comes before it is gone."""
        return self.post(f"/v2/repository/models/{model}/unload", {}, timeout)

    # Inference.

    def infer(
        self,
        model: str,
        tensors: Sequence[Tensor],
        *,
        binary: bool = False,
        parameters: Mapping[str, Any] | None = None,
        timeout: float = 60.0,
        connection: http.client.HTTPConnection | None = None,
    ) -> dict[str, Tensor]:
        """Return the outputs of a model, by name; tensors travel as JSON, or as raw bytes both ways.

        AnswerError for an error.
        """
        body, headers = infer_request(tensors, binary=binary, parameters=parameters)
        path = f"/v2/models/{model}/infer"
        answer = self.ask("POST", path, body, headers, timeout=timeout, connection=connection)
        return read_inference(answer)

    def generate(self, model: str, fields: Mapping[str, Any], timeout: float = 60.0) -> dict[str, Any]:
        """Return the answer of the generate extension; AnswerError for an error, also one inside HTTP 200."""
        document = self.post(f"/v2/models/{model}/generate", fields, timeout).checked().document()
        if not isinstance(document, dict):
            raise AnswerError(f"generate: expected a JSON object, found {type(document).__name__}", 200)
        return document

    def generate_stream(
        self, model: str, fields: Mapping[str, Any], timeout: float = 60.0
    ) -> Generator[dict[str, Any], None, None]:
        """Yield the server-sent events of the generate extension as they come; AnswerError for one that is an error."""
        with _named("generate_stream"):
            connection = self.connect(timeout)
            try:
                body = json.dumps(fields)
                path = f"/v2/models/{model}/generate_stream"
                connection.request("POST", path, body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                if response.status != 200:
                    Answer(response.status, {}, response.read(LONGEST_BODY_BYTES)).checked()
                yield from read_events(response)
            finally:
                connection.close()

    def metrics_text(self) -> str:
        """Return the text of the metrics endpoint; TransportError when there is none."""
        if self.metrics_port is None:
            raise TransportError("the metrics port is not known")
        answer = self.ask("GET", "/metrics", port=self.metrics_port, timeout=10.0)
        return answer.checked().body.decode(errors="replace")


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Turn whatever goes wrong on the wire into one exception that says what was asked."""
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        late = isinstance(error, (TimeoutError, socket.timeout))
        words = "no answer in time" if late else f"{type(error).__name__}: {error}"
        raise TransportError(f"{what}: {words}") from error


def infer_request(
    tensors: Sequence[Tensor], *, binary: bool, parameters: Mapping[str, Any] | None = None
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of an inference request."""
    inputs: list[dict[str, Any]] = []
    raw = b""
    for tensor in tensors:
        entry: dict[str, Any] = {"name": tensor.name, "shape": list(tensor.shape), "datatype": tensor.datatype}
        if binary:
            part = pack(tensor)
            entry["parameters"] = {"binary_data_size": len(part)}
            raw += part
        else:
            entry["data"] = to_json(tensor)
        inputs.append(entry)
    document = {"inputs": inputs, "parameters": {**(parameters or {}), "binary_data_output": binary}}
    head = json.dumps(document).encode()
    if not binary:
        return head, {"Content-Type": "application/json"}
    return head + raw, {"Content-Type": "application/octet-stream", _JSON_LENGTH: str(len(head))}


def read_inference(answer: Answer) -> dict[str, Tensor]:
    """Return the outputs of an inference answer, by name; AnswerError for an error or what is no such answer."""
    length = answer.headers.get(_JSON_LENGTH.lower())
    if answer.status != 200 or length is None:
        answer.checked()
        head, raw = answer.body, b""
    elif length.isdigit() and int(length) <= len(answer.body):
        head, raw = answer.body[: int(length)], answer.body[int(length) :]
    else:
        raise AnswerError(f"{_JSON_LENGTH} {length!r} with a body of {len(answer.body)} bytes", answer.status)
    document = Answer(answer.status, {}, head).checked().document()
    tensors = {}
    try:
        for entry in document["outputs"]:
            size = entry.get("parameters", {}).get("binary_data_size")
            if size is None:
                tensors[entry["name"]] = from_json(entry)
            else:
                part, raw = raw[:size], raw[size:]
                tensors[entry["name"]] = unpack(entry["name"], entry["datatype"], entry["shape"], part)
    except (KeyError, TypeError, AttributeError, TensorError) as error:
        words = f"an answer that the protocol does not allow: {type(error).__name__}: {error}"
        raise AnswerError(words, answer.status) from None
    if raw:
        raise AnswerError(f"{len(raw)} bytes follow the last tensor", answer.status)
    return tensors


def read_events(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of server-sent events; AnswerError for one that is an error, or what is no event."""
    data: list[bytes] = []
    read = 0
    while True:
        line = response.readline(LONGEST_BODY_BYTES)
        read += len(line)
        if read > LONGEST_BODY_BYTES:
            raise TransportError(f"generate_stream: more than {LONGEST_BODY_BYTES} bytes")
        text = line.rstrip(b"\r\n")
        if not line:
            if data:
                raise AnswerError("generate_stream: cut off inside an event", response.status)
            return
        if text.startswith(_EVENT_PREFIX):
            data.append(text.removeprefix(_EVENT_PREFIX))
        elif text:
            raise AnswerError(f"generate_stream: a line that is no event: {text[:80]!r}", response.status)
        elif data:
            document = Answer(response.status, {}, b"\n".join(data)).checked().document()
            if not isinstance(document, dict):
                raise AnswerError("generate_stream: an event that is no JSON object", response.status)
            yield document
            data = []
