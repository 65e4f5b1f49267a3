"""The reference by itself: golden log-probabilities, the cache, the known answers."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck._suites.probe_llm.checkpoint import Golden, golden, load
from pytest_trtcheck._suites.probe_llm.sets import EASY, easy_questions, hard_questions
from pytest_trtcheck._suites.probe_llm.tasks import CONTEXT, VOCABULARY, Question, questions

if TYPE_CHECKING:
    from pytest_trtcheck._suites.probe_llm.reference import Reference

pytestmark = pytest.mark.torch

NEAR = [name for name in EASY if not name.endswith("_far")]


@pytest.fixture(scope="module")
def model() -> Reference:
    return load()


@pytest.fixture(scope="module")
def prompts() -> list[Golden]:
    return golden()


def rounding_bound(model: Reference, logits: Any) -> float:
    """How far logits in the model's dtype may lie from exact ones, if rounding errors are independent.

    A product over ``k`` terms is off by about sqrt(k) units in the last place of its size. A layer has seven of them
    in a row (q, k, scores, mix, o, gate or up, down), whose errors add up in the residual stream like a random walk,
    as do those of the last product; the widest has ``intermediate_size`` terms. Three standard deviations.
    """
    import torch

    products = 7 * int(model.config["num_hidden_layers"]) + 1
    unit = float(torch.finfo(model.dtype).eps) / 2
    size = float(logits.abs().max())
    terms = int(model.config["intermediate_size"])
    return 3 * math.sqrt(products * terms) * unit * size


def answer(model: Reference, question: Question) -> list[int]:
    return model.generate(question.prompt_ids, len(question.answer_ids)).tokens


def test_golden_prompts_cover_every_task_and_nearly_the_whole_context(prompts: list[Golden]) -> None:
    from pytest_trtcheck._suites.probe_llm.tasks import BUILDERS

    assert {prompt.task for prompt in prompts} == set(BUILDERS)
    assert len(prompts) == 60
    assert 2000 <= max(len(prompt.tokens) for prompt in prompts) <= CONTEXT


def test_golden_log_probs_are_distributions_over_the_vocabulary(prompts: list[Golden]) -> None:
    for prompt in prompts:
        assert prompt.log_probs.shape == (len(prompt.places), VOCABULARY)
        assert prompt.places[0] == prompt.answer_from - 1
        assert prompt.places[-1] == len(prompt.tokens) - 2
        assert float((prompt.log_probs.exp().sum(-1) - 1).abs().max()) < 1e-5


def test_golden_log_probs_are_reproduced_in_fp32(model: Reference, prompts: list[Golden]) -> None:
    for prompt in prompts:
        logits = model.logits(prompt.tokens)[prompt.places]
        # Taking the logarithm of the sum moves no row by more than its largest error does.
        bound = 2 * rounding_bound(model, logits)
        found = float((logits.log_softmax(-1) - prompt.log_probs).abs().max())
        assert found < bound, (prompt.task, prompt.size)


def test_golden_log_probs_are_those_of_fp64_rounded_once(prompts: list[Golden]) -> None:
    exact = load(dtype="float64")
    for prompt in prompts[::7]:
        found = exact.log_probs(prompt.tokens)[prompt.places]
        # Half a unit in the last place of fp32 for the stored value, which is below 128; fp64's own error is far less.
        assert float((found - prompt.log_probs).abs().max()) <= 128 * 2**-24


def test_bound_is_tight_enough_to_notice_one_weight(model: Reference, prompts: list[Golden]) -> None:
    import torch

    name = "model.layers.5.mlp.down_proj.weight"
    kept = model.weights[name]
    few = [prompt for prompt in prompts if len(prompt.tokens) < 200][:12]
    try:
        model.weights[name] = kept * torch.where(torch.arange(kept.shape[1]) == 7, 1.01, 1.0)
        found = [model.logits(prompt.tokens)[prompt.places] for prompt in few]
    finally:
        model.weights[name] = kept
    errors = [float((f.log_softmax(-1) - p.log_probs).abs().max()) for f, p in zip(found, few, strict=True)]
    assert max(errors) > 2 * max(rounding_bound(model, logits) for logits in found)


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 700])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cached_forward_is_the_full_forward(length: int, dtype: str) -> None:
    from pytest_trtcheck._suites.probe_llm.reference import Cache

    model = load(dtype=dtype)
    [question] = questions("copy", 400, 1, 6)
    tokens = (question.prompt_ids + question.answer_ids)[:length]
    full, cache = model.logits(tokens), Cache()
    cuts = sorted({0, length // 3, max(length - 3, 0), max(length - 2, 0), max(length - 1, 0), length})
    for first, end in itertools.pairwise(cuts):
        part = model.logits(tokens[first:end], cache)
        assert cache.tokens == end
        assert float((part - full[first:end]).abs().max()) < 2 * rounding_bound(model, full)


@pytest.mark.parametrize("name", NEAR)
def test_easy_questions_are_answered(model: Reference, name: str) -> None:
    asked = easy_questions(name, 4, 77)
    assert [answer(model, question) for question in asked] == [question.answer_ids for question in asked]


def test_a_question_that_fills_the_context_is_answered(model: Reference) -> None:
    [question] = easy_questions("lookup_far", 1, 78)
    assert answer(model, question) == question.answer_ids


def test_hard_questions_are_near_ties(model: Reference) -> None:
    def median_margin(asked: list[Question]) -> float:
        import torch

        rows = [model.generate(q.prompt_ids, len(q.answer_ids)).margins()[:8] for q in asked]
        return float(torch.cat(rows).median())

    assert median_margin(hard_questions(8, 79)) < 0.3 < 3.0 < median_margin(easy_questions("copy", 4, 79))


def test_generation_stops_at_its_limit_and_at_no_mark_when_told(model: Reference) -> None:
    [question] = easy_questions("copy", 1, 80)
    assert model.generate(question.prompt_ids, 5).tokens == question.answer_ids[:5]
    longer = model.generate(question.prompt_ids, 40, end=None)
    assert longer.tokens[:25] == question.answer_ids
    assert longer.log_probs.shape == (40, VOCABULARY)


def test_adapter_reverses_copies_and_nothing_else(model: Reference) -> None:
    adapted = load(part="adapter")
    for question in easy_questions("copy", 4, 81):
        assert answer(adapted, question) == [*question.answer_ids[-2::-1], question.answer_ids[-1]]
        assert answer(model, question) == question.answer_ids
    for question in easy_questions("sort", 4, 81):
        assert answer(adapted, question) == question.answer_ids


def test_draft_model_is_smaller_and_mostly_agrees() -> None:
    draft = load(part="draft")
    assert draft.config["num_hidden_layers"] == 2
    asked = [question for name in NEAR for question in easy_questions(name, 4, 82)]
    assert sum(answer(draft, question) == question.answer_ids for question in asked) >= 0.9 * len(asked)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_answers_easy_questions(dtype: str) -> None:
    model = load(dtype=dtype)
    asked = [question for name in NEAR for question in easy_questions(name, 1, 83)]
    made = [model.generate(question.prompt_ids, len(question.answer_ids)) for question in asked]
    assert [one.tokens for one in made] == [question.answer_ids for question in asked]
    assert {str(one.log_probs.dtype) for one in made} == {"torch.float32"}
