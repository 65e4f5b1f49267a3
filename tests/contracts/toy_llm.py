"""What the stand-ins for libraries and servers answer: the prompt backwards, then the end mark. No model at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_trtcheck._suites.probe_llm.tasks import BOS, EOS, encode
from pytest_trtcheck.providers import Completion, Request

CONTEXT = 64


def prompt_of(text: str) -> tuple[int, ...]:
    """Return a prompt of text."""
    return (BOS, *encode(text))


def answer_to(prompt: Sequence[int], *, adapter: bool = False) -> list[int]:
    """Return all tokens of an answer; with the adapter it is shouted."""
    letters = [token - 32 if adapter and 97 <= token <= 122 else token for token in reversed(prompt[1:])]
    return [*letters, EOS]


def log_probs_of(token: int, count: int) -> dict[int, float]:
    """Return log-probabilities of one place: the chosen token and those after it in the alphabet."""
    return {token + step: -0.125 - step for step in range(max(count, 1))}


@dataclass
class Job:
    """One request as a stand-in works on it; ``stop`` and ``reason`` in the words of the libraries."""

    prompt: Sequence[int]
    max_tokens: int
    stops: Sequence[str] = ()
    adapter: bool = False
    context: int = CONTEXT
    done: int = 0
    reason: str | None = None
    stop: str | None = None

    @property
    def tokens(self) -> list[int]:
        """What has come so far."""
        return answer_to(self.prompt, adapter=self.adapter)[: self.done]

    def step(self) -> None:
        """Compute one token more."""
        self.done += 1
        tokens = self.tokens
        met = [word for word in self.stops if tokens[-len(word) :] == encode(word)]
        if tokens[-1] == EOS:
            self.reason = "stop"
        elif met:
            self.reason, self.stop = "stop", met[0]
        elif len(tokens) == self.max_tokens or len(self.prompt) + len(tokens) == self.context:
            self.reason = "length"

    def steps(self) -> Iterator[None]:
        """Compute to the end, pausing after each token."""
        while self.reason is None:
            self.step()
            yield

    def refuse(self) -> None:
        """Raise as the libraries do for prompts that they do not take."""
        if not self.prompt:
            raise ValueError("The decoder prompt cannot be empty")
        if len(self.prompt) >= self.context:
            raise ValueError(f"prompt of {len(self.prompt)} tokens, longer than {self.context}")


def _tokens(text: str) -> tuple[int, ...]:
    return tuple(encode(text))


SCRIPT: tuple[tuple[Request, dict[str, Any]], ...] = (
    (Request(prompt_of("abcdef")), {"tokens": (*_tokens("fedcba"), EOS), "finish": "end"}),
    (Request(prompt_of("abcdef"), max_tokens=3), {"tokens": _tokens("fed"), "finish": "length"}),
    (Request(()), {"tokens": (), "finish": "refused"}),
    (Request(prompt_of("a" * CONTEXT)), {"tokens": (), "finish": "refused"}),
    (Request(prompt_of("abcdef"), stop=("cb",)), {"tokens": _tokens("fed"), "finish": "stop"}),
    (
        Request(prompt_of("abcdef"), streaming=True, after=0),
        {"tokens": (*_tokens("fedcba"), EOS), "finish": "end", "pieces": (1,) * 7},
    ),
    (Request(prompt_of("abcdef"), cancel_after=2, after=1), {"tokens": _tokens("fe"), "finish": "cancelled"}),
    (
        Request(prompt_of("ab"), log_probs=2),
        {
            "tokens": (*_tokens("ba"), EOS),
            "finish": "end",
            "log_probs": tuple(log_probs_of(token, 2) for token in (*_tokens("ba"), EOS)),
        },
    ),
    (
        Request(prompt_of("abcdef"), streaming=True, stop=("b",)),
        {"tokens": _tokens("fedc"), "finish": "stop", "pieces": (1,) * 4},
    ),
    (Request(prompt_of("xy"), after=2), {"tokens": (*_tokens("yx"), EOS), "finish": "end"}),
)
"""Requests that play every part of a script, and what their completions must have."""


def check(completions: Sequence[Completion]) -> None:
    """Hold completions against the script."""
    assert len(completions) == len(SCRIPT)
    for completion, (request, expected) in zip(completions, SCRIPT, strict=True):
        found = {name: getattr(completion, name) for name in expected}
        assert found == expected, request
        assert bool(completion.words) == (completion.finish == "refused")
