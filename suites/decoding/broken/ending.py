"""Mistakes in where answers end: end mark, stop words, length."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_trtcheck._suites.decoding.broken.base import BrokenEngine
from pytest_trtcheck._suites.probe_llm.choosing import Chooser
from pytest_trtcheck._suites.probe_llm.engine.job import Job
from pytest_trtcheck._suites.probe_llm.tasks import PAD, decode
from pytest_trtcheck.providers import Completion

_STOP = frozenset({"stop_words"})


class _KeepsStopWord(Job):
    def take_back(self, count: int) -> None:
        """Leave it in."""


class StopWordKept(BrokenEngine):
    """The stop word stays part of the answer."""

    shows_in, job = _STOP, _KeepsStopWord


class _TakesOneMore(Job):
    def take_back(self, count: int) -> None:
        super().take_back(min(count + 1, len(self.answer)))


class StopWordOneTokenTooLong(BrokenEngine):
    """With the stop word the token before it is taken back."""

    shows_in, job = _STOP, _TakesOneMore


class _TakesOneLess(Job):
    def take_back(self, count: int) -> None:
        if count > 1:
            super().take_back(count - 1)


class StopWordOneTokenShort(BrokenEngine):
    """The first token of the stop word stays part of the answer."""

    shows_in, job = _STOP, _TakesOneLess


class _SeesLate(Chooser):
    def stop_word(self, answer: Sequence[int]) -> str:
        return super().stop_word(answer[:-1])


class StopWordSeenOneTokenLate(BrokenEngine):
    """The stop word is looked for before the last token: one more is generated, and the wrong ones are taken back."""

    shows_in, chooser = _STOP, _SeesLate


class _NeverStops(Chooser):
    def stop_word(self, answer: Sequence[int]) -> str:  # noqa: ARG002
        return ""


class StopWordsIgnored(BrokenEngine):
    """Answers go on after a stop word."""

    shows_in, chooser = _STOP, _NeverStops


class _ByLastLetter(Chooser):
    def stop_word(self, answer: Sequence[int]) -> str:
        text = decode(answer)
        return next((word for word in self.request.stop if text and text[-1] == word[-1]), "")[-1:]


class StopWordByItsLastLetter(BrokenEngine):
    """The last letter of a stop word ends the answer by itself."""

    shows_in, chooser = _STOP, _ByLastLetter


class _InThePromptToo(Chooser):
    def stop_word(self, answer: Sequence[int]) -> str:
        text = decode((*self.request.prompt, *answer))
        return next((word for word in self.request.stop if word in text), "")


class StopWordInThePrompt(BrokenEngine):
    """A stop word that stands in the prompt ends the answer."""

    shows_in, chooser = _STOP, _InThePromptToo


class _OnlyTheFirst(Chooser):
    def stop_word(self, answer: Sequence[int]) -> str:
        text = decode(answer)
        return next((word for word in self.request.stop[:1] if text.endswith(word)), "")


class OnlyTheFirstStopWord(BrokenEngine):
    """Of several stop words the first counts."""

    shows_in, chooser = _STOP, _OnlyTheFirst


class _WithoutEndMark(Job):
    def completion(self) -> Completion:
        told = super().completion()
        return Completion(told.tokens[:-1], told.finish) if told.finish == "end" else told


class EndMarkMissing(BrokenEngine):
    """The end mark is left out of the answer."""

    job = _WithoutEndMark


class _OneTooFew(Job):
    @property
    def most_tokens(self) -> int:
        return max(super().most_tokens - 1, 1)


class LengthOneShort(BrokenEngine):
    """One token less than was asked for."""

    job = _OneTooFew


class _OneTooMany(Job):
    @property
    def most_tokens(self) -> int:
        return super().most_tokens + 1


class LengthOneOver(BrokenEngine):
    """One token more than was asked for."""

    job = _OneTooMany


class _Padded(Job):
    def completion(self) -> Completion:
        told = super().completion()
        short = max(self.request.max_tokens - len(told.tokens), 0)
        return Completion((*told.tokens, *[PAD] * short), told.finish, log_probs=told.log_probs)


class PaddedToTheLength(BrokenEngine):
    """Answers are padded to the length that was asked for."""

    job = _Padded


class _SaysLength(Job):
    def completion(self) -> Completion:
        told = super().completion()
        return Completion(told.tokens, "length" if told.finish == "end" else told.finish, log_probs=told.log_probs)


class EndToldAsLength(BrokenEngine):
    """An answer that came to its end is told as cut."""

    job = _SaysLength


BROKEN: tuple[type[BrokenEngine], ...] = (
    StopWordKept, StopWordOneTokenTooLong, StopWordOneTokenShort, StopWordSeenOneTokenLate, StopWordsIgnored,
    StopWordByItsLastLetter, StopWordInThePrompt, OnlyTheFirstStopWord, EndMarkMissing, LengthOneShort, LengthOneOver,
    PaddedToTheLength, EndToldAsLength,
)  # fmt: skip
