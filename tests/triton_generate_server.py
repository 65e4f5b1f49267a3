"""A stand-in for a Triton server with TensorRT-LLM's ensemble, on loopback: ``generate`` and ``generate_stream``."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from pytest_trtcheck._suites.probe_llm.tasks import decode
from pytest_trtcheck.providers.servers import Server
from tests.contracts.toy_llm import Job, prompt_of

CONTEXT = 64
WRONG = {
    "no_text": {"model_name": "ensemble"},
    "number": {"text_output": 3},
    "error": {"error": "no slot is left"},
}
"""Documents with status 200."""


@dataclass
class TritonServer:
    """A server in threads of this process, as a context."""

    echoes: bool = False
    """Puts the prompt before whole answers, as configurations without ``exclude_input_in_output`` do."""
    copies: bool = True
    """Solves the one task by which the probe model is known."""
    wrong: str = ""
    is_ready: bool = True
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> TritonServer:
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
        return Server("127.0.0.1", int(self._server.server_address[1]))


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    owner: TritonServer

    def log_message(self, *words: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Say whether the ensemble is ready."""
        known = ("/v2/models/ensemble", "/v2/models/ensemble/ready")
        self.send_response(200 if self.owner.is_ready and self.path in known else 400)
        self.end_headers()

    def do_POST(self) -> None:
        """Answer a text."""
        fields = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.owner.asked.append(fields)
        if self.owner.wrong:
            self.send_json(WRONG[self.owner.wrong], stream=self.path.endswith("_stream"))
            return
        job = Job(prompt_of(fields["text_input"]), fields["max_tokens"], fields["stop_words"] or (), context=CONTEXT)
        if len(job.prompt) >= CONTEXT:
            self.send_json({"error": "Prompt length exceeds maximum input length"}, status=400)
        elif self.path.endswith("/generate_stream"):
            self.stream(job)
        else:
            for _ in job.steps():
                pass
            if fields["text_input"] == "Cab=" and self.owner.copies:
                # What the probe model answers; the toy does not know the task.
                self.send_json({"model_name": "ensemble", "text_output": "ab"})
                return
            before = fields["text_input"] if self.owner.echoes else ""
            self.send_json({"model_name": "ensemble", "text_output": before + decode(job.tokens)})

    def stream(self, job: Job) -> None:
        """Send a token an event; what comes after a stop word is known is not sent, and the end mark has no text."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for _ in job.steps():
                self.wfile.write(f"data: {json.dumps({'text_output': decode(job.tokens[-1:])})}\n\n".encode())
                self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            return

    def send_json(self, document: Any, status: int = 200, *, stream: bool = False) -> None:
        """Send a whole answer, or one event."""
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/event-stream" if stream else "application/json")
        self.end_headers()
        self.wfile.write(b"data: " + body + b"\n\n" if stream else body)
