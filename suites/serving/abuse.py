"""Wrong requests, as data: what is sent, and what a server may do with it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_trtcheck._suites.serving.endpoint import Answer, Endpoint, infer_request
from pytest_trtcheck._suites.serving.known import UNKNOWN_KEYS, WRAPPED, Known
from pytest_trtcheck._suites.serving.tensors import tensor

SECONDS = 15.0
_STRICT = "/v2/models/strict/infer"
_ECHO = "/v2/models/echo/infer"
_GENERATE = "/v2/models/stream/generate"
_LENGTH = "Inference-Header-Content-Length"
_JSON = {"Content-Type": "application/json"}

DEPTH = 50_000
"""Of brackets: deep, and within what a parser that recurses bears."""
DEADLY_DEPTH = 1_000_000
DEADLY_ROWS = 2**62


@dataclass(frozen=True)
class Abuse:
    """One wrong request."""

    name: str
    send: Callable[[Endpoint], Answer]
    accepted: Known | None = None
    """What the server is known to do instead of refusing it."""


def _post(name: str, path: str, body: str | bytes, *, accepted: Known | None = None, **headers: str) -> Abuse:
    given = {"Content-Type": "application/octet-stream", _LENGTH: headers["length"]} if headers else _JSON
    return Abuse(name, lambda http: http.ask("POST", path, body, given, timeout=SECONDS), accepted)


def strict(**changes: Any) -> str:
    """Return a request of three numbers for the model ``strict``, as JSON, with fields changed."""
    entry = {"name": "IN_INT32", "shape": [1, 3], "datatype": "INT32", "data": [1, 2, 3], **changes}
    return json.dumps({"inputs": [entry]})


def tensors() -> list[Abuse]:
    """Return requests whose tensors are not what the model takes."""
    good = json.loads(strict())
    return [
        _post("wrong shape", _STRICT, strict(shape=[1, 4], data=[1, 2, 3, 4])),
        _post("negative shape", _STRICT, strict(shape=[1, -3])),
        _post("shape that overflows", _STRICT, strict(shape=[2**62, 4])),
        _post("batch too large", _STRICT, strict(shape=[5, 3], data=list(range(15)))),
        _post("too few numbers", _STRICT, strict(data=[1, 2])),
        _post("too many numbers", _STRICT, strict(data=[1, 2, 3, 4])),
        _post("another type", _STRICT, strict(datatype="FP32")),
        _post("no such type", _STRICT, strict(datatype="NOPE")),
        _post("strings for numbers", _STRICT, strict(data=["a", "b", "c"])),
        _post("fractions for integers", _STRICT, strict(data=[1.5, 2, 3])),
        _post("a number beyond the type", _STRICT, strict(data=[2**40, 2, 3]), accepted=WRAPPED),
        _post("wrong name", _STRICT, strict(name="NOPE")),
        _post("an input twice", _STRICT, json.dumps({"inputs": good["inputs"] * 2})),
        _post("an input missing", _STRICT, json.dumps({"inputs": []})),
        _post("no such output", _STRICT, json.dumps({**good, "outputs": [{"name": "NOPE"}]})),
    ]


def documents() -> list[Abuse]:
    """Return requests that are broken JSON, no JSON or not what the protocol asks for."""
    return [
        _post("broken JSON", _STRICT, '{"inputs": ['),
        _post("no JSON", _STRICT, "hello"),
        _post("an empty body", _STRICT, ""),
        _post("a list", _STRICT, "[]"),
        _post("no inputs", _STRICT, "{}"),
        _post("no UTF-8", _STRICT, b'{"inputs": "\xff\xfe"}'),
        _post("zeros", _STRICT, b"\0" * 100),
        _post("deep JSON", _STRICT, '{"inputs":' + "[" * DEPTH + "]" * DEPTH + "}"),
        _post("deep generate", _GENERATE, '{"a":' * DEPTH + "1" + "}" * DEPTH),
        _post("broken generate", _GENERATE, '{"COUNT":'),
        _post("a wrong type in generate", _GENERATE, json.dumps({"COUNT": "x", "MARK": "a", "DELAY_MS": 0})),
        _post("an unknown key in generate", _GENERATE,
              json.dumps({"COUNT": 1, "MARK": "a", "DELAY_MS": 0, "nonsense": 1}), accepted=UNKNOWN_KEYS),
        Abuse("gzip that is none", lambda http: http.ask(
            "POST", _STRICT, b"hello", {**_JSON, "Content-Encoding": "gzip"}, timeout=SECONDS)),
    ]  # fmt: skip


def raw_bytes() -> list[Abuse]:
    """Return binary requests cut off, too long, or with lengths that are not theirs."""
    body, headers = infer_request([tensor("IN_INT32", "INT32", [1, 2, 3])], binary=True)
    length = headers[_LENGTH]
    head = json.loads(body[: int(length)])

    def sized(size: Any) -> Abuse:
        entry = {**head["inputs"][0], "parameters": {"binary_data_size": size}}
        told = json.dumps({**head, "inputs": [entry]}).encode()
        return _post(f"binary size {size}", _STRICT, told + b"\1\0\0\0" * 3, length=str(len(told)))

    def text(name: str, raw: bytes) -> Abuse:
        parameters = {"binary_data_size": len(raw)}
        entry = {"name": "IN_BYTES", "datatype": "BYTES", "shape": [1, 1], "parameters": parameters}
        told = json.dumps({"inputs": [entry]}).encode()
        return _post(name, _ECHO, told + raw, length=str(len(told)))

    return [
        _post("bytes cut off", _STRICT, body[:-4], length=length),
        _post("more bytes", _STRICT, body + b"1234", length=length),
        *(_post(f"header length {told}", _STRICT, body, length=told) for told in ("99999", "-1", "x", "0", str(2**64))),
        *map(sized, (8, 16, 0, -1, 2**63, "a")),
        text("a string cut off", struct.pack("<I", 300) + b"abc"),
        text("a string of 4 GiB", struct.pack("<I", 2**32 - 1) + b"abc"),
        text("bytes after a string", struct.pack("<I", 1) + b"abc"),
        text("no string", b""),
    ]


def unknown() -> list[Abuse]:
    """Return requests for what is not there."""
    return [
        _post("no such model", "/v2/models/nope/infer", strict()),
        _post("no such version", "/v2/models/strict/versions/9/infer", strict()),
        _post("no number for a version", "/v2/models/strict/versions/x/infer", strict()),
        _post("no such path", "/v2/nope", strict()),
        _post("a method that is not for it", "/v2/models/strict", strict()),
        _post("generate of no model", "/v2/models/nope/generate", "{}"),
        _post("stream of no model", "/v2/models/nope/generate_stream", "{}"),
        Abuse("out of the repository", lambda http: http.ask("GET", "/v2/models/..%2f..%2fetc/ready", timeout=SECONDS)),
    ]


def deep() -> Abuse:
    """Return nested JSON beyond what a parser that recurses bears."""
    nested = '{"inputs":' + "[" * DEADLY_DEPTH + "]" * DEADLY_DEPTH + "}"
    return _post(f"JSON {DEADLY_DEPTH} deep", _STRICT, nested)


def large() -> Abuse:
    """Return three numbers that claim a shape larger than memory."""
    return _post(f"shape [1, {DEADLY_ROWS}]", _STRICT, strict(shape=[1, DEADLY_ROWS]))
