"""Documents of the OpenAI protocol, read strictly: what its clients rely on must be there, with the right types.

Source: OpenAI's reference of models, completions and chat completions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_trtcheck._suites.probe_llm.providers.wire import error_words, number
from pytest_trtcheck._suites.serving.checking import Wrong, expect

FINISHES = ("stop", "length", "content_filter", "tool_calls", "function_call", "abort")
"""Reasons of an end; ``abort`` is vLLM's."""
_SHOWN = 100


@dataclass(frozen=True)
class Form:
    """One way to ask for text."""

    path: str
    whole: str
    """What ``object`` says of a whole answer…"""
    event: str
    """…and of an event."""
    is_chat: bool

    def prompt(self, text: str) -> dict[str, Any]:
        """Return the fields that carry a prompt."""
        return {"messages": [{"role": "user", "content": text}]} if self.is_chat else {"prompt": text}


COMPLETIONS = Form("/completions", "text_completion", "text_completion", is_chat=False)
CHAT = Form("/chat/completions", "chat.completion", "chat.completion.chunk", is_chat=True)


@dataclass(frozen=True)
class Scored:
    """One token with its log-probability, and those of the likeliest, by the tokens' text."""

    text: str
    log_prob: float
    top: Mapping[str, float]


@dataclass(frozen=True)
class Said:
    """An answer."""

    text: str
    finish: str
    prompt_tokens: int | None
    """None where the server does not count."""
    completion_tokens: int | None
    scored: tuple[Scored, ...] | None
    """None where no log-probabilities came."""


def _shown(found: Any) -> str:
    return repr(found)[:_SHOWN]


def _field(where: str, holder: Any, name: str, kind: type, words: str) -> Any:
    """Return a field of a type; Wrong that says where it was read."""
    found = holder.get(name) if isinstance(holder, dict) else None
    # JSON's true is an int in Python.
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        raise Wrong(f"{where}.{name}: expected {words}, found {_shown(found)}")
    return found


def models(document: Any) -> list[str]:
    """Return the names that ``/models`` lists; Wrong for what is no list of models."""
    where = "/models"
    expect(isinstance(document, dict) and document.get("object") == "list",
           f"{where}: expected an object 'list', found {_shown(document)}")  # fmt: skip
    listed = []
    for place, entry in enumerate(_field(where, document, "data", list, "a list of models")):
        at = f"{where}: data[{place}]"
        listed.append(_field(at, entry, "id", str, "a name"))
        expect(entry.get("object") == "model", f"{at}.object: expected 'model', found {_shown(entry.get('object'))}")
    expect(len(set(listed)) == len(listed), f"{where}: a name comes twice: {_shown(listed)}")
    return listed


def _head(document: Any, kind: str, where: str) -> list[Any]:
    """Check what whole answers and events share, and return the choices."""
    words = error_words(document) if not (isinstance(document, dict) and document.get("choices")) else ""
    expect(not words, f"{where}: an error comes with HTTP 200: {words}")
    expect(isinstance(document, dict) and document.get("object") == kind,
           f"{where}.object: expected {kind!r}, found {_shown(document)}")  # fmt: skip
    for name, type_, what in (("id", str, "text"), ("created", int, "whole seconds"), ("model", str, "a name")):
        _field(where, document, name, type_, what)
    choices: list[Any] = _field(where, document, "choices", list, "a list")
    for choice in choices:
        index = _field(f"{where}.choices[]", choice, "index", int, "a number")
        expect(index == 0, f"{where}: asked for one answer, found a choice with index {index}")
    return choices


def _finish(where: str, choice: Mapping[str, Any]) -> str:
    found = choice.get("finish_reason")
    if found is None:
        return ""
    expect(found in FINISHES, f"{where}.finish_reason: expected one of {', '.join(FINISHES)}, found {_shown(found)}")
    return str(found)


def _usage(where: str, document: Mapping[str, Any]) -> tuple[int | None, int | None]:
    usage = document.get("usage")
    if usage is None:
        return None, None
    at = f"{where}.usage"
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    # A first event of a chat may count the prompt alone.
    prompt, completion, total = (_field(at, usage, name, int, "a number of tokens") for name in names)
    expect(prompt + completion == total, f"{at}: {prompt} and {completion} tokens are not {total} in all")
    return prompt, completion


def read_whole(form: Form, document: Any) -> Said:
    """Return a whole answer; Wrong for what the protocol does not allow."""
    where = form.path
    choices = _head(document, form.whole, where)
    expect(len(choices) == 1, f"{where}: asked for one answer, found {len(choices)} choices")
    (choice,) = choices
    at = f"{where}.choices[0]"
    if form.is_chat:
        message = _field(at, choice, "message", dict, "an object")
        expect(message.get("role") == "assistant",
               f"{at}.message.role: expected 'assistant', found {_shown(message.get('role'))}")  # fmt: skip
        text = _field(f"{at}.message", message, "content", str, "text")
    else:
        text = _field(at, choice, "text", str, "text")
    finish = _finish(at, choice)
    expect(finish, f"{at}.finish_reason: a whole answer says why it ended, found none")
    return Said(text, finish, *_usage(where, document), _scored(form, at, choice))


def read_events(form: Form, events: Sequence[Any]) -> Said:
    """Return the answer that events make up; Wrong for events that the protocol does not allow."""
    where = f"{form.path}, streamed"
    text, finish, identity = "", "", None
    counted: tuple[int | None, int | None] = (None, None)
    scored: list[Scored] = []
    has_scores = False
    for place, event in enumerate(events):
        at = f"{where}, event {place + 1} of {len(events)}"
        choices = _head(event, form.event, at)
        identity = identity or event["id"]
        expect(
            event["id"] == identity,
            f"{at}: id {_shown(event['id'])} is not that of the first event, {_shown(identity)}",
        )
        usage = _usage(at, event)
        counted = usage if usage[0] is not None else counted
        for choice in choices:
            piece, told = _piece(form, at, choice), _scored(form, f"{at}.choices[0]", choice)
            expect(not (finish and piece), f"{at}: {piece!r:.40} comes after the event that said {finish!r}")
            ended = _finish(f"{at}.choices[0]", choice)
            expect(not (finish and ended), f"{at}: finish_reason {ended!r} comes after {finish!r}")
            text, finish = text + piece, ended or finish
            scored += told or ()
            has_scores = has_scores or told is not None
    expect(finish, f"{where}: {len(events)} events, none of which has a finish_reason")
    return Said(text, finish, *counted, tuple(scored) if has_scores else None)


def _piece(form: Form, at: str, choice: Mapping[str, Any]) -> str:
    if not form.is_chat:
        return str(_field(f"{at}.choices[0]", choice, "text", str, "text"))
    delta = _field(f"{at}.choices[0]", choice, "delta", dict, "an object")
    role, content = delta.get("role"), delta.get("content")
    expect(role in (None, "assistant"), f"{at}: delta.role: expected 'assistant', found {_shown(role)}")
    expect(content is None or isinstance(content, str), f"{at}: delta.content: expected text, found {_shown(content)}")
    return content or ""


def _scored(form: Form, at: str, choice: Mapping[str, Any]) -> tuple[Scored, ...] | None:
    """Return the log-probabilities of a choice, one for each token; Wrong for what is not of the protocol's form."""
    found = choice.get("logprobs")
    if found is None:
        return None
    where = f"{at}.logprobs"
    expect(isinstance(found, dict), f"{where}: expected an object, found {_shown(found)}")
    if form.is_chat:
        entries = _field(where, found, "content", list, "a list") if found.get("content") is not None else []
        return tuple(_chat_scored(f"{where}.content[{place}]", entry) for place, entry in enumerate(entries))
    tokens = _field(where, found, "tokens", list, "a list of texts")
    values = _field(where, found, "token_logprobs", list, "a list of numbers")
    tops = found.get("top_logprobs") or [{}] * len(tokens)
    expect(isinstance(tops, list) and all(isinstance(top, (dict, type(None))) for top in tops),
           f"{where}.top_logprobs: expected a list of objects, found {_shown(tops)}")  # fmt: skip
    sizes = {len(tokens), len(values), len(tops)}
    expect(len(sizes) == 1, f"{where}: {len(tokens)} tokens, {len(values)} values and {len(tops)} likeliest ones")
    return tuple(
        Scored(_text(where, token), _log_prob(where, value),
               {_text(where, name): _log_prob(where, told) for name, told in (top or {}).items()})
        for token, value, top in zip(tokens, values, tops, strict=True)
    )  # fmt: skip


def _chat_scored(where: str, entry: Any) -> Scored:
    expect(isinstance(entry, dict), f"{where}: expected an object, found {_shown(entry)}")
    tops = entry.get("top_logprobs") or []
    expect(isinstance(tops, list) and all(isinstance(top, dict) for top in tops),
           f"{where}.top_logprobs: expected a list of objects, found {_shown(tops)}")  # fmt: skip
    return Scored(
        _text(where, entry.get("token")),
        _log_prob(where, entry.get("logprob")),
        {_text(where, top.get("token")): _log_prob(where, top.get("logprob")) for top in tops},
    )


def _text(where: str, found: Any) -> str:
    if not isinstance(found, str):
        raise Wrong(f"{where}: expected a token as text, found {_shown(found)}")
    return found


def _log_prob(where: str, found: Any) -> float:
    value = number(found)
    if value is None or value > math.ulp(1.0):
        raise Wrong(f"{where}: expected a log-probability, 0 or less, found {_shown(found)}")
    return value
