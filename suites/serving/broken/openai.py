"""Ways in which a server of the OpenAI protocol goes wrong, a class for each mistake."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from pytest_trtcheck._suites.serving.openai.manners import Asked, Manners, Piece, RefusedError


class WrongOrder(Manners):
    """Two events of a stream change places."""

    def events(self, asked: Asked, events: list[Any]) -> list[Any]:
        return [*events[:1], *events[2:3], *events[1:2], *events[3:]]


class LostToken(Manners):
    """The last token of a stream is lost."""

    def events(self, asked: Asked, events: list[Any]) -> list[Any]:
        return [*events[:-2], events[-1]] if len(events) > 3 else events


class LostLetter(Manners):
    """The last letter of a whole answer is lost."""

    def whole(self, asked: Asked, document: dict[str, Any]) -> Any:
        choice = document["choices"][0]
        told = choice["message"] if asked.form.is_chat else choice
        name = "content" if asked.form.is_chat else "text"
        told[name] = told[name][:-1]
        return document


class NoDone(Manners):
    """Streams end without the mark of their end."""

    says_done = False


class AllAtOnce(Manners):
    """A stream comes in one event."""

    def pieces(self, asked: Asked) -> list[Piece]:
        found = super().pieces(asked)
        tokens = [token for piece in found for token in piece.tokens]
        return [Piece("".join(piece.text for piece in found), tokens, found[-1].finish)]


class NoFinish(Manners):
    """A stream says no reason of its end."""

    def events(self, asked: Asked, events: list[Any]) -> list[Any]:
        events[-1]["choices"][0]["finish_reason"] = None
        return events


class TwoFinishes(Manners):
    """A stream goes on after the reason of its end."""

    def events(self, asked: Asked, events: list[Any]) -> list[Any]:
        events[0]["choices"][0]["finish_reason"] = "stop"
        return events


class ManyIds(Manners):
    """Each event of a stream has an id of its own."""

    def events(self, asked: Asked, events: list[Any]) -> list[Any]:
        return [{**event, "id": f"cmpl-{place}"} for place, event in enumerate(events)]


class NoRole(Manners):
    """No event of a chat says who speaks."""

    def events(self, asked: Asked, events: list[Any]) -> list[Any]:
        for event in events:
            event["choices"][0].get("delta", {}).pop("role", None)
        return events


class ErrorInStream(Manners):
    """A stream breaks off with an error in an event."""

    def events(self, asked: Asked, events: list[Any]) -> list[Any]:
        return [*events[:2], {"error": {"message": "out of memory"}}]


class ErrorsAs200(Manners):
    """Errors come with HTTP 200."""

    def error(self, status: int, document: Any) -> tuple[int, Any]:
        return 200, document


class WordlessErrors(Manners):
    """Errors say nothing."""

    def error(self, status: int, document: Any) -> tuple[int, Any]:
        return status, {}


class ErrorsAsHtml(Manners):
    """Errors come as a page."""

    def error(self, status: int, document: Any) -> tuple[int, Any]:
        return status, b"<html><body>Bad request</body></html>"


class AnswersAnything(Manners):
    """A model that there is not answers."""

    def error(self, status: int, document: Any) -> tuple[int, Any]:
        head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "probe"}
        return 200, {**head, "choices": [{"index": 0, "text": "abcd", "finish_reason": "stop"}]}


class DiesOfErrors(Manners):
    """After a wrong request nobody is answered."""

    dead = False

    def error(self, status: int, document: Any) -> tuple[int, Any]:
        self.dead = True
        return status, document

    def refuse(self, asked: Asked) -> None:
        if self.dead:
            raise RefusedError(503, "the engine is dead")


class WrongObject(Manners):
    """Answers do not say what they are."""

    def whole(self, asked: Asked, document: dict[str, Any]) -> Any:
        return {**document, "object": "completion"}


class WrongCreated(Manners):
    """The time of an answer is text."""

    def whole(self, asked: Asked, document: dict[str, Any]) -> Any:
        return {**document, "created": "just now"}


class OneChoice(Manners):
    """The choices are no list."""

    def whole(self, asked: Asked, document: dict[str, Any]) -> Any:
        return {**document, "choices": document["choices"][0]}


class WrongSum(Manners):
    """The tokens of prompt and answer are not those in all."""

    def whole(self, asked: Asked, document: dict[str, Any]) -> Any:
        return {**document, "usage": {**document["usage"], "total_tokens": 0}}


class WrongCount(Manners):
    """The tokens of an answer are counted wrong."""

    def whole(self, asked: Asked, document: dict[str, Any]) -> Any:
        usage = document["usage"]
        return {**document, "usage": {**usage, "completion_tokens": 7, "total_tokens": usage["prompt_tokens"] + 7}}


class CutSaysStop(Manners):
    """An answer that was cut off says that it ended by itself."""

    def pieces(self, asked: Asked) -> list[Piece]:
        found = super().pieces(asked)
        found[-1].finish = "stop"
        return found


class KeepsStop(Manners):
    """Answers end with the stop word."""

    def stopped(self, asked: Asked, pieces: list[Piece], upto: str) -> list[Piece]:
        pieces[-1].finish = "stop"
        return pieces


class KeepsStopInStreams(Manners):
    """Streams let the stop word out."""

    def events(self, asked: Asked, events: list[Any]) -> list[Any]:
        last = events[-1]["choices"][0]
        if asked.stop and last["finish_reason"] == "stop":
            told = last["delta"] if asked.form.is_chat else last
            told["content" if asked.form.is_chat else "text"] += asked.stop[0]
        return events


class NeverStops(Manners):
    """Stop words have no effect."""

    def pieces(self, asked: Asked) -> list[Piece]:
        return super().pieces(replace(asked, stop=[]))


class ShiftedScores(Manners):
    """Log-probabilities stand beside the token before theirs."""

    def scores(self, scores: dict[str, Any]) -> dict[str, Any]:
        values, tops = scores["token_logprobs"], scores["top_logprobs"]
        shifted = {"token_logprobs": [*values[1:], *values[:1]], "top_logprobs": [*tops[1:], *tops[:1]]}
        return {**scores, **shifted}


class ForeignScores(Manners):
    """Log-probabilities are of other tokens than those of the answer."""

    def scores(self, scores: dict[str, Any]) -> dict[str, Any]:
        return {**scores, "tokens": ["x" for _ in scores["tokens"]]}


class FlatScores(Manners):
    """Every log-probability is the same."""

    def scores(self, scores: dict[str, Any]) -> dict[str, Any]:
        tops = [dict.fromkeys(top, -0.1) for top in scores["top_logprobs"]]
        return {**scores, "token_logprobs": [-0.1 for _ in scores["tokens"]], "top_logprobs": tops}


class Mixed(Manners):
    """Callers at once get one another's answers."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._lock = threading.Condition()

    def prompt(self, asked: Asked) -> str:
        """Return the prompt of another caller, where one comes within a moment."""
        with self._lock:
            self._waiting.append(asked.prompt)
            self._lock.notify_all()
            self._lock.wait_for(lambda: any(prompt != asked.prompt for prompt in self._waiting), 0.05)
            return next((prompt for prompt in self._waiting if prompt != asked.prompt), asked.prompt)

    def over(self, asked: Asked) -> None:
        with self._lock:
            self._waiting.remove(asked.prompt)


class NamelessModels(Manners):
    """Models are listed without a name."""

    def models(self, document: dict[str, Any]) -> Any:
        return {**document, "data": [{"object": "model"}]}


class BareModels(Manners):
    """The list of models is bare."""

    def models(self, document: dict[str, Any]) -> Any:
        return document["data"]
