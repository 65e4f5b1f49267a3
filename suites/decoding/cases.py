"""What backends are asked to decode, beyond greedy batches: pure data, the same on every machine for one seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from pytest_trtcheck._suites.probe_llm.sets import easy_questions, hard_questions
from pytest_trtcheck._suites.probe_llm.tasks import DRAWS, Question, questions, shares
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import LlmCase, Request, Setup

GREEDY, SAMPLED, SEEDED, BEAMS, JSON = "greedy", "sampled", "seeded", "beams", "json"


@dataclass(frozen=True)
class DecodingCase:
    """A case, the check that it belongs to, and how its answers are judged beyond token by token."""

    check_id: str
    kind: str
    case: LlmCase

    @property
    def name(self) -> str:
        """Stable name."""
        return self.case.name


def _ask(question: Question, **demands: object) -> Request:
    most = len(question.answer_ids) + 2
    return replace(Request(tuple(question.prompt_ids), most), **demands)  # type: ignore[arg-type]


def _plain(seed: int) -> tuple[Request, ...]:
    """Short answers of every kind: the end mark comes at another place in each."""
    names = ("brackets", "count", "majority", "add", "sort")
    return tuple(_ask(question) for name in names for question in easy_questions(name, 2, seed))


def _stop_words(seed: int) -> tuple[Request, ...]:
    """Stop words of one, two and three letters: in the middle, at the start, at the end, never, in the prompt only."""
    wanted: tuple[Callable[[str], tuple[str, ...]], ...] = (
        lambda text: (text[7],),
        lambda text: (text[7:9],),
        lambda text: (text[10:13],),
        lambda text: (text[:1],),
        lambda text: (text[:2],),
        lambda text: (text[-2:],),
        lambda _: ("=",),
        lambda _: ("C", "!!"),
        lambda text: (text[15:17], text[4:6]),
        lambda text: (text[5] + "~", text[5:8]),
    )
    return tuple(
        _ask(question, stop=pick(question.answer))
        for pick, question in zip(wanted, easy_questions("copy", len(wanted), seed), strict=True)
    )


def _bad_words(seed: int) -> tuple[Request, ...]:
    """Letters and pairs that the answer would hold, and one that it does not."""
    copies = easy_questions("copy", 4, seed)
    draws = easy_questions("draw", 4, seed)
    return (
        *(_ask(question, bad_words=(question.answer[3],), max_tokens=8) for question in copies[:2]),
        *(_ask(question, bad_words=(question.answer[5:7],), max_tokens=9) for question in copies[2:3]),
        *(_ask(question, bad_words=("~",)) for question in copies[3:]),
        *(_ask(question, bad_words=(question.answer[0],), max_tokens=DRAWS) for question in draws[:2]),
        *(
            _ask(question, bad_words=tuple(list(shares(question.prompt[1:-1]))[:2]), max_tokens=4)
            for question in draws[2:]
        ),
    )


def _repetition(seed: int) -> tuple[Request, ...]:
    """Penalties so strong that letters come which the prompt does not hold, light ones, and a reward."""
    asked = [*easy_questions("copy", 3, seed), *easy_questions("draw", 3, seed), *questions("repeat", 16, 1, seed)]
    return tuple(
        _ask(question, repetition_penalty=penalty, max_tokens=6)
        for penalty in (1.1, 3.0, 6.0, 0.8)
        for question in asked
    )


def _repetition_among_capitals(seed: int) -> tuple[Request, ...]:
    """Ask for tokens with negative logits, which a penalty must make less likely, not more."""
    asked = [*easy_questions("copy", 8, seed), *easy_questions("draw", 4, seed)]
    return tuple(_ask(question, repetition_penalty=1.5, regex="[A-Z]{3}", max_tokens=6) for question in asked)


def _log_probs(seed: int) -> tuple[Request, ...]:
    near = hard_questions(6, seed)
    easy = [*easy_questions("lookup", 2, seed), *easy_questions("draw", 2, seed)]
    return tuple(_ask(question, log_probs=1 + 4 * (number % 3)) for number, question in enumerate((*near, *easy)))


_SCHEMA = """{"type": "object", "required": ["ok", "kind", "list"], "additionalProperties": false, "properties": {
"ok": {"type": "boolean"}, "kind": {"enum": ["a", "bb", "ccc"]},
"list": {"type": "array", "items": {"enum": [1, 20]}, "minItems": 1, "maxItems": 2}}}"""


def _regex(seed: int) -> tuple[Request, ...]:
    """Expressions that the answer would match, and some that force it elsewhere."""
    draws, sums = easy_questions("draw", 4, seed), easy_questions("add", 3, seed)
    return (
        _ask(draws[0], regex="[a-h]{8}"),
        _ask(draws[1], regex="[abcd]{2,3}"),
        _ask(draws[2], regex="(ab|cd|ef|gh)+x"),
        _ask(draws[3], regex="[^a-d]{4}"),
        _ask(sums[0], regex="[0-9]+"),
        _ask(sums[1], regex=r"[0-4]\d{3}"),
        _ask(sums[2], regex="-?[02468]{1,3}"),
        _ask(draws[0]),
    )


def _json_schema(seed: int) -> tuple[Request, ...]:
    asked = [*easy_questions("draw", 2, seed), *easy_questions("count", 2, seed)]
    return tuple(_ask(question, json_schema=_SCHEMA, max_tokens=64) for question in asked)


def _adapter(seed: int) -> tuple[Request, ...]:
    """With and without the adapter in turn; it reverses copies."""
    asked = [*easy_questions("copy", 6, seed), *easy_questions("lookup", 2, seed), *easy_questions("draw", 2, seed)]
    return tuple(_ask(question, adapter=bool(number % 2)) for number, question in enumerate(asked))


def _adapter_told(seed: int) -> tuple[Request, ...]:
    """Ask for log-probabilities too: they show an adapter that is there for the prompt and gone in the answer."""
    return tuple(replace(request, log_probs=2) for request in _adapter(seed))


def _speculated(seed: int) -> tuple[Request, ...]:
    """Ask what is easy to propose, what is hard, and what an n-gram of the prompt proposes wrongly."""
    asked = [
        *hard_questions(6, seed),
        *easy_questions("reverse", 2, seed),
        *easy_questions("copy", 2, seed),
        *questions("repeat", 24, 2, seed),
        *questions("copy", 60, 1, seed),
    ]
    (cut,) = easy_questions("copy", 1, seed + 1)
    return (*map(_ask, asked), _ask(cut, max_tokens=7))


def _speculated_stop(seed: int) -> tuple[Request, ...]:
    """Stop words in the middle of what is easy to propose: proposals run past them."""
    asked = zip((4, 9, 12), easy_questions("copy", 3, seed + 2), strict=True)
    return tuple(_ask(question, stop=(question.answer[at : at + 1 + at % 2],)) for at, question in asked)


def _clear_urns(count: int, seed: int, fits: Callable[[list[float]], bool]) -> list[Question]:
    """Return draws whose shares fit, so that no filter cuts near a tie."""
    rng = random.Random(f"urns/{seed}")  # noqa: S311 - questions, not secrets
    found: list[Question] = []
    while len(found) < count:
        (question,) = questions("draw", 24, 1, rng.randrange(2**31))
        urn = question.prompt[1:-1]
        if fits([part / len(urn) for part in shares(urn).values()]):
            found.append(question)
    return found


def _sampled(seed: int, each: int, fits: Callable[[list[float]], bool], **demands: object) -> tuple[Request, ...]:
    """Several urns, each asked often, every request with a seed of its own."""
    rng = random.Random(f"seeds/{seed}")  # noqa: S311 - seeds of requests, not secrets
    asked = _clear_urns(8, seed, fits)
    return tuple(
        _ask(question, max_tokens=DRAWS, seed=rng.randrange(2**31), **{"temperature": 1.0, **demands})
        for _ in range(each)
        for question in asked
    )


def _any(parts: list[float]) -> bool:
    return len(parts) >= 3


def _cut_after_two(parts: list[float]) -> bool:
    return len(parts) >= 4 and parts[1] - parts[2] > 0.08


def _cut_at_70(parts: list[float]) -> bool:
    sums = [sum(parts[: end + 1]) for end in range(len(parts))]
    return len(parts) >= 4 and parts[0] < 0.6 and all(abs(total - 0.7) > 0.06 for total in sums)


def _seeded(seed: int) -> tuple[Request, ...]:
    """Each prompt twice with one seed, far apart in the list, and once with another."""
    first = _sampled(seed, 2, _any)
    other = tuple(replace(request, seed=(request.seed or 0) + 1) for request in first)
    return (*first, *other, *reversed(first))


def _beams(seed: int) -> tuple[Request, ...]:
    """Answers cut before any can end, so that all beams are of one length."""
    asked = [*hard_questions(2, seed), *easy_questions("draw", 2, seed), *easy_questions("lookup", 1, seed)]
    return tuple(_ask(question, beams=2 + 2 * (number % 2), max_tokens=4) for number, question in enumerate(asked))


def _beams_that_end(seed: int) -> tuple[Request, ...]:
    """Answers whose end is unsure, since such sizes were not trained, under several length penalties."""
    asked = [*questions("count", 50, 8, seed), *questions("brackets", 100, 2, seed)]
    return tuple(
        _ask(question, beams=4, length_penalty=(2.0, 0.5)[number % 2], max_tokens=min(len(question.answer_ids) + 4, 20))
        for number, question in enumerate(asked)
    )


def _together(seed: int) -> tuple[Request, ...]:
    """Every kind of demand in one batch: what one request asks for must not reach its neighbours."""
    copies, draws = easy_questions("copy", 6, seed), easy_questions("draw", 6, seed)
    rng = random.Random(f"together/{seed}")  # noqa: S311 - an order, not a secret
    found = [
        _ask(copies[0]),
        _ask(copies[1], stop=(copies[1].answer[6:8],)),
        _ask(copies[2], bad_words=(copies[2].answer[2],), max_tokens=6),
        _ask(copies[3], repetition_penalty=1.5, max_tokens=6),
        _ask(copies[4], log_probs=3),
        _ask(copies[5], max_tokens=5),
        *(_ask(draw) for draw in draws[:3]),
        *(_ask(draw, temperature=1.0, seed=rng.randrange(2**31), max_tokens=DRAWS) for draw in draws[3:]),
    ]
    rng.shuffle(found)
    return tuple(found)


_Maker = Callable[[int], tuple[Request, ...]]


def _quick() -> Iterator[tuple[str, str, str, Setup, _Maker]]:
    plain = Setup()
    yield "TRC-DEC-001", GREEDY, "ends", plain, _plain
    yield "TRC-DEC-001", GREEDY, "stop_words", plain, _stop_words
    yield "TRC-DEC-001", GREEDY, "bad_words", plain, _bad_words
    yield "TRC-DEC-001", GREEDY, "repetition_penalty", plain, _repetition
    yield "TRC-DEC-001", GREEDY, "repetition_penalty_regex", plain, _repetition_among_capitals
    yield "TRC-DEC-001", GREEDY, "together", plain, _together
    yield "TRC-DEC-002", SAMPLED, "temperature_1", plain, partial(_sampled, each=8, fits=_any)
    yield "TRC-DEC-002", SAMPLED, "temperature_0.6", plain, partial(_sampled, each=8, fits=_any, temperature=0.6)
    yield "TRC-DEC-002", SAMPLED, "temperature_1.5", plain, partial(_sampled, each=8, fits=_any, temperature=1.5)
    yield "TRC-DEC-002", SAMPLED, "top_k_2", plain, partial(_sampled, each=8, fits=_cut_after_two, top_k=2)
    yield "TRC-DEC-002", SAMPLED, "top_p_0.7", plain, partial(_sampled, each=8, fits=_cut_at_70, top_p=0.7)
    yield "TRC-DEC-002", SEEDED, "seeds", plain, _seeded
    yield "TRC-DEC-003", BEAMS, "beams", plain, _beams
    yield "TRC-DEC-003", BEAMS, "beams_that_end", plain, _beams_that_end
    yield "TRC-DEC-004", GREEDY, "log_probs", plain, _log_probs
    yield "TRC-DEC-005", GREEDY, "regex", plain, _regex
    yield "TRC-DEC-005", JSON, "json_schema", plain, _json_schema
    yield "TRC-DEC-006", GREEDY, "adapter", Setup(adapter=True), _adapter
    yield "TRC-DEC-006", GREEDY, "adapter_log_probs", Setup(adapter=True), _adapter_told
    for kind in ("ngram", "draft"):
        yield "TRC-DEC-007", GREEDY, kind, Setup(speculation=kind), _speculated
        yield "TRC-DEC-007", GREEDY, f"{kind}_stop", Setup(speculation=kind), _speculated_stop


def _standard() -> Iterator[tuple[str, str, str, Setup, _Maker]]:
    plain = Setup()
    yield "TRC-DEC-002", SAMPLED, "temperature_1_more", plain, partial(_sampled, each=48, fits=_any)
    both = partial(_sampled, each=24, fits=_cut_after_two, top_k=2, temperature=0.8)
    yield "TRC-DEC-002", SAMPLED, "top_k_and_temperature", plain, both
    for kind in ("eagle", "mtp"):
        yield "TRC-DEC-007", GREEDY, kind, Setup(speculation=kind), _speculated
    for kind, tokens in (("ngram", 1), ("ngram", 7), ("draft", 1), ("draft", 7)):
        setup = Setup(speculation=kind, draft_tokens=tokens)
        yield "TRC-DEC-007", GREEDY, f"{kind}_{tokens}", setup, _speculated


def cases(level: Level, dtype: str, seed: int) -> tuple[DecodingCase, ...]:
    """Return the cases of a level, those of the levels below it included; none at level static."""
    if level is Level.STATIC:
        return ()
    makers = [*_quick(), *(_standard() if level is not Level.QUICK else ())]
    return tuple(
        DecodingCase(check_id, kind, LlmCase(name, replace(setup, dtype=dtype), make(seed)))
        for check_id, kind, name, setup, make in makers
    )
