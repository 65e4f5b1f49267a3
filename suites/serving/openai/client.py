"""What a server of the OpenAI protocol is asked, and what comes back, bounded in time and size."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_trtcheck._suites.probe_llm.providers.wire import Bounds, Call, error_words
from pytest_trtcheck._suites.probe_llm.providers.wire import ServerError as WireError
from pytest_trtcheck._suites.serving.checking import NotRun, Wrong
from pytest_trtcheck._suites.serving.openai.schema import CHAT, Form, Said, models, read_events, read_whole
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.providers.servers import Server

BOUNDS = Bounds(answer_seconds=60.0)
CHAT_TEMPLATE = Path(__file__).parent.parent / "chat_template.jinja"
"""What the probe model has to be served with, so that chat is asked what completions are: see docs/serving.md."""
EVENTS = "text/event-stream"
_FIRST_ERROR, _SERVER_ERROR = 400, 500


@dataclass(frozen=True)
class Reply:
    """An answer as it came."""

    status: int
    document: Any
    """The body as JSON; its first characters where it is none."""
    is_json: bool

    @property
    def words(self) -> str:
        """The server's words of an error, whatever the status; empty for none."""
        if not self.is_json:
            return str(self.document) if self.status >= _FIRST_ERROR else ""
        return error_words(self.document)


@dataclass(frozen=True)
class Stream:
    """Server-sent events, all of them."""

    events: tuple[Any, ...]
    seconds: tuple[float, ...]
    """When each came, from the request on."""
    is_done: bool
    """True when ``[DONE]`` came last."""


class Client:
    """One server, and what is learned of it."""

    release_of_server = ""

    def __init__(self, server: Server, model: str = "", bounds: Bounds = BOUNDS) -> None:
        """``model`` is the name of the probe model there; empty for the first that the server lists."""
        self.server, self.given, self.bounds = server, model, bounds
        self.facts: list[str] = []
        """What the running check learned of the server, for its readers."""
        self.known: list[str] = []
        """What the running check met of known behaviours."""

    @cached_property
    def model(self) -> str:
        """The name to ask for; Wrong when there is none."""
        if self.given:
            return self.given
        listed = models(self.ask("/models").document)
        if not listed:
            raise Wrong(f"{self.server}/models: lists no model; name the probe model by --trtcheck-openai-model")
        return listed[0]

    def ask(self, path: str, document: Any = None) -> Reply:
        """Return the answer to a GET, or to a POST of a document or of bytes; Wrong for none."""
        with self._named(), Call(self.server, path, document, self.bounds) as call:
            found, is_json = call.parsed()
            return Reply(call.status, found, is_json)

    def say(self, form: Form, prompt: str, **more: Any) -> Said:
        """Return the answer to a prompt, greedy; Wrong for an error, and for what the protocol does not allow."""
        reply = self.ask(form.path, self.fields(form, prompt, more))
        if reply.status >= _FIRST_ERROR or reply.words:
            raise Wrong(f"{self.server}{form.path}: HTTP {reply.status}: {reply.words or 'an error without words'}")
        return read_whole(form, reply.document)

    def stream(self, form: Form, prompt: str, **more: Any) -> tuple[Said, Stream]:
        """Return a streamed answer, put together, and its events; Wrong as for a whole one."""
        began = time.monotonic()
        with (
            self._named(),
            Call(self.server, form.path, self.fields(form, prompt, {**more, "stream": True}), self.bounds) as call,
        ):
            if call.status != 200 or call.kind != EVENTS:
                found, is_json = call.parsed()
                words = Reply(call.status, found, is_json).words or f"media type {call.kind!r}"
                raise Wrong(
                    f"{self.server}{form.path}: asked to stream, expected {EVENTS}, found HTTP {call.status}: {words}"
                )
            came = [(event, time.monotonic() - began) for event in call.events()]
            stream = Stream(tuple(event for event, _ in came), tuple(when for _, when in came), call.is_done)
        return read_events(form, stream.events), stream

    def fields(self, form: Form, prompt: str, more: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request in the protocol's own fields alone: some servers refuse others."""
        return {"model": self.model, **form.prompt(prompt), "temperature": 0, "max_tokens": 64, **more}

    def needs(self, form: Form, prompt: str, what: str, **more: Any) -> None:
        """Raise NotRun where the server declines, in words and with a status that says so, what not all servers do."""
        reply = self.ask(form.path, self.fields(form, prompt, more))
        if _FIRST_ERROR <= reply.status < _SERVER_ERROR and reply.words:
            raise NotRun(Reason.REFUSED, f"{what}: HTTP {reply.status}: {reply.words}")

    @cached_property
    def chat_passes_on(self) -> bool:
        """True when the chat template puts nothing around a message, so that answers can be held against the truth.

        Told by the number of tokens of the same prompt with and without the template. NotRun where there is no chat.
        """
        prompt = "Cab="
        self.needs(CHAT, prompt, "chat", max_tokens=2)
        with_template = self.say(CHAT, prompt, max_tokens=2).prompt_tokens
        return with_template is not None and with_template == len(prompt) + 1

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except WireError as error:
            raise Wrong(str(error)) from None
