"""Mistakes in what may come: penalties, bad words, regular expressions, JSON schemas."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from pytest_trtcheck._suites.decoding.broken.base import BrokenEngine
from pytest_trtcheck._suites.probe_llm.choosing import Chooser
from pytest_trtcheck._suites.probe_llm.guide import Guide
from pytest_trtcheck._suites.probe_llm.tasks import EOS, decode, encode

_PENALTY = frozenset({"repetition_penalty"})
_BAD = frozenset({"bad_words"})
_GUIDES = frozenset({"regex", "json_schema"})


class _NoPenalty(Chooser):
    def penalised(self, logits: torch.Tensor, answer: Sequence[int]) -> torch.Tensor:  # noqa: ARG002
        return logits


class PenaltyIgnored(BrokenEngine):
    """There is no repetition penalty."""

    shows_in, chooser = _PENALTY, _NoPenalty


class _OnTheAnswer(Chooser):
    def penalised(self, logits: torch.Tensor, answer: Sequence[int]) -> torch.Tensor:
        seen = sorted(set(answer))
        if not seen:
            return logits
        logits, penalty = logits.clone(), self.request.repetition_penalty
        logits[seen] = torch.where(logits[seen] > 0, logits[seen] / penalty, logits[seen] * penalty)
        return logits


class PenaltyOnTheAnswerOnly(BrokenEngine):
    """Tokens of the prompt are not penalised."""

    shows_in, chooser = _PENALTY, _OnTheAnswer


class _EachTime(Chooser):
    def penalised(self, logits: torch.Tensor, answer: Sequence[int]) -> torch.Tensor:
        logits, penalty = logits.clone(), self.request.repetition_penalty
        for token in (*self.request.prompt, *answer):
            logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
        return logits


class PenaltyForEachTime(BrokenEngine):
    """A token is penalised as often as it came."""

    shows_in, chooser = _PENALTY, _EachTime


class _Subtracted(Chooser):
    def penalised(self, logits: torch.Tensor, answer: Sequence[int]) -> torch.Tensor:
        logits = logits.clone()
        logits[sorted({*self.request.prompt, *answer})] /= self.request.repetition_penalty
        return logits


class PenaltyDividesNegativesToo(BrokenEngine):
    """Negative logits are divided by the penalty, which favours them."""

    shows_in, chooser = _PENALTY, _Subtracted


class _NothingForbidden(Chooser):
    def forbidden(self, answer: Sequence[int]) -> set[int]:  # noqa: ARG002
        return set()


class BadWordsIgnored(BrokenEngine):
    """Bad words may come."""

    shows_in, chooser = _BAD, _NothingForbidden


class _FirstLetters(Chooser):
    def forbidden(self, answer: Sequence[int]) -> set[int]:  # noqa: ARG002
        return {encode(word)[0] for word in self.request.bad_words}


class BadWordByItsFirstLetter(BrokenEngine):
    """The first letter of a bad word is forbidden by itself."""

    shows_in, chooser = _BAD, _FirstLetters


class _OneLetterOnly(Chooser):
    def forbidden(self, answer: Sequence[int]) -> set[int]:  # noqa: ARG002
        return {encode(word)[0] for word in self.request.bad_words if len(word) == 1}


class BadWordsOfOneLetterOnly(BrokenEngine):
    """Bad words of two letters may come."""

    shows_in, chooser = _BAD, _OneLetterOnly


class _OnlyTheLast(Chooser):
    def forbidden(self, answer: Sequence[int]) -> set[int]:
        text = decode(answer)
        return {encode(word)[-1] for word in self.request.bad_words[-1:] if text.endswith(word[:-1])}


class OnlyTheLastBadWord(BrokenEngine):
    """Of several bad words the last counts."""

    shows_in, chooser = _BAD, _OnlyTheLast


class _Unguided(Chooser):
    guide = None


class GuidesIgnored(BrokenEngine):
    """Answers need not match."""

    shows_in, chooser = _GUIDES, _Unguided


class _OneLate(Chooser):
    def unguided(self, answer: Sequence[int], vocabulary: int) -> set[int]:
        return super().unguided(answer[:-1], vocabulary)


class GuideOneTokenLate(BrokenEngine):
    """The guide does not know the last token yet."""

    shows_in, chooser = _GUIDES, _OneLate


class _NeverEnds(Chooser):
    def unguided(self, answer: Sequence[int], vocabulary: int) -> set[int]:
        assert self.guide is not None
        chars, _ = self.guide.allowed(decode(answer))
        hidden = super().unguided(answer, vocabulary)
        return hidden | {EOS} if chars else hidden


class GuidedAnswersGoOn(BrokenEngine):
    """An answer that may end must go on while anything may follow."""

    shows_in, chooser = _GUIDES, _NeverEnds


class _EndsAnywhere(Chooser):
    def unguided(self, answer: Sequence[int], vocabulary: int) -> set[int]:
        return super().unguided(answer, vocabulary) - {EOS}


class GuidedAnswersEndAnywhere(BrokenEngine):
    """The end mark may come before the text matches."""

    shows_in, chooser = _GUIDES, _EndsAnywhere


class _OffTheBest(Chooser):
    def adjusted(self, logits: torch.Tensor, answer: Sequence[int]) -> torch.Tensor:
        logits = super().adjusted(logits, answer)
        if self.guide is None or int((logits > -math.inf).sum()) < 3:
            return logits
        logits = logits.clone()
        logits[logits.argmax()] = -math.inf
        return logits


class GuidedByTheSecondBest(BrokenEngine):
    """Under a guide the likeliest token that is allowed does not come."""

    shows_in, chooser = _GUIDES, _OffTheBest


class _OfTheFirst(Chooser):
    """Takes the guide of the first request that has one."""

    first: Guide | None = None

    @property
    def guide(self) -> Guide | None:
        own = Chooser(self.request).guide
        if own is not None and type(self).first is None:
            type(self).first = own
        return type(self).first if own is not None else None


class GuideOfTheFirstRequest(BrokenEngine):
    """Every guided request gets the guide of the first one."""

    shows_in, chooser = _GUIDES, _OfTheFirst


BROKEN: tuple[type[BrokenEngine], ...] = (
    PenaltyIgnored, PenaltyOnTheAnswerOnly, PenaltyForEachTime, PenaltyDividesNegativesToo, BadWordsIgnored,
    BadWordByItsFirstLetter, BadWordsOfOneLetterOnly, OnlyTheLastBadWord, GuidesIgnored, GuideOneTokenLate,
    GuidedAnswersGoOn, GuidedAnswersEndAnywhere, GuidedByTheSecondBest, GuideOfTheFirstRequest,
)  # fmt: skip
