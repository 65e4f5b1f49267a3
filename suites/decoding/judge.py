"""One case on one open session: put the requests, hold the answers against the reference and against chance."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.decoding.beams import judge_beams
from pytest_trtcheck._suites.decoding.cases import BEAMS, JSON, SAMPLED, SEEDED, DecodingCase
from pytest_trtcheck._suites.decoding.sampling import AGAIN, CERTAIN, SUSPICIOUS, Draws, most_by_chance
from pytest_trtcheck._suites.probe_llm.choosing import Chooser
from pytest_trtcheck._suites.probe_llm.demands import demanded
from pytest_trtcheck._suites.probe_llm.judge import Judged, judge, spelled, wrong_form
from pytest_trtcheck._suites.probe_llm.tasks import EOS, decode
from pytest_trtcheck.model.report import Measurement
from pytest_trtcheck.providers import Completion, Request

if TYPE_CHECKING:
    from pytest_trtcheck._suites.probe_llm.truth import Oracle

Generate = Callable[[Sequence[Request]], Any]

_SEEDS = 2**31

_TOLD_DEMANDS = (
    "temperature", "top_k", "top_p", "repetition_penalty", "stop", "bad_words", "regex", "adapter", "log_probs"
)  # fmt: skip


@dataclass
class Judgement:
    """What became of a case."""

    problems: list[str] = field(default_factory=list)
    """What is wrong, a line each; empty when all is right."""
    tokens: int = 0
    wrong_tokens: int = 0
    near_ties: int = 0
    largest: float = 0.0
    """Largest error over what is allowed."""
    figures: list[Measurement] = field(default_factory=list)

    def message(self) -> str:
        """Return one line."""
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        return f"{self.problems[0]}{more}" if self.problems else ""

    def add(self, judged: Judged, where: str) -> None:
        """Count one answer."""
        self.tokens += judged.tokens
        self.wrong_tokens += judged.wrong_tokens
        self.near_ties += judged.near_ties
        self.largest = max(self.largest, judged.largest)
        if judged.words:
            self.problems.append(f"{where}: {judged.words}")

    def measurements(self) -> list[Measurement]:
        """Return the figures that a report shows."""
        counts = {"tokens": self.tokens, "wrong_tokens": self.wrong_tokens, "near_ties": self.near_ties}
        return [*(Measurement(name, count, "tokens") for name, count in counts.items()), *self.figures]


def run_case(case: DecodingCase, oracle: Oracle, generate: Generate, seed: int) -> Judgement:
    """Put a case's requests to a session and judge what comes back. What ``generate`` raises goes through."""
    judgement = Judgement()
    requests = case.case.requests
    given = _answers(requests, oracle, generate, judgement)
    if judgement.problems:
        return judgement
    if case.kind == SAMPLED:
        _judge_draws(requests, given, oracle, generate, judgement, seed)
        if requests[0].seed is not None:
            judgement.problems += _same_answers(requests, given, oracle)
    elif case.kind == SEEDED:
        judgement.problems += _wrong_seeds(requests, given, oracle)
    elif case.kind in {BEAMS, JSON}:
        _judge_form(case, given, oracle, judgement)
    return judgement


def _answers(
    requests: Sequence[Request], oracle: Oracle, generate: Generate, judgement: Judgement
) -> Sequence[Completion]:
    """Return the answers, those that are judged token by token judged."""
    given = generate(requests)
    problem = wrong_form(given, requests, oracle.vocabulary)
    if problem:
        judgement.problems.append(problem)
        return ()
    for number, request in enumerate(requests):
        if given[number].finish == "refused":
            judgement.add(Judged(f"refused, and should be answered: {given[number].words!s:.200}"), f"request {number}")
        elif request.beams == 1 and not request.json_schema:
            judgement.add(judge(oracle, number, requests, given), f"request {number} ({_demands(request)})")
    return given  # type: ignore[no-any-return]


def _demands(request: Request) -> str:
    """Return what a request asks for, in words."""
    plain = Request(request.prompt)
    changed = [name for name in _TOLD_DEMANDS if getattr(request, name) != getattr(plain, name)]
    asked = [f"{name} {getattr(request, name)}" for name in changed]
    return ", ".join(asked) or "greedy"


def _judge_draws(
    requests: Sequence[Request],
    given: Sequence[Completion],
    oracle: Oracle,
    generate: Generate,
    judgement: Judgement,
    seed: int,
) -> None:
    """Hold what was drawn against chance; what looks like no chance is asked again before it is called wrong."""
    rng = random.Random(f"draws/{seed}")  # noqa: S311 - splits ties, no secret
    draws = drawn(requests, given, oracle, rng)
    suspicious = [name for name, value in draws.p_values().items() if value < SUSPICIOUS]
    first = draws.describe()
    if suspicious:
        more = [_reseeded(request, rng) for _ in range(AGAIN) for request in requests]
        given = _answers(more, oracle, generate, judgement)
        if judgement.problems:
            return
        draws = drawn(more, given, oracle, rng)
        values = draws.p_values()
        if any(values.get(name, 1.0) < CERTAIN for name in suspicious):
            judgement.problems.append(f"{first}; asked again, {draws.describe()}")
    judgement.figures += [Measurement(f"p_value_{name}", value, "") for name, value in draws.p_values().items()]


def _reseeded(request: Request, rng: random.Random) -> Request:
    return request if request.seed is None else replace(request, seed=rng.randrange(_SEEDS))


def drawn(requests: Sequence[Request], given: Sequence[Completion], oracle: Oracle, rng: random.Random) -> Draws:
    """Return what came of all draws; a token that came by a tie at the edge of what may come is left out."""
    draws = Draws(rng)
    for request, completion in zip(requests, given, strict=True):
        if not completion.tokens:
            continue
        truth = oracle.truth(request.prompt, completion.tokens, adapter=request.adapter)
        wanted, chooser = demanded(truth, request, completion.tokens), Chooser(request)
        for row, token in zip(wanted.logits, completion.tokens, strict=True):
            shares = chooser.drawn_from(row)
            if shares[token] > 0:
                draws.add(shares, token)
    return draws


def _wrong_seeds(requests: Sequence[Request], given: Sequence[Completion], oracle: Oracle) -> list[str]:
    """Hold answers of one seed against each other, and answers of different seeds.

    Two runs of one seed part where rounding moves a share across the number drawn: at each token with a probability of
    no more than the shares can be off. Two seeds agree by chance as often as an answer is likely.
    """
    by_seed: dict[tuple[tuple[int, ...], int | None], list[int]] = {}
    for number, request in enumerate(requests):
        by_seed.setdefault((request.prompt, request.seed), []).append(number)
    pairs = [members for members in by_seed.values() if len(members) > 1]
    expected = sum(_may_part(requests[first], given[first], oracle) for first, *_ in pairs)
    parted = [members for members in pairs if len({given[member].tokens for member in members}) > 1]
    problems = []
    if len(parted) > most_by_chance(expected):
        first, second = parted[0][0], parted[0][-1]
        problems.append(
            f"{len(parted)} of {len(pairs)} requests that were asked twice with one seed were answered differently "
            f"(rounding explains {expected:.2g}), such as requests {first} and {second}: "
            f"{spelled(given[first].tokens)} and {spelled(given[second].tokens)}"
        )
    return problems + _same_answers(requests, given, oracle)


def _same_answers(requests: Sequence[Request], given: Sequence[Completion], oracle: Oracle) -> list[str]:
    """Count requests that differ in nothing but the seed and have one answer: by chance as often as it is likely."""
    firsts: dict[tuple[tuple[int, ...], int | None], int] = {}
    for number, request in enumerate(requests):
        firsts.setdefault((request.prompt, request.seed), number)
    pairs = [(a, b) for a, b in combinations(firsts.values(), 2) if requests[a].prompt == requests[b].prompt]
    likely = {number: _likelihood(requests[number], given[number], oracle) for number, _ in pairs}
    chance = sum(likely[first] for first, _ in pairs)
    same = [pair for pair in pairs if given[pair[0]].tokens == given[pair[1]].tokens]
    if len(same) <= most_by_chance(chance):
        return []
    words = (
        f"{len(same)} of {len(pairs)} pairs of requests that differ in nothing but the seed have one answer "
        f"(chance explains {chance:.2g}), such as requests {same[0][0]} and {same[0][1]}"
    )
    return [words]


def _may_part(request: Request, completion: Completion, oracle: Oracle) -> float:
    truth = oracle.truth(request.prompt, completion.tokens, adapter=request.adapter)
    return sum(min(1.0, math.expm1(2 * float(part) / request.temperature)) for part in truth.resolution)


def _likelihood(request: Request, completion: Completion, oracle: Oracle) -> float:
    truth = oracle.truth(request.prompt, completion.tokens, adapter=request.adapter)
    chooser = Chooser(request)
    places = enumerate(completion.tokens)
    return math.prod(float(chooser.distribution(truth.logits[i], completion.tokens[:i])[token]) for i, token in places)


def _judge_form(case: DecodingCase, given: Sequence[Completion], oracle: Oracle, judgement: Judgement) -> None:
    """Judge beams, and texts that must be JSON."""
    for number, (request, completion) in enumerate(zip(case.case.requests, given, strict=True)):
        words = judge_beams(request, completion, oracle) if case.kind == BEAMS else _wrong_json(request, completion)
        judgement.add(Judged(words, tokens=len(completion.tokens)), f"request {number}")


def _wrong_json(request: Request, completion: Completion) -> str:
    """Return why an answer is no JSON of the schema, in words."""
    if completion.finish not in {"end", "stop"}:
        return f"expected finish 'end', found {completion.finish!r} after {len(completion.tokens)} tokens"
    text = decode([token for token in completion.tokens if token != EOS])
    try:
        value = json.loads(text)
    except ValueError as error:
        return f"expected JSON of the schema, found {text!r:.100}: {error}"
    problem = _misfit(json.loads(request.json_schema), value, "$")
    return f"{problem}; the whole is {text!r:.100}" if problem else ""


def _misfit(schema: Mapping[str, Any], value: Any, path: str) -> str:
    """Return where a value does not fit a schema made of the parts that the cases use; empty when it does."""
    if "enum" in schema:
        fits = any(type(value) is type(one) and value == one for one in schema["enum"])
        return "" if fits else f"{path}: expected one of {schema['enum']}, found {value!r:.40}"
    kinds: Mapping[str, type] = {"boolean": bool, "array": list, "object": dict}
    kind = kinds[schema["type"]]
    if not isinstance(value, kind):
        return f"{path}: expected {schema['type']}, found {value!r:.40}"
    if isinstance(value, list):
        if not schema["minItems"] <= len(value) <= schema["maxItems"]:
            return f"{path}: expected {schema['minItems']} to {schema['maxItems']} items, found {len(value)}"
        return next(filter(None, (_misfit(schema["items"], one, f"{path}[{i}]") for i, one in enumerate(value))), "")
    if isinstance(value, dict):
        if set(value) != set(schema["properties"]):
            return f"{path}: expected properties {sorted(schema['properties'])}, found {sorted(value)}"
        parts = schema["properties"].items()
        return next(filter(None, (_misfit(part, value[key], f"{path}.{key}") for key, part in parts)), "")
    return ""
