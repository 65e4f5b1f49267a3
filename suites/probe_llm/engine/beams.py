"""A request whose answer is searched for with beams: a sequence for each, which share what they have in common."""

from __future__ import annotations

import torch

from pytest_trtcheck._suites.probe_llm.beams import Beam, Search
from pytest_trtcheck._suites.probe_llm.engine.job import Job, Limits, Sequence
from pytest_trtcheck._suites.probe_llm.engine.scheduler import Scheduler
from pytest_trtcheck.providers import Completion, Request


class BeamJob(Job):
    """Goes step by step through a ``Search``; sequences are forked where a beam goes on in two ways."""

    search_class: type[Search] = Search

    def __init__(self, number: int, request: Request, limits: Limits, scheduler: Scheduler) -> None:
        super().__init__(number, request, limits)
        self.scheduler = scheduler
        self.search = self.search_class(request.beams, self.most_tokens, request.length_penalty)
        self.found: list[Beam] = []

    def advance(self, rows: list[torch.Tensor]) -> None:
        """Take logits ``[1, vocabulary]`` for each sequence, and go on with the best."""
        logs = [
            self.chooser.adjusted(row[-1], beam).log_softmax(-1)
            for row, (beam, _) in zip(rows, self.search.going, strict=True)
        ]
        kept = self.search.step(logs)
        if self.search.is_over:
            self.found = self.search.best()
            self.answer = list(self.found[0][0])
            self.finish = "end" if self.answer[-1] == self.limits.end_token else "length"
            return
        try:
            self.sequences = self.carried_on(kept)
        except IndexError as error:
            self.finish, self.words = "refused", f"{self.request.beams} beams: {error}"

    def carried_on(self, kept: list[tuple[int, int]]) -> list[Sequence]:
        """Return a sequence for each pair of parent and token; parents without children are given up."""
        before, after, taken = self.sequences, [], set()
        self.sequences = list(before)
        for parent, token in kept:
            sequence = self.scheduler.fork(before[parent]) if parent in taken else before[parent]
            if parent in taken:
                self.sequences.append(sequence)
            taken.add(parent)
            after.append((sequence, token))
        for number, sequence in enumerate(before):
            if number not in taken:
                self.scheduler.forget(sequence)
        # Only now: a fork copies its parent's tokens.
        for sequence, token in after:
            sequence.tokens.append(token)
        return [sequence for sequence, _ in after]

    def completion(self) -> Completion:
        """Return the best beam, and all of them."""
        return Completion(tuple(self.answer), self.finish, self.words, beams=tuple(self.found))
