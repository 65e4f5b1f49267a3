"""A request on its way through the engine."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from pytest_trtcheck._suites.probe_llm.choosing import Chooser
from pytest_trtcheck._suites.probe_llm.engine.speculation import NoProposals, Proposer
from pytest_trtcheck.providers import Completion, Request


@dataclass(eq=False)
class Sequence:
    """Tokens that follow one another, and where their keys and values lie."""

    tokens: list[int]
    """Prompt and answer so far."""
    adapter: bool = False
    cached: int = 0
    """How many of the tokens, from the first, have keys and values in the blocks."""
    blocks: list[int] = field(default_factory=list)
    proposed: list[int] = field(default_factory=list)
    """Tokens that the step under way checks beyond the known ones."""
    published: int = 0
    """How many of the blocks, from the first, may be found by others."""

    @property
    def salt(self) -> object:
        """What keys and values depend on beside the tokens: blocks are shared only where it is equal."""
        return self.adapter


@dataclass(frozen=True)
class Limits:
    """What ends answers, whatever the request says."""

    end_token: int
    length: int
    """Most tokens of prompt and answer together."""


class Job:
    """One request with the sequences that work on its answer: one here, more for a search with beams."""

    chooser_class: type[Chooser] = Chooser

    def __init__(self, number: int, request: Request, limits: Limits) -> None:
        self.number, self.request, self.limits = number, request, limits
        self.sequences = [Sequence(list(request.prompt), request.adapter)]
        self.chooser = self.chooser_class(request)
        self.proposer: Proposer = NoProposals()
        self.answer: list[int] = []
        self.pieces: list[int] = []
        self.log_probs: list[dict[int, float]] = []
        self.finish = ""
        """As in Completion; empty while it is under way."""
        self.words = ""

    @property
    def most_tokens(self) -> int:
        """Return how long the answer may become."""
        return min(self.request.max_tokens, self.limits.length - len(self.request.prompt))

    def propose(self) -> None:
        """Ask for tokens to be checked in the step that begins; called when only the last token is not in the cache."""
        room = self.most_tokens - len(self.answer) - 1
        for sequence in self.sequences:
            sequence.proposed = self.proposer.propose(sequence.tokens, room)[:room] if room > 0 else []

    def advance(self, rows: list[torch.Tensor]) -> None:
        """Take the logits of a step, ``[1 + proposed, vocabulary]`` for each sequence, and go on or finish.

        Row ``i`` says what follows the ``i``-th proposed token. A proposal stays if it is what the chooser chooses.
        What a sequence has in the cache beyond its tokens is taken back by the session.
        """
        [sequence] = self.sequences
        before = len(self.answer)
        for index, row in enumerate(rows[0]):
            token = self.chooser.choose(row, self.answer)
            self.deliver(sequence, token, row)
            is_kept = index < len(sequence.proposed) and token == sequence.proposed[index]
            if self.finish or not is_kept:
                break
        sequence.proposed = []
        self.pieces.append(len(self.answer) - before)
        while self.pieces[-1] < 0:
            # Part of a stop word came in earlier pieces: they are held back, as if they had not been told yet.
            short = self.pieces.pop()
            self.pieces[-1] += short

    def deliver(self, sequence: Sequence, token: int, row: torch.Tensor) -> None:
        """Add a token to the answer, and see whether it ends it."""
        sequence.tokens.append(token)
        self.answer.append(token)
        if self.request.log_probs:
            self.log_probs.append(self.likeliest(row, token))
        if token == self.limits.end_token:
            self.finish = "end"
        elif word := self.chooser.stop_word(self.answer):
            self.finish = "stop"
            self.take_back(len(word))
        elif len(self.answer) >= self.most_tokens:
            self.finish = "length"
        elif self.request.cancel_after and len(self.answer) >= self.request.cancel_after:
            self.finish = "cancelled"

    def take_back(self, count: int) -> None:
        """Leave the last tokens out of the answer: a stop word is no part of it."""
        del self.answer[-count:]
        del self.log_probs[len(self.answer) :]

    def likeliest(self, row: torch.Tensor, token: int) -> dict[int, float]:
        """Return log-probabilities of the likeliest tokens and of the chosen one."""
        logs = row.log_softmax(-1)
        best = logs.topk(min(self.request.log_probs, len(logs)))
        told = dict(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        return {**told, token: float(logs[token])}

    def completion(self) -> Completion:
        """Return the answer."""
        return Completion(
            tokens=tuple(self.answer),
            finish=self.finish,
            words=self.words,
            log_probs=tuple(self.log_probs),
            pieces=tuple(self.pieces) if self.request.streaming else (),
        )
