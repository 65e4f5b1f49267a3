"""Mistakes after the last step: pieces, order, log-probabilities, precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from pytest_trtcheck._suites.batching.broken.base import variant
from pytest_trtcheck._suites.probe_llm.engine.job import Job
from pytest_trtcheck._suites.probe_llm.engine.session import Session
from pytest_trtcheck.providers import Completion, Request, Setup


class _Streaming(Job):
    """Changes answers that are streamed."""

    def completion(self) -> Completion:
        found = super().completion()
        return self.changed(found) if self.request.streaming and len(found.tokens) > 2 else found

    def changed(self, found: Completion) -> Completion:
        """Return another answer."""
        return found

    def at(self, found: Completion, places: list[int]) -> Completion:
        """Return the answer with the tokens of these places."""
        return replace(
            found,
            tokens=tuple(found.tokens[place] for place in places),
            log_probs=tuple(found.log_probs[place] for place in places if found.log_probs),
            pieces=(1,) * len(places),
        )


class _DropsPiece(_Streaming):
    def changed(self, found: Completion) -> Completion:
        return self.at(found, [0, *range(2, len(found.tokens))])


class _DropsLastPiece(_Streaming):
    def changed(self, found: Completion) -> Completion:
        return self.at(found, list(range(len(found.tokens) - 1)))


class _DoublesPiece(_Streaming):
    def changed(self, found: Completion) -> Completion:
        return self.at(found, [0, 1, *range(1, len(found.tokens))])


class _SwapsPieces(_Streaming):
    def changed(self, found: Completion) -> Completion:
        return self.at(found, [1, 0, *range(2, len(found.tokens))])


class _CountsPiecesWrong(_Streaming):
    def changed(self, found: Completion) -> Completion:
        return replace(found, pieces=found.pieces[1:])


class _ByFinish(Session):
    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        answers = super().generate(requests)
        order = sorted(range(len(answers)), key=lambda number: len(answers[number].tokens))
        return [answers[number] for number in order]


class _ByLength(Session):
    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        return [answer for _, answer in sorted(zip(map(_length, requests), super().generate(requests), strict=True),
                                               key=lambda pair: pair[0])]  # fmt: skip


def _length(request: Request) -> int:
    return len(request.prompt)


class _LostAnswer(Session):
    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        return super().generate(requests)[: 8 if len(requests) > 8 else len(requests)]


class _LogProbsLate(Job):
    def deliver(self, sequence, token: int, row: torch.Tensor) -> None:  # type: ignore[no-untyped-def]
        before = getattr(self, "before", row)
        super().deliver(sequence, token, row)
        if self.log_probs:
            self.log_probs[-1] = self.likeliest(before, token)
        self.before = row


class _LogProbsOfTwo(Job):
    def likeliest(self, row: torch.Tensor, token: int) -> dict[int, float]:
        return super().likeliest(row / 0.9, token)


class _LowPrecision(Session):
    def dtype_of(self, setup: Setup) -> torch.dtype:  # noqa: ARG002
        return torch.bfloat16


BROKEN = (
    variant("stream_drops", "A streamed answer lacks its second piece.", job_class=_DropsPiece),
    variant("stream_drops_last", "A streamed answer lacks its last piece.", job_class=_DropsLastPiece),
    variant("stream_doubles", "A streamed answer has its second piece twice.", job_class=_DoublesPiece),
    variant("stream_swaps", "The first two pieces of a streamed answer are swapped.", job_class=_SwapsPieces),
    variant("stream_miscounts", "The pieces do not add up to the answer.", job_class=_CountsPiecesWrong),
    variant("order_of_finish", "Answers come back in the order in which they ended.", _ByFinish),
    variant("order_of_length", "Answers come back sorted by the length of their prompts.", _ByLength),
    variant("answers_lost", "Of more than eight requests the last are not answered.", _LostAnswer),
    variant("log_probs_late", "Log-probabilities are those of the token before.", job_class=_LogProbsLate),
    variant("log_probs_scaled", "Log-probabilities are told at another temperature.", job_class=_LogProbsOfTwo),
    variant("low_precision", "Everything is computed in bf16 though fp32 was asked for.", _LowPrecision),
)  # fmt: skip
