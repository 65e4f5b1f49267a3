"""A stand-in for a server of the OpenAI protocol: it answers as the probe model's reference does, in fp32.

It is there for the proof: each way of going wrong is a subclass of ``Manners``, which itself is sound.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from pytest_trtcheck._suites.probe_llm.tasks import EOS
from pytest_trtcheck._suites.serving.openai.manners import Asked, Manners, Piece, RefusedError, Token, name_of
from pytest_trtcheck._suites.serving.openai.schema import CHAT, COMPLETIONS, Form
from pytest_trtcheck.providers.servers import Server

NAME = "probe"
_FORMS = {f"/v1{form.path}": form for form in (COMPLETIONS, CHAT)}


class StandIn:
    """The server in threads of this process, as a context."""

    def __init__(self, manners: Manners) -> None:
        self.manners = manners

    def __enter__(self) -> Server:
        """Listen on a port of its own."""
        handler = type("Handler", (_Handler,), {"manners": self.manners})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return Server("127.0.0.1", int(self._server.server_address[1]), "/v1")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    manners: Manners

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            entry = {"id": NAME, "object": "model", "created": 1, "owned_by": "trtcheck"}
            self._json(200, self.manners.models({"object": "list", "data": [entry]}))
        elif self.path in _FORMS:
            self._error(405, "Method Not Allowed")
        else:
            self._error(404, "Not Found")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        form = _FORMS.get(self.path)
        if form is None:
            self._error(404, "Not Found")
            return
        try:
            fields = _fields(body)
            asked = understand(form, fields)
            self.manners.refuse(asked)
        except RefusedError as refused:
            self._error(refused.status, str(refused))
            return
        try:
            pieces = self.manners.pieces(asked)
        finally:
            self.manners.over(asked)
        if fields.get("stream"):
            self._stream(asked, pieces)
        else:
            self._json(200, self.manners.whole(asked, self._whole(asked, pieces)))

    def _whole(self, asked: Asked, pieces: list[Piece]) -> dict[str, Any]:
        tokens = [token for piece in pieces for token in piece.tokens]
        piece = Piece("".join(piece.text for piece in pieces), tokens, pieces[-1].finish)
        choice = self._choice(asked, piece)
        choice |= (
            {"message": {"role": "assistant", "content": piece.text}} if asked.form.is_chat else {"text": piece.text}
        )
        prompt = len(asked.prompt) + 1
        usage = {"prompt_tokens": prompt, "completion_tokens": len(tokens), "total_tokens": prompt + len(tokens)}
        return {**_head(asked.form.whole), "choices": [choice], "usage": usage}

    def _stream(self, asked: Asked, pieces: list[Piece]) -> None:
        events = []
        for place, piece in enumerate(pieces):
            choice = self._choice(asked, piece)
            role = {"role": "assistant"} if not place else {}
            choice |= {"delta": {**role, "content": piece.text}} if asked.form.is_chat else {"text": piece.text}
            events.append({**_head(asked.form.event), "choices": [choice]})
        self._begin(200, "text/event-stream")
        for event in self.manners.events(asked, events):
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
        if self.manners.says_done:
            self.wfile.write(b"data: [DONE]\n\n")

    def _choice(self, asked: Asked, piece: Piece) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": piece.finish}
        if not asked.top:
            return choice
        scores = self.manners.scores(_scores(asked.top, piece.tokens))
        return {**choice, "logprobs": _as_chat(scores) if asked.form.is_chat else scores}

    def _error(self, status: int, words: str) -> None:
        self._json(*self.manners.error(status, {"error": {"message": words, "type": "invalid_request_error"}}))

    def _json(self, status: int, document: Any) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._begin(status, "application/json", str(len(body)))
        self.wfile.write(body)

    def _begin(self, status: int, kind: str, length: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length:
            self.send_header("Content-Length", length)
        self.end_headers()


def _head(kind: str) -> dict[str, Any]:
    return {"id": "cmpl-1", "object": kind, "created": 1, "model": NAME}


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        raise RefusedError(400, "the body is no JSON") from None
    if not isinstance(fields, dict):
        raise RefusedError(400, "the body is no JSON object")
    return fields


def understand(form: Form, fields: dict[str, Any]) -> Asked:
    """Return what is asked for; RefusedError for what cannot be understood."""
    if fields.get("model") != NAME:
        raise RefusedError(404, f"The model {str(fields.get('model'))[:80]!r} does not exist")
    limit = fields.get("max_tokens", 16)
    if type(limit) is not int or limit < 1:
        raise RefusedError(400, "max_tokens must be a whole number of 1 or more")
    stop = fields.get("stop") or []
    logprobs = fields.get("logprobs") or 0
    top = fields.get("top_logprobs", 0) if form.is_chat and logprobs else int(logprobs)
    return Asked(form, _prompt(form, fields), limit, [stop] if isinstance(stop, str) else stop, top)


def _prompt(form: Form, fields: dict[str, Any]) -> str:
    if not form.is_chat:
        found = fields.get("prompt")
    else:
        messages = fields.get("messages")
        last = messages[-1] if isinstance(messages, list) and messages else None
        found = last.get("content") if isinstance(last, dict) and "role" in last else None
    if not isinstance(found, str):
        raise RefusedError(400, "no prompt or messages")
    return found


def _scores(count: int, tokens: list[Token]) -> dict[str, Any]:
    """Return log-probabilities as completions tell them."""
    return {
        "tokens": [token.text or name_of(EOS) for token in tokens],
        "token_logprobs": [token.log_prob for token in tokens],
        "top_logprobs": [dict(list(token.top.items())[:count]) for token in tokens],
    }


def _as_chat(scores: dict[str, Any]) -> dict[str, Any]:
    def entries() -> Iterator[dict[str, Any]]:
        for text, value, top in zip(*scores.values(), strict=True):
            likeliest = [{"token": name, "logprob": told} for name, told in top.items()]
            yield {"token": text, "logprob": value, "bytes": list(text.encode()), "top_logprobs": likeliest}

    return {"content": list(entries())}
