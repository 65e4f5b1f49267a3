"""What the judge of the decoding suite says, answer by answer."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import Completion, LlmCase, Request, Setup, Where

if TYPE_CHECKING:
    from pytest_trtcheck._suites.probe_llm.bench import Bench
    from pytest_trtcheck._suites.probe_llm.truth import Oracle

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def bench() -> Bench:
    from pytest_trtcheck._suites.probe_llm.bench import Bench
    from pytest_trtcheck._suites.probe_llm.providers.torch_engine import TorchEngine

    bench = Bench()
    bench.open(TorchEngine(), Setup(), Where("cpu"))
    return bench


@pytest.fixture(scope="module")
def oracle(bench: Bench) -> Oracle:
    return bench.oracle("fp32", "cpu")


def ids(text: str) -> tuple[int, ...]:
    from pytest_trtcheck._suites.probe_llm.tasks import encode

    return tuple(encode(text))


def ask(text: str, **demands: Any) -> Request:
    return Request((1, *ids(text)), **demands)


def words(oracle: Oracle, request: Request, completion: Completion) -> str:
    from pytest_trtcheck._suites.probe_llm.judge import judge

    return judge(oracle, 0, [request], [completion]).words


COPY = "Cbz8XxpqL4I0JsbNKvYfi5MUH="


@pytest.mark.parametrize(
    ("stop", "answer", "finish", "expected"),
    [
        (("L",), "bz8Xxpq", "stop", ""),
        (("4I", "pq"), "bz8Xx", "stop", ""),
        (("b",), "", "stop", ""),
        (("L",), "bz8Xxp", "stop", "finish: found 'stop' after 6 tokens, where no stop word follows"),
        (("L",), "bz8XxpqL4", "stop", "expected to stop before 'L' at place 7, found 9 tokens"),
        (("qL",), "bz8Xxpq", "stop", "finish: found 'stop' after 7 tokens, where no stop word follows"),
        (("~",), "", "stop", "finish: found 'stop' after 0 tokens, where no stop word follows"),
        (("b",), "", "length", "expected tokens, found none, finish 'length'"),
    ],
)
def test_answers_end_before_the_first_stop_word(
    oracle: Oracle, stop: tuple[str, ...], answer: str, finish: str, expected: str
) -> None:
    assert words(oracle, ask(COPY, max_tokens=30, stop=stop), Completion(ids(answer), finish)) == expected


def test_a_bad_word_must_not_come_and_the_second_best_must(oracle: Oracle, bench: Bench) -> None:
    request = ask(COPY, max_tokens=4, bad_words=("X",))
    [right] = bench.generate([request])
    assert words(oracle, request, right) == ""
    told = words(oracle, request, Completion(ids("bz8X"), "length"))
    assert told.startswith("place 3 of 4: found 'X' (88), which must not come here by what the request asks for")
    other = Completion((*right.tokens[:3], *ids("~")), "length")
    assert "place 3 of 4: expected" in words(oracle, request, other)


def test_a_token_outside_top_k_must_not_be_drawn_and_one_inside_may(oracle: Oracle) -> None:
    request = ask("Waaaaaabbbbc=", max_tokens=1, temperature=1.0, top_k=2)
    assert words(oracle, request, Completion(ids("a"), "length")) == ""
    assert words(oracle, request, Completion(ids("b"), "length")) == ""
    assert "which must not come here" in words(oracle, request, Completion(ids("c"), "length"))


def test_a_token_beyond_top_p_must_not_be_drawn_and_the_one_that_crosses_may(oracle: Oracle) -> None:
    request = ask("Waaaaaabbbbc=", max_tokens=1, temperature=1.0, top_p=0.7)
    assert words(oracle, request, Completion(ids("b"), "length")) == ""
    assert "which must not come here" in words(oracle, request, Completion(ids("c"), "length"))


def test_fewer_log_probabilities_than_asked_for_are_told(oracle: Oracle, bench: Bench) -> None:
    request = ask(COPY, max_tokens=3, log_probs=3)
    [right] = bench.generate([request])
    assert words(oracle, request, right) == ""
    fewer = replace(
        right, log_probs=tuple({token: row[token]} for token, row in zip(right.tokens, right.log_probs, strict=True))
    )
    assert words(oracle, request, fewer) == "place 0: expected log-probabilities of 3 tokens, found 1"


def case_of(name: str, seed: int = 1) -> Any:
    from pytest_trtcheck._suites.decoding.cases import cases

    return next(case for case in cases(Level.STANDARD, "fp32", seed) if case.name == name)


def put(case: Any, oracle: Oracle, generate: Any) -> list[str]:
    from pytest_trtcheck._suites.decoding.judge import run_case

    return run_case(case, oracle, generate, 1).problems


def test_a_suspicious_draw_is_asked_again_and_forgiven_when_it_was_chance(oracle: Oracle, bench: Bench) -> None:
    """The first answers are all the likeliest tokens; the second ones are sound."""
    case, asked = case_of("temperature_1.5"), []

    def generate(requests: list[Request]) -> Any:
        asked.append(len(requests))
        if len(asked) == 1:
            requests = [replace(request, temperature=0.7) for request in requests]
        return bench.generate(requests)

    assert put(case, oracle, generate) == []
    assert asked == [64, 256]


def test_draws_at_another_temperature_are_wrong(oracle: Oracle, bench: Bench) -> None:
    def generate(requests: list[Request]) -> Any:
        return bench.generate([replace(request, temperature=0.7) for request in requests])

    [problem] = put(case_of("temperature_1.5"), oracle, generate)
    assert "asked again" in problem
    assert "tokens are likelier than by the reference's distribution" in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"ok":true,"kind":"bb","list":[1,20]}', ""),
        ('{ "kind" : "a", "list": [1], "ok" : false }', ""),
        ('{"ok":true,"kind":"bb","list":[]}', "$.list: expected 1 to 2 items, found 0"),
        ('{"ok":1,"kind":"bb","list":[1]}', "$.ok: expected boolean, found 1"),
        ('{"ok":true,"kind":"dddd","list":[1]}', "$.kind: expected one of ['a', 'bb', 'ccc'], found 'dddd'"),
        ('{"ok":true,"kind":"a"}', "$: expected properties ['kind', 'list', 'ok'], found ['kind', 'ok']"),
        ('{"ok":true,"kind":"a","list":[true]}', "$.list[0]: expected one of [1, 20], found True"),
        ('{"ok":true', "expected JSON of the schema"),
        ("[]", "$: expected object, found []"),
    ],
)
def test_json_is_held_against_its_schema_however_it_is_spaced(oracle: Oracle, text: str, expected: str) -> None:
    case = case_of("json_schema")
    only = replace(case, case=LlmCase("json_schema", Setup(), case.case.requests[:1]))
    problems = put(only, oracle, lambda requests: [Completion((*ids(text), 2), "end")])
    assert len(problems) == bool(expected)
    assert expected in "".join(problems)


def test_rare_events_are_allowed_as_often_as_chance_explains() -> None:
    from pytest_trtcheck._suites.decoding.sampling import most_by_chance

    assert most_by_chance(0.0) == 0
    assert most_by_chance(1e-9) == 0
    assert most_by_chance(1e-3) == 1
    assert 8 <= most_by_chance(1.0) <= 11
    assert most_by_chance(2.0) < most_by_chance(20.0)


def test_one_draw_counts_by_its_place_among_the_likelier_ones() -> None:
    import torch

    from pytest_trtcheck._suites.decoding.sampling import Draws

    draws = Draws(random.Random(1))
    shares = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    for token, low, high in ((0, 0.0, 0.5), (1, 0.5, 0.8), (2, 0.8, 1.0)):
        draws.add(shares, token)
        assert low <= draws.uniforms[-1] <= high


def test_what_is_said_of_beams_shows_end_marks_too(oracle: Oracle) -> None:
    from pytest_trtcheck._suites.decoding.beams import judge_beams

    end, best = (2,), (*ids("ab"), 2, 2)
    beams = ((best, -1.0), ((*ids("a"), *end), -2.0))
    request = ask("ab?", beams=2, max_tokens=8)
    said = judge_beams(request, Completion((*ids("ab"), *end), "end", beams=beams), oracle)
    assert said == "expected the best beam as the answer, found 'ab<end>', not 'ab<end><end>'"
    said = judge_beams(request, Completion(best, "end", beams=beams), oracle)
    assert said == "expected 8 tokens or an end mark at the end, found beam 'ab<end><end>'"
