"""Sound ways in which servers of the OpenAI protocol differ."""

from __future__ import annotations

from typing import Any

from pytest_trtcheck._suites.serving.openai.manners import Asked, Manners, Piece, RefusedError


class ThreeTokens(Manners):
    """Sound: sends three tokens in an event."""

    def pieces(self, asked: Asked) -> list[Piece]:
        found, joined = super().pieces(asked), []
        for at in range(0, len(found), 3):
            part = found[at : at + 3]
            tokens = [token for piece in part for token in piece.tokens]
            joined.append(Piece("".join(piece.text for piece in part), tokens, part[-1].finish))
        return joined


class CountsAtTheEnd(Manners):
    """Sound: counts tokens in an event of its own, and gives the reason of the end another."""

    def events(self, asked: Asked, events: list[Any]) -> list[Any]:
        last = events[-1]
        choice = last["choices"][0]
        empty: dict[str, Any] = {"delta": {}} if asked.form.is_chat else {"text": ""}
        ends = {**last, "choices": [{"index": 0, "finish_reason": choice["finish_reason"], **empty}]}
        prompt = len(asked.prompt) + 1
        usage = {"prompt_tokens": prompt, "completion_tokens": len(events), "total_tokens": prompt + len(events)}
        return [
            *events[:-1],
            {**last, "choices": [{**choice, "finish_reason": None}]},
            ends,
            {**last, "choices": [], "usage": usage},
        ]


class TextAlone(Manners):
    """Sound: has no chat and no log-probabilities, and says so."""

    def refuse(self, asked: Asked) -> None:
        if asked.form.is_chat:
            raise RefusedError(400, "the tokenizer has no chat template")
        if asked.top:
            raise RefusedError(400, "logprobs are not supported")


class Templated(Manners):
    """Sound: a chat template puts a letter before each message, so that chat answers something else."""

    def prompt(self, asked: Asked) -> str:
        return f"C{asked.prompt}" if asked.form.is_chat else asked.prompt

    def whole(self, asked: Asked, document: dict[str, Any]) -> Any:
        usage = document["usage"]
        more = {"prompt_tokens": usage["prompt_tokens"] + 1, "total_tokens": usage["total_tokens"] + 1}
        return {**document, "usage": {**usage, **more}} if asked.form.is_chat else document
