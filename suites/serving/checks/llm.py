"""The LLM ensemble and its BLS variant: the probe model's answers through the server equal the reference's."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.probe_llm.sets import EASY, easy_questions
from pytest_trtcheck._suites.probe_llm.tasks import EOS, decode
from pytest_trtcheck._suites.serving.checking import FAULTS, Check, Measured, NotRun, Wrong, expect
from pytest_trtcheck._suites.serving.crowd import all_at_once
from pytest_trtcheck._suites.serving.known import DIES_OF_CALLS, met
from pytest_trtcheck._suites.serving.tensors import Tensor, tensor
from pytest_trtcheck._suites.serving.vitals import stub_of
from pytest_trtcheck.model.report import Measurement, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_trtcheck._suites.probe_llm.tasks import Question
    from pytest_trtcheck._suites.serving.bench import Bench

TASKS = ("copy", "reverse", "sort", "count", "lookup", "brackets")
EACH = 2
LIMIT = 48
CLIENTS = 8
LOG_PROB_SLACK = 2e-3
"""Nats: both sides compute in fp32 on a CPU and differ in the order of sums only."""
STREAM_SECONDS = 60.0
BLS = "tensorrt_llm_bls"
BLS_DEATHS = 2
"""So often its process may die: 2 of some 110 times were seen."""


@cache
def _expected(question: Question, limit: int) -> tuple[str, tuple[int, ...], float]:
    """Return text, tokens and the sum of log-probabilities that the reference gives to a question."""
    made = _reference().generate(question.prompt_ids, limit)
    scores = made.log_probs.max(-1).values.sum()
    return decode(made.tokens), tuple(made.tokens), float(scores)


@cache
def _reference() -> Any:
    import torch

    from pytest_trtcheck._suites.probe_llm.checkpoint import load

    torch.set_num_threads(1)
    return load()


def _questions(seed: int, tasks: tuple[str, ...] = TASKS, each: int = EACH) -> list[Question]:
    assert set(tasks) <= set(EASY)
    return [question for task in tasks for question in easy_questions(task, each, seed)]


def _fields(bench: Bench, question: Question, **more: Any) -> dict[str, Any]:
    """Return the generate fields of a question; the oldest release asks for both lists of words."""
    required = {
        name: "" for name in ("bad_words", "stop_words") if not bench.llm_layout("ensemble").inputs[name].optional
    }
    return {"text_input": question.prompt, "max_tokens": LIMIT, **required, **more}


def _shown(bench: Bench, question: Question, text: str) -> str:
    """Return what the server answers: before 0.6 the prompt comes with it."""
    return text if bench.llm_excludes_input else question.prompt + text


def _right(who: str, question: Question, expected: str, found: Any) -> None:
    expect(
        found == expected,
        f"{who}: {question.task} {question.prompt[:40]!r}: the reference answers {expected!r:.80}, found {found!r:.80}",
    )


def _text(answer: dict[str, Any]) -> Any:
    found = answer.get("text_output")
    return found[0] if isinstance(found, list) and len(found) == 1 else found


def asked(bench: Bench) -> list[tuple[dict[str, Any], str]]:
    """Return the fields of streamed requests to the ensemble, and the text that each must come to."""
    questions = _questions(bench.seed + 4)[:CLIENTS]
    return [(_fields(bench, question, stream=True), _expected(question, LIMIT)[0]) for question in questions]


def text_of(bench: Bench, fields: dict[str, Any], event: dict[str, Any]) -> str:
    """Return the answer's text in an event, without the prompt."""
    text = str(_text(event))
    return text if bench.llm_excludes_input else text.removeprefix(fields["text_input"])


def ensemble(bench: Bench) -> Measured:
    """Preprocessing, model and postprocessing together answer what the reference answers."""
    yield from _generate(bench, "ensemble")


def bls(bench: Bench) -> Measured:
    """The model that calls the others answers what the reference answers."""
    yield from _by_calls(bench, _generate)


def _needs_bls(bench: Bench) -> None:
    if not bench.llm_layout(BLS).parameters:
        raise NotRun(Reason.NOT_APPLICABLE, f"release {bench.release} has no {BLS}")


def _by_calls(bench: Bench, ask: Callable[[Bench, str], Measured]) -> list[Measurement]:
    """Ask the model that calls the others, again on a new server where its process died, as it is known to."""
    _needs_bls(bench)
    for _ in range(BLS_DEATHS):
        try:
            return list(ask(bench, BLS))
        except FAULTS as error:  # noqa: PERF203 - each turn is another server
            server = bench.server("llm", replace=False)
            if not server.is_alive() or stub_of(server, BLS) is not None:
                raise
            met(bench, DIES_OF_CALLS, str(error)[:200])
            bench.abandon("llm")
    return list(ask(bench, BLS))


def _generate(bench: Bench, model: str) -> Measured:
    """Ask one after the other, then all at once."""
    http = bench.http("llm")
    questions = _questions(bench.seed)
    for question in questions[:3]:
        answer = http.generate(model, _fields(bench, question))
        _right(f"{model}, generate", question, _shown(bench, question, _expected(question, LIMIT)[0]), _text(answer))
    told = all_at_once([partial(http.generate, model, _fields(bench, question)) for question in questions])
    for question, entry in zip(questions, told, strict=True):
        if entry.answer is None:
            raise Wrong(f"{model}: one of {len(questions)} callers at once got {entry.error}")
        expected = _shown(bench, question, _expected(question, LIMIT)[0])
        _right(f"{model}, {len(questions)} callers at once", question, expected, _text(entry.answer))
    cut = questions[0]
    answer = http.generate(model, _fields(bench, cut, max_tokens=3))
    _right(f"{model}, max_tokens 3", cut, _shown(bench, cut, _expected(cut, 3)[0]), _text(answer))
    _stops(bench, model, cut)
    bad = http.post(f"/v2/models/{model}/generate", {"max_tokens": 3})
    expect(bad.error(), f"{model}: a request without text_input was answered with HTTP {bad.status} {bad.body[:80]!r}")
    yield Measurement("answers_at_once", len(questions), "answers")


def _stops(bench: Bench, model: str, question: Question) -> None:
    """Ask for an end at a word of the answer."""
    text = _expected(question, LIMIT)[0]
    word = text[4:6]
    told = _text(bench.http("llm").generate(model, _fields(bench, question, stop_words=word)))
    upto = text[: text.index(word) + len(word)]
    allowed = (_shown(bench, question, upto), _shown(bench, question, upto.removesuffix(word)))
    expect(
        told in allowed,
        f"{model}: stop_words {word!r}: expected {allowed[0]!r}, with or without the word, found {told!r:.80}",
    )


def stream(bench: Bench) -> Measured:
    """Streamed pieces of the ensemble's answer make up the reference's, for each of several callers at once."""
    yield from _streams(bench, "ensemble")


def bls_stream(bench: Bench) -> Measured:
    """Streamed pieces of the BLS model's answer make up the reference's."""
    yield from _by_calls(bench, _streams)


def _streams(bench: Bench, model: str) -> Measured:
    http = bench.http("llm")
    questions = _questions(bench.seed + 1)[:CLIENTS]

    def ask(question: Question) -> list[str]:
        fields = _fields(bench, question, stream=True)
        return [str(_text(event)) for event in http.generate_stream(model, fields, STREAM_SECONDS)]

    told = all_at_once([partial(ask, question) for question in questions])
    for question, entry in zip(questions, told, strict=True):
        if entry.answer is None:
            raise Wrong(f"{model}, generate_stream: one of {len(questions)} callers at once got {entry.error}")
        text, tokens, _ = _expected(question, LIMIT)
        prefix = "" if bench.llm_excludes_input else question.prompt
        pieces = [piece.removeprefix(prefix) for piece in entry.answer]
        _right(f"{model}, generate_stream", question, text, "".join(pieces))
        words = f"{model}, generate_stream: {len(tokens)} tokens came in {len(pieces)} events: all at once"
        expect(len(pieces) > 1, words)
    yield Measurement("streams_at_once", len(questions), "streams")


def grpc_stream(bench: Bench) -> Measured:
    """The ensemble streams by gRPC, each request with a final response."""
    client = bench.grpc("llm")
    questions = _questions(bench.seed + 2)[:4]
    requests = [(f"q{number}", _tensors(bench, question, stream=True)) for number, question in enumerate(questions)]
    events = client.stream("ensemble", requests, seconds=STREAM_SECONDS)
    for (name, _), question in zip(requests, questions, strict=True):
        own = [event for event in events if event.request_id == name]
        prefix = "" if bench.llm_excludes_input else question.prompt
        pieces = [
            bytes(event.tensors["text_output"].values[0]).decode(errors="replace").removeprefix(prefix)
            for event in own
            if event.tensors
        ]
        _right("ensemble, gRPC stream", question, _expected(question, LIMIT)[0], "".join(pieces))
        expect(
            [event.is_final for event in own].count(True) == 1, f"ensemble, gRPC stream: {name}: not one final response"
        )
    return ()


def _tensors(bench: Bench, question: Question, *, stream: bool = False) -> list[Tensor]:
    ports = bench.llm_layout("ensemble").inputs
    values: dict[str, Any] = {"text_input": question.prompt.encode(), "max_tokens": LIMIT, "stream": stream}
    values |= {name: b"" for name in ("bad_words", "stop_words") if not ports[name].optional}
    return [tensor(name, ports[name].datatype, [value]) for name, value in values.items()]


def plain(bench: Bench) -> Measured:
    """Without streaming, the ensemble answers infer requests by HTTP, tokens and log-probabilities included."""
    http = bench.http("llm-plain")
    question = _questions(bench.seed + 3)[0]
    text, tokens, score = _expected(question, LIMIT)
    for binary in (False, True):
        answer = http.infer("ensemble", _tensors(bench, question), binary=binary)
        found = bytes(answer["text_output"].values[0]).decode(errors="replace")
        _right(f"ensemble, infer{' in bytes' if binary else ''}", question, _shown(bench, question, text), found)
    inputs = bench.llm_layout("tensorrt_llm").inputs
    asked = {
        "input_ids": question.prompt_ids,
        "input_lengths": [len(question.prompt_ids)],
        "request_output_len": [LIMIT],
        "end_id": [EOS],
    }
    sent = [tensor(name, inputs[name].datatype, values) for name, values in asked.items()]
    answer = http.infer("tensorrt_llm", sent)
    made = tuple(answer["output_ids"].values)[0 if bench.llm_excludes_input else len(question.prompt_ids) :]
    expect(made == tokens, f"tensorrt_llm: output_ids: the reference gives {tokens}, found {made}")
    if "cum_log_probs" in answer:
        found_score = float(answer["cum_log_probs"].values[0])
        expect(
            abs(found_score - score) <= LOG_PROB_SLACK,
            f"tensorrt_llm: cum_log_probs: the reference gives {score:.5f}, found {found_score:.5f}",
        )
    return ()


CHECKS = (
    Check("llm-ensemble", "TRC-SRV-013", ensemble, llm=True, seconds=120.0),
    Check("llm-ensemble-stream", "TRC-SRV-013", stream, llm=True, seconds=120.0),
    Check("llm-ensemble-grpc", "TRC-SRV-013", grpc_stream, llm=True, grpc=True, seconds=120.0),
    Check("llm-bls", "TRC-SRV-013", bls, llm=True, seconds=120.0),
    Check("llm-bls-stream", "TRC-SRV-013", bls_stream, llm=True, seconds=120.0),
    Check("llm-infer", "TRC-SRV-013", plain, llm=True, seconds=120.0),
)
