"""Checks on servers of the OpenAI protocol: stand-ins that go wrong, a real one, and addresses of something else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_trtcheck._suites.serving.broken import openai as broken
from pytest_trtcheck._suites.serving.checking import Wrong
from pytest_trtcheck._suites.serving.execution import execute_once
from pytest_trtcheck._suites.serving.openai import sound, variants
from pytest_trtcheck._suites.serving.openai.checks import CHECKS
from pytest_trtcheck._suites.serving.openai.client import Client
from pytest_trtcheck._suites.serving.openai.manners import Manners
from pytest_trtcheck._suites.serving.openai.questions import asked_questions
from pytest_trtcheck._suites.serving.openai.schema import CHAT, COMPLETIONS, Form, models, read_events, read_whole
from pytest_trtcheck._suites.serving.openai.standin import StandIn
from pytest_trtcheck._suites.serving.proof import prove_openai
from pytest_trtcheck.providers.servers import Server
from pytest_trtcheck.rules.catalogue import load_catalogue
from tests.serving.test_running import answering
from tests.serving.test_suite import run, serving

HEAD = {"id": "1", "object": "text_completion", "created": 1, "model": "m"}
EVENT = {**HEAD, "object": "chat.completion.chunk"}


def whole(**changes: Any) -> dict[str, Any]:
    choice = {"index": 0, "text": "ab", "finish_reason": "stop", **changes.pop("choice", {})}
    return {**HEAD, "choices": [choice], **changes}


def event(delta: Any, finish: Any = None, **changes: Any) -> dict[str, Any]:
    return {**EVENT, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **changes}


def test_every_check_is_in_the_catalogue_and_every_variant_names_checks_that_there_are() -> None:
    known = {entry.id for entry in load_catalogue().values()}
    assert {check.check_id for check in CHECKS} <= known
    names = {check.name for check in CHECKS}
    found = [*variants.broken_openai(), *variants.sound_openai()]
    assert {name for one in found for name in one.checks} == names
    assert len({one.name for one in found}) == len(found)
    assert all(one.about for one in found)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "/models: expected an object 'list', found []"),
        ({"object": "list"}, "/models.data: expected a list of models, found None"),
        ({"object": "list", "data": [7]}, "data[0].id: expected a name, found None"),
        ({"object": "list", "data": [{"id": "a"}]}, "data[0].object: expected 'model', found None"),
        ({"object": "list", "data": [{"id": "a", "object": "model"}] * 2}, "a name comes twice"),
    ],
)
def test_a_list_of_models_is_read_strictly(document: Any, words: str) -> None:
    with pytest.raises(Wrong) as caught:
        models(document)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, "/completions.object: expected 'text_completion', found None"),
        ({"error": {"message": "no memory"}}, "an error comes with HTTP 200: no memory"),
        (whole(created=True), ".created: expected whole seconds, found True"),
        (whole(model=None), ".model: expected a name, found None"),
        (whole(choices=[]), "asked for one answer, found 0 choices"),
        (whole(choices=[7]), ".index: expected a number, found None"),
        (whole(choice={"index": 1}), "found a choice with index 1"),
        (whole(choice={"text": None}), "choices[0].text: expected text, found None"),
        (whole(choice={"finish_reason": None}), "a whole answer says why it ended, found none"),
        (whole(choice={"finish_reason": "eos"}), "expected one of stop, length"),
        (whole(usage={"prompt_tokens": 1}), ".usage.completion_tokens: expected a number of tokens, found None"),
        (whole(choice={"logprobs": [1]}), ".logprobs: expected an object, found [1]"),
        (whole(choice={"logprobs": {"tokens": ["a"], "token_logprobs": []}}), "1 tokens, 0 values and 1 likeliest"),
        (whole(choice={"logprobs": {"tokens": ["a"], "token_logprobs": [0.5]}}), "0 or less, found 0.5"),
        (whole(choice={"logprobs": {"tokens": ["a"], "token_logprobs": [float("nan")]}}), "found nan"),
        (whole(choice={"logprobs": {"tokens": ["a"], "token_logprobs": [-1], "top_logprobs": {"a": 1}}}),
         ".top_logprobs: expected a list of objects"),
    ],
)  # fmt: skip
def test_a_whole_answer_is_read_strictly(document: Any, words: str) -> None:
    with pytest.raises(Wrong) as caught:
        read_whole(COMPLETIONS, document)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([], "0 events, none of which has a finish_reason"),
        ([event({"content": "a"})], "1 events, none of which has a finish_reason"),
        ([event("a")], "choices[0].delta: expected an object, found 'a'"),
        ([event({"content": 7})], "delta.content: expected text, found 7"),
        ([event({"role": "user"})], "delta.role: expected 'assistant', found 'user'"),
        ([event({"content": "a"}, "stop"), event({"content": "b"})], "'b' comes after the event that said 'stop'"),
        ([event({}, "stop"), event({}, "length")], "finish_reason 'length' comes after 'stop'"),
        ([event({"content": "a"}), event({}, "stop", id="2")], "id '2' is not that of the first event, '1'"),
        ([event({"content": "a"}), {"error": "no memory"}], "an error comes with HTTP 200: no memory"),
    ],
)
def test_events_are_read_strictly(events: list[Any], words: str) -> None:
    with pytest.raises(Wrong) as caught:
        read_events(CHAT, events)
    assert words in str(caught.value)


def test_sound_answers_are_read() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    scores = {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": [{"a": -0.5, "b": -1}]}
    said = read_whole(COMPLETIONS, whole(choice={"logprobs": scores}, usage=usage))
    assert (said.text, said.finish, said.prompt_tokens, said.completion_tokens) == ("ab", "stop", 1, 2)
    assert said.scored is not None
    assert (said.scored[0].text, said.scored[0].log_prob, said.scored[0].top) == ("a", -0.5, {"a": -0.5, "b": -1.0})
    events = [event({"role": "assistant"}), event({"content": "a"}), event({"content": "b"}, "length"),
              {**EVENT, "choices": [], "usage": usage}]  # fmt: skip
    said = read_events(CHAT, events)
    assert (said.text, said.finish, said.completion_tokens, said.scored) == ("ab", "length", 2, None)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>It works!</html>", "/models: expected JSON, found no media type: '<html>It works!"),
        (404, b"not found", "/models: expected HTTP 200, found 404: "),
        (200, b'{"object": "list", "data": []}', "lists no model; name the probe model by --trtcheck-openai-model"),
    ],
)
def test_an_address_of_something_else_is_named(status: int, body: bytes, words: str) -> None:
    with answering(status, body) as port:
        ran = execute_once(CHECKS[0], Client(Server("127.0.0.1", port, "/v1")))
    assert ran.wrong.startswith(f"http://127.0.0.1:{port}/v1/models: ")
    assert words in ran.wrong
    assert "\n" not in ran.wrong


def test_an_address_where_nobody_listens_is_named(pytester: pytest.Pytester) -> None:
    with answering(200, b"") as port:
        pass
    _, report = run(
        pytester, "-n0", f"--trtcheck-openai-url=http://127.0.0.1:{port}", "-k", "serving and openai-errors"
    )
    assert (
        "no connection: Connection refused; is the server up?"
        in serving(report)["TRC-SRV-028-openai-errors"]["message"]
    )


@pytest.mark.torch
def test_the_questions_are_those_that_the_probe_model_gets_right_in_any_dtype() -> None:
    from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
    from pytest_trtcheck._suites.probe_llm.truth import Oracle
    from pytest_trtcheck.providers import Model

    for dtype in ("bf16", "fp16"):
        oracle = Oracle(Model(MODEL, MODEL / "lora", MODEL / "draft"), dtype)
        for question in asked_questions():
            truth = oracle.truth(question.prompt_ids, question.answer_ids)
            for place, token in enumerate(question.answer_ids):
                others = [value for other, value in enumerate(truth.rows[place]) if other != token]
                assert truth.rows[place][token] - max(others) > truth.ties[place], (question.prompt, place)


@pytest.mark.torch
@pytest.mark.slow
def test_mistakes_of_a_server_are_caught_and_its_manners_are_not() -> None:
    caught, passed = prove_openai()
    assert not [(tally.provider, tally.words) for tally in caught if not tally.flagged]
    assert not [(tally.provider, tally.words) for tally in passed if tally.flagged]
    assert all(tally.ran for tally in (*caught, *passed))


@pytest.mark.torch
@pytest.mark.parametrize(
    ("manners", "asked", "outcomes"),
    [
        (Manners, "openai", {"passed": 8}),
        (broken.NoDone, "openai-completions", {"passed": 1, "failed": 1}),
        (sound.TextAlone, "(openai-chat or openai-logprobs)", {"not_run": 3}),
    ],
)
def test_a_run_tells_what_a_server_does(
    pytester: pytest.Pytester, manners: Callable[[], Manners], asked: str, outcomes: dict[str, int]
) -> None:
    with StandIn(manners()) as server:
        _, report = run(pytester, "-n0", f"--trtcheck-openai-url={server}", "-k", f"serving and {asked}")
    found = [entry["outcome"] for entry in serving(report).values() if entry["reason"] != "filtered"]
    assert {outcome: found.count(outcome) for outcome in found} == outcomes
    assert ("failed" in outcomes) == (report["verdict"] == "rejected")


@pytest.mark.torch
@pytest.mark.parametrize("form", [COMPLETIONS, CHAT])
def test_requests_have_fields_of_the_protocol_alone(form: Form) -> None:
    with StandIn(Manners()) as server:
        fields = Client(server).fields(form, "Cab=", {"stop": ["b"]})
    common = {"model": "probe", "temperature": 0, "max_tokens": 64, "stop": ["b"]}
    prompt = {"messages": [{"role": "user", "content": "Cab="}]} if form is CHAT else {"prompt": "Cab="}
    assert fields == {**common, **prompt}
