"""The reference against transformers and peft, token for token and logit for logit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL, load
from pytest_trtcheck._suites.probe_llm.sets import EASY, easy_questions, hard_questions
from pytest_trtcheck._suites.probe_llm.tasks import BUILDERS, CONTEXT, Question, decode, encode, questions

if TYPE_CHECKING:
    from pytest_trtcheck._suites.probe_llm.reference import Reference

pytestmark = [pytest.mark.torch, pytest.mark.transformers]

SIZES = {"copy": (1, 24, 250), "lookup": (1, 8, 60), "majority": (5, 255)}


def asked(task: str) -> list[Question]:
    return [q for size in SIZES.get(task, (4, 24)) for q in questions(task, size, 1 if size > 100 else 2, 91)]


def loaded(part: str, dtype: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(MODEL / part, dtype=getattr(torch, dtype)).eval()


def make_exact(model: Any) -> None:
    """Let transformers compute RoPE angles and norms in fp64: it does so in fp32 whatever the weights are."""
    import torch

    def angles(x: Any, position_ids: Any) -> tuple[Any, Any]:
        half = model.config.head_dim // 2
        rates = 10000.0 ** -(torch.arange(half, dtype=torch.float64) / half)
        angle = (position_ids[..., None].double() * rates).repeat(1, 1, 2)
        return angle.cos().to(x.dtype), angle.sin().to(x.dtype)

    def norm(module: Any, x: Any) -> Any:
        wide = x.double()
        scaled = wide * (wide.square().mean(-1, keepdim=True) + module.variance_epsilon).rsqrt()
        return module.weight * scaled.to(x.dtype)

    model.model.rotary_emb.forward = angles
    for module in model.modules():
        if type(module).__name__ == "LlamaRMSNorm":
            module.forward = partial(norm, module)


def both(dtype: str) -> Iterator[tuple[Reference, Any]]:
    import torch

    theirs = loaded("", dtype)
    make_exact(theirs)
    with torch.inference_mode():
        yield load(dtype=dtype), theirs


@pytest.fixture(scope="module", params=["float32", "float64"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Reference, Any]]:
    yield from both(request.param)


@pytest.fixture(scope="module")
def single() -> Iterator[tuple[Reference, Any]]:
    """In fp32 only: for tokens, which follow from logits, and for lengths that take seconds in fp64."""
    yield from both("float32")


def difference(ours: Reference, theirs: Any, tokens: list[int]) -> tuple[float, float]:
    """Return the largest difference of logits, and the largest logit."""
    import torch

    mine, wanted = ours.logits(tokens), theirs(torch.tensor([tokens])).logits[0]
    return float((mine - wanted).abs().max()), float(wanted.abs().max())


def tolerance(ours: Reference, size: float) -> float:
    """Return twice the bound on one side's rounding: 43 products of at most 512 terms in a row, three deviations."""
    import torch

    return 2 * 3 * math.sqrt(43 * 512) * float(torch.finfo(ours.dtype).eps) / 2 * size


@pytest.mark.parametrize("task", BUILDERS)
def test_logits_are_those_of_transformers(pair: tuple[Reference, Any], task: str) -> None:
    for question in asked(task):
        found, size = difference(*pair, question.prompt_ids + question.answer_ids)
        assert found < tolerance(pair[0], size), question


def tokens_of_length(length: int) -> list[int]:
    return [token for q in questions("lookup", 300, 2, 92) for token in q.prompt_ids][:length]


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 129])
def test_logits_are_those_of_transformers_at_any_length(pair: tuple[Reference, Any], length: int) -> None:
    found, size = difference(*pair, tokens_of_length(length))
    assert found < tolerance(pair[0], size)


def test_logits_are_those_of_transformers_over_the_whole_context(single: tuple[Reference, Any]) -> None:
    found, size = difference(*single, tokens_of_length(CONTEXT))
    assert found < tolerance(single[0], size)


def test_fp32_angles_of_transformers_cost_less_than_they_may() -> None:
    """Untouched, its angles are off by half a unit of the largest, 500 radians; logits move a few times that."""
    import torch

    ours, theirs = load(dtype="float64"), loaded("", "float64")
    [question] = questions("copy", 250, 1, 93)
    with torch.inference_mode():
        found, size = difference(ours, theirs, question.prompt_ids + question.answer_ids)
    angle = 500 * 2**-24
    assert 1e-9 < found < 2 * ours.config["num_hidden_layers"] * angle * size


@pytest.mark.parametrize("name", [*EASY, "hard"])
def test_greedy_tokens_are_those_of_transformers(single: tuple[Reference, Any], name: str) -> None:
    import torch

    ours, theirs = single
    count, most = (1, 16) if name.endswith("_far") else (2, 64)
    for question in hard_questions(4, 94) if name == "hard" else easy_questions(name, count, 94):
        prompt, limit = torch.tensor([question.prompt_ids]), min(len(question.answer_ids), most)
        made = theirs.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=limit)
        assert ours.generate(question.prompt_ids, limit).tokens == made[0, prompt.shape[1] :].tolist()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft, transformers
@pytest.mark.parametrize("part", ["draft", "lora"])
def test_draft_model_and_adapter_are_those_that_the_libraries_load(part: str) -> None:
    import torch
    from peft import PeftModel

    if part == "draft":
        ours, theirs = load(dtype="float64", part="draft"), loaded("draft", "float64")
    else:
        ours, theirs = load(dtype="float64", part="adapter"), loaded("", "float64")
        theirs = PeftModel.from_pretrained(theirs, MODEL / "lora").double().eval().merge_and_unload()
    make_exact(theirs)
    with torch.inference_mode():
        for question in asked("copy"):
            found, size = difference(ours, theirs, question.prompt_ids + question.answer_ids)
            assert found < tolerance(ours, size)


@pytest.mark.parametrize("task", BUILDERS)
def test_fast_tokenizer_gives_the_tokens_of_the_tasks(task: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    for question in asked(task):
        tokens = tokenizer(question.prompt).input_ids
        assert tokens == question.prompt_ids
        assert tokenizer.decode(tokens, skip_special_tokens=True) == decode(tokens) == question.prompt
        assert tokenizer.decode(question.answer_ids, skip_special_tokens=True) == question.answer


def test_fast_tokenizer_knows_every_printable_character_and_no_other() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    text = "".join(chr(i) for i in range(32, 127)) + "\n  two  spaces\té€"
    assert tokenizer(text, add_special_tokens=False).input_ids == encode(text)
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (
        0,
        1,
        2,
        3,
    )
    assert len(tokenizer) == 128
