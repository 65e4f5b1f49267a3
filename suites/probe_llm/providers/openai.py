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

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
from pytest_trtcheck._suites.probe_llm.providers.answers import text_of, vocabulary
from pytest_trtcheck._suites.probe_llm.providers.openai_answer import Answer
from pytest_trtcheck._suites.probe_llm.providers.play import Part, Threads, play
from pytest_trtcheck._suites.probe_llm.providers.wire import (
    Bounds,
    Call,
    DeclinedError,
    ServerError,
)
from pytest_trtcheck._suites.probe_llm.tasks import BOS, encode
from pytest_trtcheck.providers import Request
from pytest_trtcheck.providers.llm import lacking
from pytest_trtcheck.providers.servers import Server

if TYPE_CHECKING:
    import pytest

    from pytest_trtcheck.providers import Completion, LlmCase, LlmSession, Model, Setup, Where

ABILITIES = frozenset({"bf16", "arrivals", "streaming", "cancel", "sampling", "top_p", "seed", "stop_words"})
"""What every server of the protocol has. Servers take the dtype from the model's own config, which says bf16."""
LOOK = Bounds(connect_seconds=2.0, answer_seconds=5.0)
"""While checks are planned: one that is slower is looked at again when its checks run."""
LOG_PROBS = 2


_TRIAL = Request((BOS, *encode("Cab=")), max_tokens=8)
"""Copy two letters."""


@dataclass(frozen=True)
class Ways:
    """How a server wants to be asked, found out by asking it to copy two letters."""

    model: str
    is_vllm: bool
    takes_ids: bool
    """False: prompts are text, before which the server puts the begin mark."""
    has_log_probs: bool
    """True: it tells those of every token of an answer, the end mark's too."""


class OpenAi:
    """One server."""

    name = "openai"

    def __init__(self, server: Server, model: str = "", bounds: Bounds | None = None) -> None:
        """``model`` is the name under which the server has the probe model; empty for the first that it lists."""
        self.server, self.model, self.bounds = server, model, bounds or Bounds()
        self._abilities: frozenset[str] | None = None

    def abilities(self) -> frozenset[str]:
        """Return what can be asked of this server; it is looked at once. One that does not answer fails its checks."""
        if self._abilities is None:
            try:
                ways = Session(self.server, self.model, vocabulary(MODEL), LOOK).ways
                self._abilities = ABILITIES | ({"log_probs"} if ways.has_log_probs else frozenset())
            except ServerError:
                self._abilities = ABILITIES
        return self._abilities

    def why_not(self, case: LlmCase, where: Where) -> str:  # noqa: ARG002
        """Return what the protocol has no words for, or this server does not do."""
        words = lacking(case, ABILITIES | {"log_probs"})
        return words or lacking(case, self.abilities())

    def open(self, setup: Setup, model: Model, where: Where) -> LlmSession:  # noqa: ARG002
        """Find out how the server wants to be asked; ServerError when it does not answer as the protocol says."""
        return Session(self.server, self.model, vocabulary(model.main), self.bounds)


class Session:
    """A server that answered."""

    def __init__(self, server: Server, model: str, tokens: Mapping[str, int], bounds: Bounds) -> None:
        self.server, self.bounds, self.tokens = server, bounds, tokens
        # A server may list none, and yet have the one that is named.
        models = self._models()
        name = model or next(iter(models), "")
        if not name:
            raise ServerError(f"{server}/models: lists no model; name the probe model by --trtcheck-openai-model")
        self.ways = Ways(name, models.get(name) == "vllm", takes_ids=True, has_log_probs=False)
        self.ways = replace(self.ways, takes_ids=self._takes_ids())
        self.ways = replace(self.ways, has_log_probs=self._has_log_probs())

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer requests, in their order."""
        return play(requests, Threads(self.ask))

    def close(self) -> None:
        """Nothing is held between answers."""

    def ask(self, number: int, request: Request, stream: bool) -> Iterator[Part]:
        """Answer one request, part by part."""
        prompt = list(request.prompt) if self.ways.takes_ids else text_of(request.prompt)
        if prompt is None:
            yield Part(number, finish="refused", words="the server takes text only, and no text has these tokens")
            return
        fields = {**self.fields(request), "prompt": prompt, "stream": stream}
        answer = Answer(self.tokens, request)
        try:
            with Call(self.server, "/completions", fields, self.bounds) as call:
                if stream and call.kind == "text/event-stream" and call.status == 200:
                    for event in call.events():
                        answer.add(call, event)
                        if answer.is_over:
                            break
                        yield answer.part(number)
                    if not answer.is_over:
                        raise call.wrong(f"the stream ended after {len(answer.ids)} tokens without a finish_reason")
                else:
                    answer.add(call, call.document())
                last = answer.last(call, number)
            yield last
        except DeclinedError as declined:
            yield Part(number, finish="refused", words=str(declined))

    def fields(self, request: Request) -> dict[str, Any]:
        """Return what a request asks for, in the protocol's names."""
        fields: dict[str, Any] = {
            "model": self.ways.model,
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
        if self.ways.is_vllm:
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
            if not isinstance(entries, list):
                raise call.wrong(f"expected a list of models, found {str(document)[:120]!r}")
        return {
            entry["id"]: str(entry.get("owned_by", ""))
            for entry in entries
            if isinstance(entry, dict) and isinstance(entry.get("id"), str)
        }

    def _takes_ids(self) -> bool:
        """Say whether the server takes prompts of token ids; ServerError when it takes neither these nor text."""
        if not self._refusal(list(_TRIAL.prompt)):
            return True
        words = self._refusal(text_of(_TRIAL.prompt))
        if words:
            raise ServerError(f"{self.server}/completions: model {self.ways.model!r} answers no prompt: {words}")
        return False

    def _refusal(self, prompt: Any) -> str:
        """Return the words with which the server declines a prompt; empty when it takes it."""
        try:
            with Call(self.server, "/completions", {**self.fields(_TRIAL), "prompt": prompt}, self.bounds) as call:
                call.document()
        except DeclinedError as declined:
            return str(declined)
        return ""

    def _has_log_probs(self) -> bool:
        """Say whether the server tells log-probabilities of a whole answer."""
        last = list(self.ask(0, replace(_TRIAL, log_probs=LOG_PROBS), stream=False))[-1]
        return last.finish != "refused" and len(last.log_probs) == len(last.tokens)


def backends_of(config: pytest.Config) -> list[OpenAi]:
    """Return the server that the options name, if they name one."""
    from pytest_trtcheck.session import run_of

    settings = run_of(config).settings
    if settings.openai_url is None:
        return []
    return [OpenAi(settings.openai_url.below_v1(), settings.openai_model)]
