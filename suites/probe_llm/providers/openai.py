"""A server that speaks the OpenAI protocol for completions: trtllm-serve, vLLM, Triton's frontend, transformers serve.

Only fields of the protocol itself are sent, since some servers refuse others; one of vLLM's own is added where the
server says that it is vLLM. The server is brought up by its owner, with the probe model; what it was brought up with
cannot be asked for.
Source: OpenAI's reference of completions; serve/openai_protocol.py of TensorRT-LLM; entrypoints/openai of vLLM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.probe_llm.providers.answers import ended, text_of, vocabulary
from pytest_trtcheck._suites.probe_llm.providers.play import Part, Threads, play
from pytest_trtcheck._suites.probe_llm.providers.wire import (
    Bounds,
    Call,
    DeclinedError,
    ServerError,
    error_words,
    number,
)
from pytest_trtcheck._suites.probe_llm.tasks import BOS, encode
from pytest_trtcheck.providers.llm import lacking
from pytest_trtcheck.providers.servers import Server

if TYPE_CHECKING:
    import pytest

    from pytest_trtcheck.providers import Completion, LlmCase, LlmSession, Model, Request, Setup, Where

ABILITIES = frozenset(
    {"bf16", "arrivals", "streaming", "cancel", "sampling", "top_p", "seed", "stop_words", "log_probs"}
)
"""What the protocol has. Servers take the dtype from the model's own config, which says bf16."""
_ID_PREFIX = "token_id:"
"""How vLLM writes a token in log-probabilities when it is told to name ids."""


class OpenAi:
    """One server."""

    name = "openai"

    def __init__(self, server: Server, model: str = "", bounds: Bounds | None = None) -> None:
        """``model`` is the name under which the server has the probe model; empty for the first that it lists."""
        self.server, self.model, self.bounds = server, model, bounds or Bounds()

    def why_not(self, case: LlmCase, where: Where) -> str:  # noqa: ARG002
        """Return what the protocol has no words for."""
        return lacking(case, ABILITIES)

    def open(self, setup: Setup, model: Model, where: Where) -> LlmSession:  # noqa: ARG002
        """Ask which models there are, and in which form the server takes a prompt."""
        return Session(self.server, self.model, vocabulary(model.main), self.bounds)


class Session:
    """A server that answered."""

    def __init__(self, server: Server, model: str, tokens: Mapping[str, int], bounds: Bounds) -> None:
        self.server, self.bounds, self.tokens = server, bounds, tokens
        models = self._models()
        self.model = model or next(iter(models))
        self.is_vllm = models.get(self.model) == "vllm"
        self.takes_ids = self._takes_ids()

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer requests, in their order."""
        return play(requests, Threads(self.ask))

    def close(self) -> None:
        """Nothing is held between answers."""

    def ask(self, number: int, request: Request, stream: bool) -> Iterator[Part]:
        """Answer one request, part by part."""
        prompt = list(request.prompt) if self.takes_ids else text_of(request.prompt)
        if prompt is None:
            yield Part(number, finish="refused", words="the server takes text only, and no text has these tokens")
            return
        fields = {**self.fields(request), "prompt": prompt, "stream": stream}
        answer = Answer(self, request)
        try:
            with Call(self.server, "/completions", fields, self.bounds) as call:
                if stream and call.kind == "text/event-stream" and call.status == 200:
                    for event in call.events():
                        answer.add(call, event)
                        yield answer.part(number)
                    if not answer.said:
                        raise call.wrong(f"the stream ended after {len(answer.ids)} tokens without a finish_reason")
                else:
                    answer.add(call, call.document())
            yield answer.last(call, number)
        except DeclinedError as declined:
            yield Part(number, finish="refused", words=str(declined))

    def fields(self, request: Request) -> dict[str, Any]:
        """Return what a request asks for, in the protocol's names."""
        fields: dict[str, Any] = {
            "model": self.model,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
        }
        if request.top_p < 1:
            fields["top_p"] = request.top_p
        if request.seed is not None:
            fields["seed"] = request.seed
        if request.stop:
            fields["stop"] = list(request.stop)
        if request.log_probs:
            fields["logprobs"] = request.log_probs
        if self.is_vllm:
            fields["return_token_ids"] = True
        return fields

    def _models(self) -> dict[str, str]:
        """Return who owns each model that the server lists, by its name."""
        with Call(self.server, "/models", None, self.bounds) as call:
            try:
                document = call.document()
            except DeclinedError as declined:
                raise call.wrong(str(declined)) from None
            entries = document.get("data") if isinstance(document, dict) else None
            listed = entries if isinstance(entries, list) else []
            models = {
                entry["id"]: str(entry.get("owned_by", ""))
                for entry in listed
                if isinstance(entry, dict) and isinstance(entry.get("id"), str)
            }
            if not models:
                raise call.wrong(f"expected a list of models, found {str(document)[:120]!r}")
        return models

    def _takes_ids(self) -> bool:
        """Say whether the server takes prompts of token ids; ServerError when it takes neither these nor text."""
        words = []
        for prompt in ([BOS, *encode("Cab=")], "Cab="):
            fields = {"model": self.model, "prompt": prompt, "max_tokens": 1, "temperature": 0.0}
            try:
                with Call(self.server, "/completions", fields, self.bounds) as call:
                    call.document()
                return isinstance(prompt, list)
            except DeclinedError as declined:
                words.append(str(declined))
        raise ServerError(f"{self.server}/completions: model {self.model!r} answers no prompt: {words[-1]}")


@dataclass(frozen=True)
class _Told:
    """Log-probabilities of one piece, in the protocol's form, once it was found to be of that form."""

    ids: tuple[int, ...]
    rows: tuple[dict[int, float], ...]


class Answer:
    """What has come of one answer."""

    def __init__(self, session: Session, request: Request) -> None:
        self.session, self.request = session, request
        self.ids: list[int] = []
        self.rows: list[dict[int, float]] = []
        self.said = ""
        self.stop: str | None = None
        self.names_stops = False

    def add(self, call: Call, document: Any) -> None:
        """Take a piece, or all of it; ServerError for what the protocol does not allow."""
        words = error_words(document)
        choices = document.get("choices") if isinstance(document, dict) else None
        if words and not choices:
            raise DeclinedError(words)
        if choices == []:
            # A last event with the usage alone.
            return
        choice = choices[0] if isinstance(choices, list) else None
        if not isinstance(choice, dict):
            raise call.wrong(f"expected choices, found {str(document)[:120]!r}")
        text, said = choice.get("text"), choice.get("finish_reason")
        if not isinstance(text, str) or not isinstance(said, (str, type(None))):
            raise call.wrong(f"expected text and finish_reason, found {str(choice)[:120]!r}")
        told = self._told(call, choice.get("logprobs"))
        self.rows += told.rows if told else ()
        self.ids += self._ids(choice.get("token_ids"), told, text)
        if len(self.ids) > self.request.max_tokens:
            raise call.wrong(f"more tokens than asked for: expected {self.request.max_tokens} at most")
        self.said = said or self.said
        if "stop_reason" in choice:
            self.names_stops = True
            found = choice["stop_reason"]
            self.stop = found if isinstance(found, str) and found in self.request.stop else self.stop

    def part(self, number: int) -> Part:
        """Return what has come so far."""
        return Part(number, tuple(self.ids), log_probs=tuple(self.rows))

    def last(self, call: Call, number: int) -> Part:
        """Return the whole answer."""
        try:
            tokens, finish = ended(self.request, self.ids, self.said, self.stop, names_stops=self.names_stops)
        except RuntimeError as error:
            raise call.wrong(str(error)) from None
        return Part(number, tokens, finish, log_probs=tuple(self.rows[: len(tokens)]))

    def _ids(self, ids: Any, told: _Told | None, text: str) -> Sequence[int]:
        """Return the tokens of a piece: by id, by their names beside log-probabilities, or by the text."""
        if isinstance(ids, list) and all(isinstance(one, int) and 0 <= one < 2**31 for one in ids):
            return ids
        return told.ids if told else encode(text)

    def _told(self, call: Call, found: Any) -> _Told | None:
        if not self.request.log_probs or found is None:
            return None
        names, values = (found.get("tokens"), found.get("token_logprobs")) if isinstance(found, dict) else (None, None)
        tops = found.get("top_logprobs") if isinstance(found, dict) else None
        tops = tops if isinstance(tops, list) else [None] * len(names or ())
        if not isinstance(names, list) or not isinstance(values, list) or not len(names) == len(values) == len(tops):
            raise call.wrong(f"expected lists of tokens and their log-probabilities, found {str(found)[:120]!r}")
        ids = tuple(self._id(call, name) for name in names)
        rows = []
        for one, value, top in zip(ids, values, tops, strict=True):
            named = {**(top if isinstance(top, dict) else {})}
            row = {self._id(call, name): self._log_prob(call, entry) for name, entry in named.items()}
            rows.append({**row, one: self._log_prob(call, value)})
        return _Told(ids, tuple(rows))

    def _id(self, call: Call, name: Any) -> int:
        found = self.session.tokens.get(name) if isinstance(name, str) else None
        if found is None and isinstance(name, str) and name.startswith(_ID_PREFIX):
            digits = name.removeprefix(_ID_PREFIX)
            found = int(digits) if digits.isdecimal() and len(digits) < 10 else None
        if found is None:
            raise call.wrong(f"expected a token of the probe model in logprobs, found {str(name)[:60]!r}")
        return found

    def _log_prob(self, call: Call, value: Any) -> float:
        found = number(value)
        if found is None:
            raise call.wrong(f"expected a number as log-probability, found {str(value)[:60]!r}")
        return found


def backends_of(config: pytest.Config) -> list[OpenAi]:
    """Return the server that the options name, if they name one."""
    from pytest_trtcheck.session import run_of

    settings = run_of(config).settings
    if settings.openai_url is None:
        return []
    server = settings.openai_url
    below = server if server.path.endswith("/v1") else replace(server, path=f"{server.path}/v1")
    return [OpenAi(below, settings.openai_model)]
