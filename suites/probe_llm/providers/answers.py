"""How a library's or a server's words for an answer become ours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pytest_trtcheck._suites.probe_llm.tasks import EOS, decode, encode
from pytest_trtcheck.providers import Model, Request, Setup

REQUEST_FEATURES_OF_ALL = frozenset({"sampling", "top_p", "stop_words", "log_probs", "streaming", "arrivals", "cancel"})
"""What every library and protocol that serves requests side by side can be asked for."""
DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
"""As torch, and everything built on it, names them."""
_CANCELLED = ("abort", "cancelled", "canceled", "cancel")


def ended(
    request: Request, tokens: Sequence[int], said: str, stop: str | None = None, *, names_stops: bool = True
) -> tuple[tuple[int, ...], str]:
    """Return the tokens of a finished answer and its ``finish``, from the reason that the other side gave.

    ``stop`` is the stop word that it named. Where it names them (``names_stops``), "stop" without one means the end
    mark, which is added if it was left out; where it does not, a request with stop words is taken to have met one. A
    stop word is taken away only from the very end: what came otherwise is shown as it came.
    """
    answer = tuple(tokens)
    if said == "length":
        return answer, "length"
    if said in _CANCELLED:
        return answer, "cancelled"
    if said != "stop":
        raise RuntimeError(f"expected one of stop, length, abort or cancelled as the reason of an end, found {said!r}")
    if stop is not None:
        return without(answer, (stop,)), "stop"
    if answer[-1:] == (EOS,):
        return answer, "end"
    if names_stops or not request.stop:
        return (*answer, EOS), "end"
    return without(answer, request.stop), "stop"


def without(tokens: tuple[int, ...], stops: Sequence[str]) -> tuple[int, ...]:
    """Return tokens without the longest of the stop words at their end."""
    for stop in sorted(stops, key=len, reverse=True):
        ids = tuple(encode(stop))
        if ids and tokens[-len(ids) :] == ids:
            return tokens[: -len(ids)]
    return tokens


def told(log_probs: Sequence[Mapping[int, Any]] | None, count: int) -> tuple[Mapping[int, float], ...]:
    """Return log-probabilities by token id of as many places, of numbers or of objects with ``logprob``."""
    rows = list(log_probs or ())[:count]
    return tuple({int(token): float(getattr(value, "logprob", value)) for token, value in row.items()} for row in rows)


def text_of(prompt: Sequence[int]) -> str | None:
    """Return the text whose tokens, a begin mark put before it, are this prompt; None if there is no such text."""
    text = decode(prompt[1:])
    return text if len(prompt) == len(text) + 1 and list(prompt) == [1, *encode(text)] else None


@cache
def vocabulary(folder: Path) -> Mapping[str, int]:
    """Return token ids by their text, from a model's tokenizer file: characters, and names such as ``<|eos|>``."""
    read: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    return {str(text): int(number) for text, number in read["model"]["vocab"].items()}


def prompt_problem(prompt: Sequence[int], limit: int) -> str:
    """Return why a prompt cannot be taken where nothing else would say so; empty when it can."""
    if not prompt:
        return "the prompt is empty: expected one token at least"
    if len(prompt) >= limit:
        return f"the prompt has {len(prompt)} tokens: expected {limit - 1} at most"
    return ""


def context_of(setup: Setup, model: Model) -> int:
    """Return the most tokens of one request, prompt and answer together."""
    config = json.loads((model.main / "config.json").read_text(encoding="utf-8"))
    return setup.length_limit or int(config["max_position_embeddings"])
