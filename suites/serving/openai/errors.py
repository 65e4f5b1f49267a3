"""Wrong requests: each is refused in words, with a status that says whose fault it is, and the server serves on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.serving.checking import Measured, expect
from pytest_trtcheck._suites.serving.known import CLIENT_500, met
from pytest_trtcheck._suites.serving.openai.schema import CHAT, COMPLETIONS, Form
from pytest_trtcheck.model.report import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck._suites.serving.openai.client import Client

PROMPT, ANSWER = "Cabcd=", "abcd"
NO_MODEL = "trtcheck/no-such-model"


def _wrong_requests(client: Client) -> Iterator[tuple[str, str, Any]]:
    """Yield what is wrong, the path and what is sent there; nothing is sent for None."""

    def good(form: Form, **more: Any) -> dict[str, Any]:
        return client.fields(form, PROMPT, {"max_tokens": 4, **more})

    for form in (COMPLETIONS, CHAT):
        yield "no such model", form.path, good(form, model=NO_MODEL)
        yield "no such model, streamed", form.path, good(form, model=NO_MODEL, stream=True)
        yield "a word for max_tokens", form.path, good(form, max_tokens="many")
        yield "max_tokens -1", form.path, good(form, max_tokens=-1)
        yield "broken JSON", form.path, b'{"model": '
        yield "a list", form.path, b"[]"
        yield "an empty body", form.path, b""
        yield "GET", form.path, None
    # Not "no prompt": OpenAI's own reference has a default for it.
    yield "a number for prompt", COMPLETIONS.path, good(COMPLETIONS, prompt=7)
    yield "no messages", CHAT.path, {key: value for key, value in good(CHAT).items() if key != "messages"}
    yield "a number for messages", CHAT.path, good(CHAT, messages=7)
    yield "a message without a role", CHAT.path, good(CHAT, messages=[{"content": PROMPT}])
    yield "no such path", "/no-such-path", None


def errors(client: Client) -> Measured:
    """Each wrong request is refused in words, by a status that says so, and right ones are answered after it."""
    count = 0
    for what, path, document in _wrong_requests(client):
        reply = client.ask(path, document)
        where = f"{path}: {what}"
        expect(
            reply.status >= 400 or not reply.words,
            f"{where}: an error comes with HTTP {reply.status}: {reply.words:.200}",
        )
        came = f"HTTP {reply.status} {str(reply.document)[:80]!r}"
        expect(reply.status >= 400, f"{where}: expected an error, found {came}")
        expect(reply.words, f"{where}: an error without words: {came}")
        if reply.status >= 500:
            met(client, CLIENT_500, f"{where}: {reply.status} {reply.words[:80]!r}")
        else:
            expect(reply.is_json, f"{where}: expected an error in JSON, found {came}")
        count += 1
    said = client.say(COMPLETIONS, PROMPT)
    where = f"{COMPLETIONS.path}, after {count} wrong requests"
    expect(said.text == ANSWER, f"{where}: {PROMPT!r}: expected {ANSWER!r}, found {said.text!r:.80}")
    yield Measurement("wrong_requests", count, "requests")
