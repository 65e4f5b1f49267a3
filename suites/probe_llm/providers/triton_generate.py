"""A Triton server with TensorRT-LLM's model repository, asked through ``generate`` and ``generate_stream``.

The ensemble takes text and gives text: prompts that no text stands for are refused, and why an answer ended is read off
its length. Unknown fields are ignored there, and errors may come with status 200, so bodies are looked at.
Source: all_models/inflight_batcher_llm/ensemble/config.pbtxt of tensorrtllm_backend, v0.5.0 to v0.19.0; Triton's
protocol extension for generation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.probe_llm.providers.answers import text_of, without
from pytest_trtcheck._suites.probe_llm.providers.play import Part, Threads, play
from pytest_trtcheck._suites.probe_llm.providers.wire import Bounds, Call, DeclinedError, ServerError, error_words
from pytest_trtcheck._suites.probe_llm.tasks import BOS, EOS, decode, encode
from pytest_trtcheck.providers import Request
from pytest_trtcheck.providers.llm import lacking
from pytest_trtcheck.providers.servers import Server

if TYPE_CHECKING:
    import pytest

    from pytest_trtcheck.providers import Completion, LlmCase, LlmSession, Model, Setup, Where

ABILITIES = frozenset(
    {
        "bf16", "arrivals", "streaming", "cancel", "sampling", "top_k", "top_p", "seed", "repetition_penalty",
        "stop_words", "bad_words",
    }
)  # fmt: skip
"""What the ensemble has inputs for. Its log-probabilities are of the chosen tokens only, so they are not asked for."""
MODEL = "ensemble"
LOOK = Bounds(connect_seconds=2.0, answer_seconds=5.0)
"""While checks are planned: what is slower is asked again when its checks run."""
_TRIAL = Request((BOS, *encode("Cab=")), max_tokens=8)
_TRIAL_ANSWER = (*encode("ab"), EOS)
"""Copy two letters."""


class TritonGenerate:
    """One server."""

    name = "triton_generate"

    def __init__(self, server: Server, model: str = MODEL, bounds: Bounds | None = None) -> None:
        """``model`` is the ensemble's name."""
        self.server, self.model, self.bounds = server, model, bounds or Bounds()
        self._stranger: str | None = None

    def why_not(self, case: LlmCase, where: Where) -> str:  # noqa: ARG002
        """Return what the ensemble has no input for, or that it is another model's: a server may serve anything."""
        return lacking(case, ABILITIES) or self.stranger()

    def stranger(self) -> str:
        """Return why what runs there is not the probe model, looked at once; empty if it is, or does not answer."""
        if self._stranger is None:
            try:
                self._stranger = Session(self.server, self.model, LOOK).stranger(self.model)
            except ServerError:
                self._stranger = ""
        return self._stranger

    def open(self, setup: Setup, model: Model, where: Where) -> LlmSession:  # noqa: ARG002
        """Look whether the ensemble is ready."""
        session = Session(self.server, self.model, self.bounds)
        session.check_ready()
        return session


class Session:
    """An ensemble that is ready."""

    def __init__(self, server: Server, model: str, bounds: Bounds) -> None:
        self.server, self.path, self.bounds = server, f"/v2/models/{model}", bounds

    def check_ready(self) -> None:
        """Raise ServerError unless the server says that the model is ready."""
        with Call(self.server, f"{self.path}/ready", None, self.bounds) as call:
            if call.status != 200:
                raise call.wrong(f"HTTP {call.status}: the model is not ready")

    def stranger(self, model: str) -> str:
        """Return why the model of this name is not the probe model; empty if it is."""
        with Call(self.server, self.path, None, self.bounds) as call:
            if call.status in (400, 404):
                return f"the server has no model {model}"
        (answer,) = self.generate([_TRIAL])
        if answer.tokens == _TRIAL_ANSWER:
            return ""
        found = answer.words or repr(decode(answer.tokens))
        return f"{model} is not the probe model: asked to copy 'ab', it gave {found:.60}"

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer requests, in their order."""
        return play(requests, Threads(self.ask))

    def close(self) -> None:
        """Nothing is held between answers."""

    def ask(self, number: int, request: Request, stream: bool) -> Iterator[Part]:
        """Answer one request, part by part."""
        prompt = text_of(request.prompt)
        if prompt is None or not prompt:
            words = "the prompt is empty" if len(request.prompt) < 2 else "no text has these tokens"
            yield Part(number, finish="refused", words=f"the ensemble takes text only: {words}")
            return
        document = {"text_input": prompt, **fields(request), "stream": stream}
        came = ""
        try:
            path = f"{self.path}/generate_stream" if stream else f"{self.path}/generate"
            with Call(self.server, path, document, self.bounds) as call:
                if stream and call.status == 200:
                    for event in call.events():
                        came += piece(call, event)
                        self._check(call, came, prompt, request)
                        yield Part(number, tuple(encode(_answer(came, prompt))))
                else:
                    came = piece(call, call.document())
                    self._check(call, came, prompt, request)
            yield _last(number, request, encode(_answer(came, prompt)))
        except DeclinedError as declined:
            yield Part(number, finish="refused", words=str(declined))

    def _check(self, call: Call, came: str, prompt: str, request: Request) -> None:
        if len(_answer(came, prompt)) > request.max_tokens:
            raise call.wrong(f"more tokens than asked for: expected {request.max_tokens} at most")


def fields(request: Request) -> dict[str, Any]:
    """Return what a request asks for, as inputs of the ensemble. The words are required inputs up to 0.5."""
    inputs: dict[str, Any] = {
        "max_tokens": request.max_tokens,
        "stop_words": list(request.stop) or "",
        "bad_words": list(request.bad_words) or "",
    }
    if request.temperature > 0:
        # A top_p that is left out means 0 to the runtime, which with no top_k is the likeliest token.
        inputs |= {"temperature": request.temperature, "top_p": request.top_p, "top_k": request.top_k}
    else:
        inputs["top_k"] = 1
    if request.seed is not None:
        inputs["random_seed"] = request.seed
    if request.repetition_penalty != 1:
        inputs["repetition_penalty"] = request.repetition_penalty
    return inputs


def piece(call: Call, document: Any) -> str:
    """Return the text of an answer or an event; DeclinedError for an error, with status 200 too."""
    words = error_words(document)
    if words:
        raise DeclinedError(words)
    text = document.get("text_output") if isinstance(document, dict) else None
    if isinstance(text, list) and len(text) == 1:
        text = text[0]
    if not isinstance(text, str):
        raise call.wrong(f"expected text_output, found {str(document)[:120]!r}")
    return text


def _answer(text: str, prompt: str) -> str:
    """Return a text without the prompt, which is put before answers unless the model's configuration excludes it.

    No answer of the probe model begins with its whole prompt.
    """
    return text.removeprefix(prompt)


def _last(number: int, request: Request, ids: Sequence[int]) -> Part:
    tokens = tuple(ids)
    shorter = without(tokens, request.stop)
    if shorter != tokens:
        return Part(number, shorter, "stop")
    if len(tokens) >= request.max_tokens:
        return Part(number, tokens, "length")
    return Part(number, (*tokens, EOS), "end")


def backends_of(config: pytest.Config) -> list[TritonGenerate]:
    """Return the server that the option names, if it names one."""
    from pytest_trtcheck.session import run_of

    address = getattr(run_of(config).settings, "triton_url", None)
    return [] if address is None else [TritonGenerate(Server(address.host, address.port))]
