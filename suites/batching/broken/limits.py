"""Mistakes at the limits: lengths, end marks, cancelling, what should be refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_trtcheck._suites.batching.broken.base import variant
from pytest_trtcheck._suites.probe_llm.engine.job import Job
from pytest_trtcheck._suites.probe_llm.engine.session import Session
from pytest_trtcheck._suites.probe_llm.tasks import BOS
from pytest_trtcheck.providers import Completion, Request


class _OneTooLong(Job):
    @property
    def most_tokens(self) -> int:
        """Return how long the answer may become."""
        return min(self.request.max_tokens, self.limits.length - len(self.request.prompt) + 1)


class _OneTooShort(Job):
    @property
    def most_tokens(self) -> int:
        """Return how long the answer may become."""
        return max(1, min(self.request.max_tokens, self.limits.length - len(self.request.prompt) - 1))


class _MaxTokensOff(Job):
    @property
    def most_tokens(self) -> int:
        """Return how long the answer may become."""
        return super().most_tokens + 1 if self.request.max_tokens > 1 else 1


class _IgnoresEnd(Job):
    def deliver(self, sequence, token, row) -> None:  # type: ignore[no-untyped-def]
        super().deliver(sequence, token, row)
        if self.finish == "end" and len(self.answer) < self.most_tokens:
            self.finish = ""


class _DropsEnd(Job):
    def completion(self) -> Completion:
        found = super().completion()
        if found.finish != "end" or len(found.tokens) < 2:
            return found
        pieces = (*found.pieces[:-1], found.pieces[-1] - 1) if found.pieces else ()
        return replace(found, tokens=found.tokens[:-1], log_probs=found.log_probs[:-1],
                       pieces=tuple(piece for piece in pieces if piece))  # fmt: skip


class _IgnoresCancel(Job):
    def deliver(self, sequence, token, row) -> None:  # type: ignore[no-untyped-def]
        super().deliver(sequence, token, row)
        if self.finish == "cancelled":
            self.finish = ""


class _CancelsLate(Job):
    """Says cancelled in the end, and computes everything."""

    def completion(self) -> Completion:
        found = super().completion()
        return replace(found, finish="end") if found.finish == "cancelled" else found


class _Cuts(Session):
    """Answers what should be refused, from what is left of it."""

    def why_refused(self, job: Job, count: int) -> str:
        prompt = self.cut(list(job.request.prompt))
        if len(prompt) != len(job.request.prompt):
            job.request = replace(job.request, prompt=tuple(prompt))
            job.sequences[0].tokens = prompt
        return super().why_refused(job, count)

    def cut(self, prompt: list[int]) -> list[int]:
        """Return what is left of a prompt."""
        return prompt[: self.limits.length - 9]


class _CutsBeginning(_Cuts):
    def cut(self, prompt: list[int]) -> list[int]:
        return prompt[-(self.limits.length - 9) :] if len(prompt) >= self.limits.length else prompt


class _AnswersEmpty(_Cuts):
    def cut(self, prompt: list[int]) -> list[int]:
        return prompt or [BOS]


class _NoWords(Session):
    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        return [replace(found, words="") for found in super().generate(requests)]


class _Empty(Session):
    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        return [
            replace(found, finish="length", words="") if found.finish == "refused" else found
            for found in super().generate(requests)
        ]


class _RefusesAll(Session):
    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        answers = super().generate(requests)
        words = next((found.words for found in answers if found.finish == "refused"), "")
        return [Completion((), "refused", words) for _ in answers] if words else answers


class _Raises(Session):
    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        answers = super().generate(requests)
        for found in answers:
            if found.finish == "refused":
                raise ValueError(found.words)
        return answers


BROKEN = (
    variant("limit_one_too_long", "Prompt and answer may be one token longer than the limit.", job_class=_OneTooLong),
    variant("limit_one_too_short", "Prompt and answer end one token before the limit.", job_class=_OneTooShort),
    variant("max_tokens_off", "Answers may be one token longer than asked for.", job_class=_MaxTokensOff),
    variant("end_ignored", "Generation goes on after the end mark.", job_class=_IgnoresEnd),
    variant("end_dropped", "The end mark is left out of the answer.", job_class=_DropsEnd),
    variant("cancel_ignored", "A cancelled request runs to its end.", job_class=_IgnoresCancel),
    variant("cancel_mistold", "A cancelled request is said to have ended.", job_class=_CancelsLate),
    variant("prompt_cut", "The end of an over-long prompt is cut off silently.", _Cuts),
    variant("prompt_cut_in_front", "The beginning of an over-long prompt is cut off silently.", _CutsBeginning),
    variant("empty_answered", "An empty prompt is answered as if it held the begin mark.", _AnswersEmpty),
    variant("refused_without_words", "What is refused is refused without a reason.", _NoWords),
    variant("refusal_as_length", "What is refused is said to have reached its length.", _Empty),
    variant("refusal_of_all", "One bad prompt refuses all that came with it.", _RefusesAll),
    variant("refusal_raises", "One bad prompt ends the call.", _Raises),
)  # fmt: skip
