"""Checks on a server of the OpenAI protocol that serves the probe model: form, order, end and answers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.serving.checking import Check, Measured, NotRun, Wrong, expect
from pytest_trtcheck._suites.serving.crowd import all_at_once
from pytest_trtcheck._suites.serving.load import quantile
from pytest_trtcheck._suites.serving.openai.errors import errors
from pytest_trtcheck._suites.serving.openai.questions import asked_questions
from pytest_trtcheck._suites.serving.openai.schema import CHAT, COMPLETIONS, Form, Said, models
from pytest_trtcheck._suites.serving.openai.scores import scores
from pytest_trtcheck.model.report import Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_trtcheck._suites.probe_llm.tasks import Question
    from pytest_trtcheck._suites.serving.openai.client import Client, Stream

CUT = 3
"""Tokens of an answer that is cut off by ``max_tokens``."""
BEFORE_STOP = 4
"""Characters of an answer before the stop word."""
TEMPLATE_NOTE = "the chat template puts more around a message: chat was checked for its form and not for its words"


def listed(client: Client) -> Measured:
    """The server lists its models, and answers by the name of the one that is asked for."""
    reply = client.ask("/models")
    expect(reply.status == 200, f"{client.server}/models: expected HTTP 200, found {reply.status}: {reply.words}")
    expect(reply.is_json, f"{client.server}/models: expected JSON, found {reply.document}")
    names = models(reply.document)
    if client.model not in names:
        client.facts.append(f"/models lists {len(names)} models and not {client.model!r}")
    yield Measurement("models_listed", len(names), "models")


def completions(client: Client) -> Measured:
    """Completions have the protocol's form and the probe model's answers, for one caller and for several at once."""
    yield from _answers(client, COMPLETIONS)


def chat(client: Client) -> Measured:
    """Chat completions have the protocol's form and, where the template adds nothing, the probe model's answers."""
    if client.chat_passes_on:
        yield from _answers(client, CHAT)
        return
    client.facts.append(TEMPLATE_NOTE)
    client.say(CHAT, asked_questions()[0].prompt)
    _cut(client, CHAT, None)


def _right(where: str, question: Question, said: Said) -> None:
    """Raise Wrong unless an answer is the right one, ended by the model itself, and counted right."""
    expect(
        said.text == question.answer,
        f"{where}: {question.task} {question.prompt[:40]!r}: the probe model answers {question.answer!r:.80}, found "
        f"{said.text!r:.80}",
    )
    expect(said.finish == "stop", f"{where}: an answer that ended by itself has finish_reason {said.finish!r}")
    # The end mark is counted by some and not by others.
    counts = {None, len(question.answer), len(question.answer) + 1}
    expect(
        said.completion_tokens in counts,
        f"{where}: usage.completion_tokens: an answer of {len(question.answer)} tokens, found {said.completion_tokens}",
    )


def _answers(client: Client, form: Form) -> Measured:
    questions = asked_questions()
    for question in questions[:2]:
        _right(form.path, question, client.say(form, question.prompt))
    _at_once(form.path, questions, partial(client.say, form))
    _cut(client, form, questions[0])
    yield Measurement("answers_at_once", len(questions), "answers")


def _at_once(where: str, questions: Sequence[Question], ask: Callable[[str], Any]) -> list[Any]:
    """Ask all questions at once, and return the answers, each held against its own question."""
    told = all_at_once([partial(ask, question.prompt) for question in questions])
    for question, entry in zip(questions, told, strict=True):
        if entry.answer is None:
            raise Wrong(f"{where}: one of {len(questions)} callers at once got {entry.error}")
        said = entry.answer if isinstance(entry.answer, Said) else entry.answer[0]
        _right(f"{where}, {len(questions)} callers at once", question, said)
    return [entry.answer for entry in told]


def _cut(client: Client, form: Form, question: Question | None) -> None:
    """Ask for a few tokens only; without a question for the form alone."""
    said = client.say(form, question.prompt if question else "Cabcdefgh=", max_tokens=CUT)
    where = f"{form.path}, max_tokens {CUT}"
    if question:
        _begins(where, question.answer[:CUT], said)
    expect(said.finish == "length", f"{where}: expected finish_reason 'length', found {said.finish!r}")
    counted = said.completion_tokens
    expect(counted in (None, CUT), f"{where}: usage.completion_tokens: expected {CUT}, found {counted}")


def _begins(where: str, expected: str, said: Said) -> None:
    expect(said.text == expected, f"{where}: expected {expected!r}, found {said.text!r:.80}")


def completions_streamed(client: Client) -> Measured:
    """Events make up the whole answer, in order, each caller's own, one reason of an end, and ``[DONE]`` after all."""
    yield from _streams(client, COMPLETIONS, has_truth=True)


def chat_streamed(client: Client) -> Measured:
    """Events of a chat make up the whole answer, in order, one reason of an end, and ``[DONE]`` after all."""
    yield from _streams(client, CHAT, has_truth=client.chat_passes_on)


def _streams(client: Client, form: Form, *, has_truth: bool) -> Measured:
    where = f"{form.path}, streamed"
    questions = asked_questions()
    streams: list[Stream] = []
    if has_truth:
        streams += [stream for _, stream in _at_once(where, questions, partial(client.stream, form))]
    else:
        client.facts.append(TEMPLATE_NOTE)
    whole = client.say(form, questions[0].prompt)
    said, stream = client.stream(form, questions[0].prompt)
    expect(
        (said.text, said.finish) == (whole.text, whole.finish),
        f"{where}: whole the answer is {whole.text!r:.80} ({whole.finish}), in events it is {said.text!r:.80} "
        f"({said.finish})",
    )
    streams.append(stream)
    for one in streams:
        expect(len(one.events) > 2, f"{where}: an answer of {len(said.text)} tokens came in {len(one.events)} events")
    if form.is_chat:
        roles = [choice["delta"].get("role") for event in stream.events for choice in event["choices"]]
        expect("assistant" in roles, f"{where}: no event says that the assistant speaks")
    cut, _ = client.stream(form, questions[0].prompt, max_tokens=CUT)
    expect(cut.finish == "length", f"{where}, max_tokens {CUT}: expected finish_reason 'length', found {cut.finish!r}")
    yield Measurement("first_event_p50", quantile([one.seconds[0] for one in streams], 0.5), "s")
    # The last, so that what else is wrong with a server that leaves it out is told first.
    for one in streams:
        expect(
            one.is_done, f"{where}: the events end without [DONE]: clients cannot tell a whole answer from a cut one"
        )


def stop(client: Client) -> Measured:
    """An answer ends before a stop word, whole and streamed, and says that it stopped."""
    question = asked_questions()[0]
    word, expected = question.answer[BEFORE_STOP : BEFORE_STOP + 2], question.answer[:BEFORE_STOP]
    forms = [COMPLETIONS]
    try:
        forms += [CHAT] if client.chat_passes_on else []
    except NotRun as refused:
        client.facts.append(f"stop words of a chat were not asked for: {refused}")
    for form in forms:
        for words in ([word], word, ["#", word]):
            _stopped(form.path, expected, word, client.say(form, question.prompt, stop=words))
        _stopped(f"{form.path}, streamed", expected, word, client.stream(form, question.prompt, stop=[word])[0])
    return ()


def _stopped(where: str, expected: str, word: str, said: Said) -> None:
    expect(
        said.text != expected + word,
        f"{where}: stop {word!r}: the answer ends with the stop word, {said.text!r}; expected {expected!r}",
    )
    _begins(f"{where}, stop {word!r}", expected, said)
    expect(said.finish == "stop", f"{where}, stop {word!r}: expected finish_reason 'stop', found {said.finish!r}")


CHECKS = (
    Check("openai-models", "TRC-SRV-022", listed),
    Check("openai-completions", "TRC-SRV-023", completions),
    Check("openai-chat", "TRC-SRV-024", chat),
    Check("openai-completions-stream", "TRC-SRV-025", completions_streamed),
    Check("openai-chat-stream", "TRC-SRV-025", chat_streamed),
    Check("openai-stop", "TRC-SRV-026", stop),
    Check("openai-logprobs", "TRC-SRV-027", scores),
    Check("openai-errors", "TRC-SRV-028", errors),
)
