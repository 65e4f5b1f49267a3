"""How a stand-in for a server of the OpenAI protocol speaks: soundly, or in one way wrong in a subclass."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

from pytest_trtcheck._suites.probe_llm.tasks import BOS, EOS, decode, encode
from pytest_trtcheck._suites.serving.openai.schema import Form

_LOCK = threading.Lock()


@dataclass(frozen=True)
class Token:
    """One token of an answer."""

    text: str
    """Empty for the end mark."""
    log_prob: float
    top: dict[str, float]


@dataclass
class Asked:
    """One request, understood."""

    form: Form
    prompt: str
    limit: int
    stop: list[str]
    top: int
    """How many log-probabilities; 0 for none."""


@dataclass
class Piece:
    """A part of an answer."""

    text: str
    tokens: list[Token]
    finish: str | None = None


class RefusedError(Exception):
    """A request that is declined, with the status and the words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


@cache
def _answer(prompt: str, limit: int) -> tuple[Token, ...]:
    """Return what the reference answers; needs torch."""
    made = _reference().generate([BOS, *encode(prompt)], limit)
    tokens = []
    for token, row in zip(made.tokens, made.log_probs, strict=True):
        best = row.topk(5)
        top = dict(zip(map(name_of, best.indices.tolist()), best.values.tolist(), strict=True))
        tokens.append(Token(decode([token]), float(row[token]), {**top, name_of(token): float(row[token])}))
    return tuple(tokens)


@cache
def _reference() -> Any:
    import torch

    from pytest_trtcheck._suites.probe_llm.checkpoint import load

    torch.set_num_threads(1)
    return load()


def name_of(token: int) -> str:
    """Return a token as log-probabilities name it."""
    return "<|eos|>" if token == EOS else decode([token]) or f"<|unused{token}|>"


class Manners:
    """Sound: speaks the protocol as it is written."""

    says_done = True

    def prompt(self, asked: Asked) -> str:
        """Return the prompt that is answered."""
        return asked.prompt

    def over(self, asked: Asked) -> None:
        """Hear that a request was answered."""

    def pieces(self, asked: Asked) -> list[Piece]:
        """Return the answer, a token each, the reason of the end with the last."""
        pieces: list[Piece] = []
        text = ""
        for token in self.tokens(asked):
            pieces.append(Piece(token.text, [token]))
            text += token.text
            met = [text.index(word) for word in asked.stop if word in text]
            if met:
                return self.stopped(asked, pieces, text[: min(met)])
        ended = pieces[-1].text == ""
        pieces[-1].finish = "stop" if ended else "length"
        return pieces

    def tokens(self, asked: Asked) -> list[Token]:
        """Return the tokens of the answer, up to the limit."""
        prompt = self.prompt(asked)
        with _LOCK:
            return list(_answer(prompt, asked.limit))

    def stopped(self, asked: Asked, pieces: list[Piece], upto: str) -> list[Piece]:  # noqa: ARG002 - for subclasses
        """Return the pieces of an answer that ends before a stop word."""
        kept = [Piece(token, [piece.tokens[0]]) for token, piece in zip(upto, pieces, strict=False)]
        kept[-1].finish = "stop"
        return kept

    def whole(self, asked: Asked, document: dict[str, Any]) -> Any:  # noqa: ARG002 - likewise
        """Return what becomes of a whole answer."""
        return document

    def events(self, asked: Asked, events: list[Any]) -> list[Any]:  # noqa: ARG002 - likewise
        """Return what becomes of the events of a stream."""
        return events

    def scores(self, scores: dict[str, Any]) -> dict[str, Any]:
        """Return what becomes of log-probabilities, as completions tell them."""
        return scores

    def models(self, document: dict[str, Any]) -> Any:
        """Return what becomes of the list of models."""
        return document

    def refuse(self, asked: Asked) -> None:
        """Raise RefusedError for what this server does not do."""

    def error(self, status: int, document: Any) -> tuple[int, Any]:
        """Return what becomes of an error."""
        return status, document
