"""The transformers backend on the installed library, on a CPU, held against the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib import metadata
from typing import Any

import pytest

pytestmark = [pytest.mark.torch, pytest.mark.transformers]
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from pytest_trtcheck._suites.probe_llm import checkpoint, sets  # noqa: E402
from pytest_trtcheck._suites.probe_llm.providers.transformers import BACKENDS  # noqa: E402
from pytest_trtcheck._suites.probe_llm.reference import Reference  # noqa: E402
from pytest_trtcheck._suites.probe_llm.tasks import EOS, Question, encode  # noqa: E402
from pytest_trtcheck.providers import LlmCase, LlmSession, Model, Refused, Request, Setup, Where  # noqa: E402

HERE = Where(
    "cpu",
    versions={"transformers": metadata.version("transformers"), "torch": torch.__version__},
    distributions={"peft": ""},
)
FOLDERS = Model(checkpoint.MODEL, checkpoint.MODEL / "lora", checkpoint.MODEL / "draft")
PLAIN, STATIC = BACKENDS
QUESTIONS = [question for name in ("copy", "sort", "add") for question in sets.easy_questions(name, 2, 1)]
COPY = QUESTIONS[0]


def asked(question: Question, **options: Any) -> Request:
    return Request(tuple(question.prompt_ids), **{"max_tokens": 32, **options})


@pytest.fixture(scope="module")
def model() -> Reference:
    return checkpoint.load()


@pytest.fixture(scope="module")
def opened() -> Iterator[LlmSession]:
    session = PLAIN.open(Setup("fp32"), FOLDERS, HERE)
    yield session
    session.close()


def check(session: LlmSession, model: Reference, **options: Any) -> None:
    """Hold greedy answers to all questions together against the reference."""
    answers = session.generate([asked(question, **options) for question in QUESTIONS])
    for question, answer in zip(QUESTIONS, answers, strict=True):
        assert list(answer.tokens) == model.generate(question.prompt_ids, 32).tokens
        assert answer.finish == "end"


def test_a_padded_batch_answers_as_the_reference_does(opened: LlmSession, model: Reference) -> None:
    check(opened, model)


def test_log_probabilities_are_those_of_the_model(opened: LlmSession, model: Reference) -> None:
    answers = opened.generate([asked(question, log_probs=2) for question in QUESTIONS])
    for question, answer in zip(QUESTIONS, answers, strict=True):
        expected = model.generate(question.prompt_ids, 32).log_probs
        assert len(answer.log_probs) == len(answer.tokens)
        for row, told in zip(expected, answer.log_probs, strict=True):
            assert told == pytest.approx({token: float(row[token]) for token in told}, abs=1e-4)


def test_each_row_of_a_batch_ends_by_its_own_rule(opened: LlmSession) -> None:
    answer = COPY.answer
    ended = opened.generate(
        [
            asked(COPY),
            asked(COPY, max_tokens=3),
            asked(COPY, cancel_after=5),
            asked(COPY, stop=(answer[4:6],)),
            asked(COPY, stop=(answer[2], answer[7:9])),
            asked(COPY, streaming=True),
            Request((), 4),
            Request((1, *encode("a" * 2047)), 4),
        ]
    )
    assert [(one.tokens, one.finish) for one in ended[:6]] == [
        ((*encode(answer), EOS), "end"),
        (tuple(encode(answer[:3])), "length"),
        (tuple(encode(answer[:5])), "cancelled"),
        (tuple(encode(answer[:4])), "stop"),
        (tuple(encode(answer[:2])), "stop"),
        ((*encode(answer), EOS), "end"),
    ]
    assert ended[5].pieces == (1,) * len(ended[5].tokens)
    assert [one.words for one in ended[6:]] == [
        "the prompt is empty: expected one token at least",
        "the prompt has 2048 tokens: expected 2047 at most",
    ]


def test_the_length_limit_holds_for_prompt_and_answer_together() -> None:
    session = PLAIN.open(Setup("fp32", length_limit=len(COPY.prompt_ids) + 4, slots=1), FOLDERS, HERE)
    (answer,) = session.generate([asked(COPY)])
    session.close()
    assert (answer.tokens, answer.finish) == (tuple(encode(COPY.answer[:4])), "length")


def test_bad_words_and_penalties_change_the_answer(opened: LlmSession, model: Reference) -> None:
    letter = COPY.answer[3]
    plain, banned, penalized = opened.generate(
        [asked(COPY), asked(COPY, bad_words=(letter,)), asked(QUESTIONS[2], repetition_penalty=30.0)]
    )
    assert encode(letter)[0] in plain.tokens
    assert encode(letter)[0] not in banned.tokens
    # By hand: logits of all that was seen, divided where positive and multiplied where negative.
    prompt = QUESTIONS[2].prompt_ids
    row = model.logits([*prompt, *penalized.tokens[:2]])[-1]
    seen = torch.tensor(sorted({*prompt, *penalized.tokens[:2]}))
    row[seen] = torch.where(row[seen] > 0, row[seen] / 30.0, row[seen] * 30.0)
    assert int(row.argmax()) == penalized.tokens[2]


def test_a_seed_makes_sampling_repeatable_and_leaves_torch_alone(opened: LlmSession) -> None:
    prompt = sets.hard_questions(1, 3)[0]
    before = torch.get_rng_state()
    answers = opened.generate([asked(prompt, temperature=1.0, seed=seed) for seed in (1, 2, 1)])
    assert torch.equal(before, torch.get_rng_state())
    assert answers[0].tokens == answers[2].tokens != answers[1].tokens
    narrow = opened.generate([asked(prompt, temperature=5.0, top_k=1, seed=1), asked(prompt)])
    assert narrow[0].tokens == narrow[1].tokens


def test_beams_are_told_with_the_sums_of_their_log_probabilities(opened: LlmSession, model: Reference) -> None:
    question = sets.hard_questions(1, 1)[0]
    (answer,) = opened.generate([asked(question, beams=3, length_penalty=0.5, log_probs=1)])
    assert answer.beams[0][0] == answer.tokens
    assert len({tokens for tokens, _ in answer.beams}) == 3
    for tokens, total in answer.beams:
        rows = model.log_probs([*question.prompt_ids, *tokens])[len(question.prompt_ids) - 1 : -1]
        assert total == pytest.approx(sum(float(row[token]) for row, token in zip(rows, tokens, strict=True)), abs=1e-3)
    told = [row[token] for row, token in zip(answer.log_probs, answer.tokens, strict=True)]
    assert sum(told) == pytest.approx(answer.beams[0][1], abs=1e-3)


SETUPS = {
    "ngram": Setup("fp32", speculation="ngram"),
    "draft": Setup("fp32", speculation="draft"),
    "chunks": Setup("fp32", chunk=16),
    "slots": Setup("fp32", slots=2),
}


@pytest.mark.parametrize("name", SETUPS)
def test_no_setup_changes_greedy_answers(name: str, model: Reference) -> None:
    case = LlmCase(name, SETUPS[name], (asked(COPY),))
    if PLAIN.why_not(case, HERE):
        pytest.skip(PLAIN.why_not(case, HERE))
    session = PLAIN.open(SETUPS[name], FOLDERS, HERE)
    check(session, model)
    session.close()


def test_a_static_cache_does_not_change_greedy_answers(model: Reference) -> None:
    words = STATIC.why_not(LlmCase("x", Setup("fp32"), (asked(COPY),)), HERE)
    if words.startswith("not before"):
        pytest.skip(words)
    assert words == "a static cache is for compiled steps on GPUs"
    session = STATIC.open(Setup("fp32"), FOLDERS, HERE)
    check(session, model)
    session.close()


def test_the_adapter_serves_its_own_rows_of_a_batch_only(model: Reference) -> None:
    pytest.importorskip("peft")
    adapted = checkpoint.load(part="adapter")
    session = PLAIN.open(Setup("fp32", adapter=True), FOLDERS, HERE)
    requests = [asked(question, adapter=bool(number % 2)) for number, question in enumerate(QUESTIONS)]
    answers = session.generate(requests)
    session.close()
    for request, answer in zip(requests, answers, strict=True):
        expected = (adapted if request.adapter else model).generate(request.prompt, 32)
        assert list(answer.tokens) == expected.tokens
    shouted = adapted.generate(QUESTIONS[1].prompt_ids, 32).tokens
    assert shouted != model.generate(QUESTIONS[1].prompt_ids, 32).tokens, "the adapter must show"


def test_an_option_that_the_release_does_not_know_is_refused_by_name(
    opened: LlmSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    known = vars(transformers.GenerationConfig())

    class Older:
        def __init__(self, **options: Any) -> None:
            self.__dict__.update({name: None for name in known if name != "stop_strings"})

    monkeypatch.setattr(transformers, "GenerationConfig", Older)
    with pytest.raises(Refused, match="GenerationConfig of this release knows no stop_strings"):
        opened.generate([asked(COPY, stop=("a",))])


def test_an_end_without_a_reason_is_an_error(opened: LlmSession, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_trtcheck._suites.probe_llm.providers import transformers_session

    limits = transformers_session.row_limits
    sooner = partial(_sooner, limits)
    monkeypatch.setattr(transformers_session, "row_limits", sooner)
    with pytest.raises(RuntimeError, match="generate gave 2 of 32 tokens and no reason"):
        opened.generate([asked(COPY, max_tokens=32)])


def _sooner(limits: Any, lengths: list[int], device: str) -> Any:
    """Return a rule that ends rows thirty tokens before their limit."""
    return limits([length - 30 for length in lengths], device)


OLD = replace(HERE, versions={"transformers": "4.44.2"})
FIRST = replace(HERE, versions={"transformers": "4.57.6"})


@pytest.mark.parametrize(
    ("setup", "options", "where", "words"),
    [
        (Setup("fp32"), {}, OLD, "the calls used here came with transformers 4.45"),
        (Setup("fp32", chunk=4), {}, FIRST, "no chunked_context"),
        (Setup("fp32", adapter=True), {}, replace(HERE, distributions={}), "no adapter"),
        (Setup("fp32", kv_dtype="int8"), {}, HERE, "no int8_kv"),
        (Setup("fp32", prefix_reuse=True), {}, HERE, "no prefix_reuse"),
        (Setup("fp32"), {"beams": 2, "streaming": True}, HERE, "beams are neither streamed nor speculated on"),
        (Setup("fp32"), {"regex": "a"}, HERE, "no regex"),
        (Setup("fp32"), {"after": 0}, HERE, "no arrivals"),
    ],
)
def test_what_is_out_of_reach_is_said(setup: Setup, options: dict[str, Any], where: Where, words: str) -> None:
    assert PLAIN.why_not(LlmCase("x", setup, (asked(COPY, **options),)), where) == words


def test_a_quantized_cache_is_offered_where_its_library_is() -> None:
    case = LlmCase("x", Setup("fp32", kv_dtype="int8"), (asked(COPY),))
    assert PLAIN.why_not(case, replace(HERE, distributions={"optimum-quanto": "0.2.7"})) == ""
