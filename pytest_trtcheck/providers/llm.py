"""Requests to a language model, how it is brought up, and what a backend is; independent of who serves the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pytest_trtcheck.providers.base import Where

FINISHES = ("end", "length", "stop", "cancelled", "refused")

SPECULATIONS = ("", "ngram", "draft", "eagle", "mtp")


@dataclass(frozen=True)
class Model:
    """Folders of the probe model, in Hugging Face form."""

    main: Path
    adapter: Path
    """A LoRA adapter in PEFT's form."""
    draft: Path
    """A smaller model with the same tokens, for speculative decoding."""


@dataclass(frozen=True)
class Setup:
    """How a backend is brought up. A case asks for what it needs and leaves the rest at the backend's own choice."""

    dtype: str = "fp32"
    """``fp32``, ``fp16`` or ``bf16``: weights, activations, and the KV cache unless ``kv_dtype`` differs."""
    quantization: str = ""
    """Id of an algorithm in the matrix, such as ``int8_weight_only``; empty for none."""
    kv_dtype: str = ""
    """``fp8_e4m3`` or ``int8``; empty for ``dtype``."""
    slots: int = 0
    """Most requests that run at once; 0 for the backend's choice."""
    length_limit: int = 0
    """Most tokens of one request, prompt and answer together; 0 for the model's context."""
    kv_tokens: int = 0
    """Tokens that the KV cache holds for all requests together; 0 for the backend's choice."""
    page_size: int = 0
    """Tokens in a block of the KV cache; 0 for the backend's choice."""
    prefix_reuse: bool = False
    """True: blocks of an earlier request's prompt serve a later one that begins alike. False: never."""
    chunk: int = 0
    """Most tokens of prompts that one step takes, so that a long prompt is read in pieces; 0: whole."""
    adapter: bool = False
    """True: requests may ask for the adapter."""
    speculation: str = ""
    """``ngram``, ``draft``, ``eagle`` or ``mtp``; empty for none. Greedy answers must not change by it."""
    draft_tokens: int = 4
    """Tokens proposed at a time, where there is speculation."""
    tensor_parallel: int = 1
    """GPUs, or processes, that share each layer."""

    def __post_init__(self) -> None:
        """Refuse what does not make sense."""
        if self.speculation not in SPECULATIONS:
            raise ValueError(f"no such speculation: {self.speculation!r}; there are {', '.join(SPECULATIONS[1:])}")

    @property
    def features(self) -> frozenset[str]:
        """What a backend must be able to do to be brought up like this."""
        wanted = {
            self.dtype: True,
            self.quantization: bool(self.quantization),
            f"{self.kv_dtype}_kv": bool(self.kv_dtype),
            "slots": self.slots > 0,
            "length_limit": self.length_limit > 0,
            "kv_limit": self.kv_tokens > 0,
            "page_size": self.page_size > 0,
            "prefix_reuse": self.prefix_reuse,
            "chunked_context": self.chunk > 0,
            "adapter": self.adapter,
            self.speculation: bool(self.speculation),
            f"tensor_parallel{self.tensor_parallel}": self.tensor_parallel > 1,
        }
        return frozenset(name for name, is_wanted in wanted.items() if is_wanted)

    @property
    def name(self) -> str:
        """Stable name that tells what is not left at the backend's choice: ``fp32-slots4-chunk16``."""
        parts = []
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value != entry.default or entry.name == "dtype":
                is_flag = isinstance(value, bool)
                parts.append(value if isinstance(value, str) else entry.name if is_flag else f"{entry.name}{value}")
        return "-".join(parts)


@dataclass(frozen=True)
class Request:
    """One request. Greedy unless ``temperature`` says otherwise."""

    prompt: tuple[int, ...]
    """Token ids, begin mark included: nothing is to be added."""
    max_tokens: int = 32
    after: int | None = None
    """Sent once the request of this number has delivered a token; None: at once. Together, all at once, in order."""
    streaming: bool = False
    """True: the answer is delivered in pieces, whose lengths are told."""
    cancel_after: int = 0
    """Cancelled once that many tokens have come; 0 for never."""
    temperature: float = 0.0
    """0 for the likeliest token at each place."""
    top_k: int = 0
    """0 for all."""
    top_p: float = 1.0
    seed: int | None = None
    beams: int = 1
    """More than 1: beam search; all beams are told, the best first."""
    length_penalty: float = 1.0
    """Exponent of the length by which a beam's log-probability is divided."""
    repetition_penalty: float = 1.0
    """Divides positive logits, multiplies negative ones, of every token in prompt and answer so far."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer; they are no part of it."""
    bad_words: tuple[str, ...] = ()
    """Texts that must not come."""
    regex: str = ""
    """The answer's text must match it as a whole; empty for no such demand."""
    json_schema: str = ""
    """The answer's text must be JSON of this schema; empty for no such demand."""
    log_probs: int = 0
    """How many of the likeliest tokens are told at each place, with their natural logarithms; the chosen one always."""
    adapter: bool = False
    """True: with the LoRA adapter."""

    @property
    def features(self) -> frozenset[str]:
        """What a backend must be able to do to answer this."""
        wanted = {
            "arrivals": self.after is not None,
            "streaming": self.streaming,
            "cancel": self.cancel_after > 0,
            "sampling": self.temperature > 0,
            "top_k": self.top_k > 0,
            "top_p": self.top_p < 1,
            "seed": self.seed is not None,
            "beam_search": self.beams > 1,
            "length_penalty": self.length_penalty != 1,
            "repetition_penalty": self.repetition_penalty != 1,
            "stop_words": bool(self.stop),
            "bad_words": bool(self.bad_words),
            "regex": bool(self.regex),
            "json_schema": bool(self.json_schema),
            "log_probs": self.log_probs > 0,
            "adapter": self.adapter,
        }
        return frozenset(name for name, is_wanted in wanted.items() if is_wanted)


@dataclass(frozen=True)
class Completion:
    """The answer to one request."""

    tokens: tuple[int, ...]
    """Generated token ids, the end mark last if it came; a stop word is left out."""
    finish: str
    """``end`` (the end mark came), ``length``, ``stop``, ``cancelled``, or ``refused``: not run, ``words`` say why."""
    words: str = ""
    log_probs: tuple[Mapping[int, float], ...] = ()
    """For each token of the answer, natural logarithms by token id: those asked for, and the chosen one."""
    pieces: tuple[int, ...] = ()
    """Tokens in each piece, in the order in which they came, where streaming was asked for."""
    beams: tuple[tuple[tuple[int, ...], float], ...] = ()
    """Tokens and log-probability (a sum, not divided by length) of every beam, the best first, which is ``tokens``."""

    def __post_init__(self) -> None:
        """Refuse what does not make sense."""
        if self.finish not in FINISHES:
            raise ValueError(f"no such finish: {self.finish!r}; there are {', '.join(FINISHES)}")


@dataclass(frozen=True)
class LlmCase:
    """Requests that are put to a backend together, and how it has to be brought up for them."""

    name: str
    setup: Setup
    requests: tuple[Request, ...]
    needs: frozenset[str] = frozenset()
    """Abilities that neither the setup nor a request shows."""

    @property
    def features(self) -> frozenset[str]:
        """Everything that a backend must be able to do, in the words of the report's table."""
        return self.setup.features.union(self.needs, *(request.features for request in self.requests))


class LlmSession(Protocol):
    """A backend that is up."""

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer requests, in their order.

        Those without ``after`` arrive together, and run together as far as there are slots. What a backend declines of
        one request (an empty prompt, one that is too long) is that request's ``refused``; the others are answered.
        """

    def close(self) -> None:
        """Free what it holds; called once, whatever happened."""


@runtime_checkable
class LlmBackend(Protocol):
    """One way to serve a language model.

    A site returns its own from the hook ``pytest_trtcheck_llm_backends``. The class must be importable without its
    library: ``why_not`` is asked while planning, in a process that loads nothing native.

    More attributes may be there. ``component``: the library's key in the stack vocabulary; the backend is left out
    where that is not found. ``open_seconds``: how long ``open`` takes, about; a level brings up no more setups than it
    has time for, and checks get three times as much more, since caches are cold at first. ``first_level``: the level
    from which on it is asked; ``quick`` unless it says otherwise. A session may have
    ``statistics()``: a mapping of what it knows of ``kv_blocks``, ``kv_blocks_used``, ``reused_tokens``,
    ``preemptions`` and ``largest_batch``, since it was opened.
    One that quantizes may have ``layers(tokens)``: a mapping from the checkpoint's name of a linear layer, such as
    ``model.layers.0.mlp.up_proj``, to its input ``[tokens, in]`` and output ``[tokens, out]`` for that one prompt, so
    that a layer that is off can be named; of a quantized cache, ``model.layers.0.self_attn.k_cache`` and ``v_cache``
    to what was kept and what is read again.
    """

    name: str
    """Stable, such as ``vllm``; names the backend in every report."""

    def why_not(self, case: LlmCase, where: Where) -> str:
        """Return in a few words why this case is out of reach here; empty when it should run."""

    def open(self, setup: Setup, model: Model, where: Where) -> LlmSession:
        """Bring the model up; Refused when the library declines. One session is closed before the next is opened."""


def lacking(case: LlmCase, abilities: frozenset[str]) -> str:
    """Return which of the case's features are not among a backend's abilities, in words; empty for none."""
    missing = sorted(case.features - abilities)
    return f"no {', no '.join(missing)}" if missing else ""


def open_seconds_of(backend: LlmBackend) -> float:
    """Return how long a backend says that it takes to be brought up; 0 for one that says nothing."""
    seconds = getattr(backend, "open_seconds", 0)
    if not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
        raise TypeError(f"expected open_seconds to be a number of seconds, found {seconds!r:.40}")
    return float(seconds)


def cold_seconds_of(backend: LlmBackend) -> float:
    """Return how long it may take to bring a backend up for the first time.

    vLLM 0.20.2 on an H200 usually took 28 s, and more than 64 s with its caches empty.
    """
    return 3 * open_seconds_of(backend)


def statistics_of(session: LlmSession) -> Mapping[str, float]:
    """Return what a session tells of itself; nothing for one that tells nothing."""
    told = getattr(session, "statistics", None)
    return told() if told is not None else _NOTHING


_NOTHING: Mapping[str, float] = MappingProxyType({})
