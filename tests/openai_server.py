"""A stand-in for servers of the OpenAI protocol, on loopback: it answers as a toy or as the reference model does.

It can speak like vLLM, trtllm-serve or transformers serve as far as they differ, and go wrong as ``openai_wrong`` says.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from pytest_trtcheck._suites.probe_llm.tasks import BOS, EOS, decode, encode
from pytest_trtcheck.providers.servers import Server
from tests.contracts.toy_llm import answer_to, log_probs_of
from tests.openai_wrong import go_wrong

CONTEXT = 2048

Answers = Callable[[Sequence[int], dict[str, Any]], Iterator[tuple[int, dict[int, float]]]]
"""Tokens with their log-probabilities, one after the other, of a prompt and the fields of a request."""


def toy(prompt: Sequence[int], fields: dict[str, Any]) -> Iterator[tuple[int, dict[int, float]]]:
    """Answer the prompt backwards."""
    for token in answer_to(prompt):
        yield token, log_probs_of(token, fields.get("logprobs") or 1)


def reference() -> Answers:
    """Return what answers as the probe model does, in fp32; needs torch."""
    import torch

    from pytest_trtcheck._suites.probe_llm import checkpoint
    from pytest_trtcheck._suites.probe_llm.reference import Cache

    model = checkpoint.load()

    def answer(prompt: Sequence[int], fields: dict[str, Any]) -> Iterator[tuple[int, dict[int, float]]]:
        cache, new = Cache(), list(prompt)
        source = torch.Generator().manual_seed(fields.get("seed") or 0)
        while True:
            with torch.inference_mode():
                row = model.logits(new, cache)[-1].log_softmax(-1)
                warmth = fields.get("temperature", 1.0)
                token = int(
                    torch.multinomial((row / warmth).softmax(-1), 1, generator=source) if warmth else row.argmax()
                )
                top = row.topk(fields.get("logprobs") or 1)
            yield token, {**dict(zip(top.indices.tolist(), top.values.tolist(), strict=True)), token: float(row[token])}
            new = [token]

    return answer


@dataclass
class Manners:
    """How a server speaks."""

    owner: str = "somebody"
    """``vllm`` is sent token ids back when it is asked."""
    takes_ids: bool = True
    names_stops: bool = True
    has_log_probs: bool = True
    tells_end_mark: bool = True
    """Among log-probabilities."""
    ignores_stream: bool = False
    """Answers whole, whatever is asked."""
    piece: int = 1
    """Tokens in an event."""
    pause: float = 0.0
    """Seconds before each token."""
    wrong: str = ""
    """How it goes wrong; empty for not at all."""
    after: int = 0
    """Requests for completions that it answers before it goes wrong."""


@dataclass
class OpenAiServer:
    """A server in threads of this process, as a context."""

    answers: Answers = toy
    manners: Manners = field(default_factory=Manners)

    def __enter__(self) -> OpenAiServer:
        self.asked: list[dict[str, Any]] = []
        self.closed_early = threading.Event()
        handler = type("Handler", (Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> Server:
        """Where it listens."""
        return Server("127.0.0.1", int(self._server.server_address[1]), "/v1")


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    owner: OpenAiServer

    def log_message(self, *words: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """List the one model."""
        if self.path != "/v1/models":
            self.send_json(404, {"detail": "Not Found"})
            return
        wrong = self.owner.manners.wrong
        if wrong == "no_models":
            self.send_json(200, {"object": "list", "data": []})
        elif wrong and not self.owner.manners.after:
            go_wrong(self, wrong)
        else:
            model = {"id": "probe", "object": "model", "owned_by": self.owner.manners.owner}
            self.send_json(200, {"object": "list", "data": [model]})

    def do_POST(self) -> None:
        """Answer a prompt."""
        fields = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        manners = self.owner.manners
        self.owner.asked.append(fields)
        try:
            if self.refused(fields):
                return
            if manners.wrong and len(self.owner.asked) > manners.after:
                go_wrong(self, manners.wrong, stream=bool(fields.get("stream")))
                return
            self.answer(fields)
        except (BrokenPipeError, ConnectionResetError):
            self.owner.closed_early.set()

    def refused(self, fields: dict[str, Any]) -> bool:
        """Decline what servers decline, in their words."""
        prompt, manners = fields["prompt"], self.owner.manners
        words = ""
        if fields["model"] != "probe":
            words = f"The model `{fields['model']}` does not exist."
        elif isinstance(prompt, list) and not manners.takes_ids:
            words = "prompt must be a string."
        elif "logprobs" in fields and not manners.has_log_probs:
            words = "Unsupported fields in the request: {'logprobs'}"
        elif not prompt:
            words = "prompt is empty"
        elif len(prompt) >= CONTEXT:
            words = f"This model's maximum context length is {CONTEXT} tokens"
        if words:
            self.send_json(400, {"error": {"message": words, "type": "BadRequestError", "code": 400}})
        return bool(words)

    def answer(self, fields: dict[str, Any]) -> None:
        """Answer whole or in events."""
        stream = fields.get("stream") and not self.owner.manners.ignores_stream
        if stream:
            self.begin("text/event-stream")
        whole = Choice([], [], "")
        for piece in self.pieces(fields):
            if stream:
                self.event(self.document(fields, piece))
            whole = Choice([*whole.tokens, *piece.tokens], [*whole.rows, *piece.rows], piece.reason, piece.stop)
        if stream:
            self.wfile.write(b"data: [DONE]\n\n")
        else:
            self.send_json(200, self.document(fields, whole))

    def pieces(self, fields: dict[str, Any]) -> Iterator[Choice]:
        """Yield pieces of an answer; the last one has the reason of the end."""
        prompt = fields["prompt"]
        ids = prompt if isinstance(prompt, list) else [BOS, *encode(prompt)]
        tokens: list[int] = []
        piece = Choice([], [], "")
        for token, row in self.owner.answers(ids, fields):
            time.sleep(self.owner.manners.pause)
            tokens.append(token)
            met = [word for word in fields.get("stop", ()) if tokens[-len(word) :] == encode(word)]
            if token == EOS:
                piece.reason = "stop"
            elif met:
                piece.reason, piece.stop = "stop", met[0]
            elif len(tokens) == fields["max_tokens"] or len(ids) + len(tokens) == CONTEXT:
                piece.reason = "length"
            piece.tokens.append(token)
            piece.rows.append(row)
            if piece.reason or len(piece.tokens) == self.owner.manners.piece:
                yield piece
                if piece.reason:
                    return
                piece = Choice([], [], "")

    def document(self, fields: dict[str, Any], piece: Choice) -> dict[str, Any]:
        """Return a piece in the protocol's form."""
        manners = self.owner.manners
        choice: dict[str, Any] = {"index": 0, "text": decode(piece.tokens), "finish_reason": piece.reason or None}
        if manners.names_stops:
            choice["stop_reason"] = piece.stop or None
        if manners.owner == "vllm" and fields.get("return_token_ids"):
            choice["token_ids"] = piece.tokens
        if fields.get("logprobs"):
            told = zip(piece.tokens, piece.rows, strict=True)
            kept = [(token, row) for token, row in told if token != EOS or manners.tells_end_mark]
            choice["logprobs"] = {
                "tokens": [name_of(token) for token, _ in kept],
                "token_logprobs": [row[token] for token, row in kept],
                "top_logprobs": [{name_of(token): value for token, value in row.items()} for _, row in kept],
            }
        return {"object": "text_completion", "model": "probe", "choices": [choice]}

    def begin(self, kind: str, status: int = 200, **headers: str) -> None:
        """Send the head of an answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def event(self, document: Any) -> None:
        """Send one event."""
        self.wfile.write(f"data: {json.dumps(document)}\n\n".encode())
        self.wfile.flush()

    def send_json(self, status: int, document: Any) -> None:
        """Send a whole answer."""
        body = json.dumps(document).encode()
        self.begin("application/json", status, Content_Length=str(len(body)))
        self.wfile.write(body)


@dataclass
class Choice:
    """A piece of an answer."""

    tokens: list[int]
    rows: list[dict[int, float]]
    reason: str
    stop: str = ""


def name_of(token: int) -> str:
    """Return a token's text as the probe model's tokenizer has it."""
    names = {0: "<|pad|>", BOS: "<|bos|>", EOS: "<|eos|>", 3: "<|unk|>"}
    return names.get(token, decode([token]) or f"<|unused{token}|>")
