"""The reference against torch's own attention in fp64, and the comparison against errors of known size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_trtcheck._suites.attention.cases import cases
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import AttentionCase

pytestmark = pytest.mark.torch

PLAIN = [
    case
    for case in cases(Level.QUICK)
    if not (case.rotary_base or case.soft_cap or case.alibi or case.nan_query or case.layout == "paged")
]
CASE = AttentionCase("context", "causal", "packed", (40, 9), (40, 9), 8, 2, 64, "fp16")


def reference(case: AttentionCase, seed: int = 0) -> tuple[Any, Any]:
    from pytest_trtcheck._suites.attention.inputs import make_inputs
    from pytest_trtcheck._suites.attention.reference import make_reference

    inputs = make_inputs(case, seed, "cpu")
    return inputs, make_reference(case, inputs)


def mask_by_loop(case: AttentionCase, index: int) -> Any:
    import torch

    queries, keys = case.query_lengths[index], case.kv_lengths[index]
    seen = torch.zeros(queries, keys, dtype=torch.bool)
    for query in range(queries):
        position = keys - queries + query
        for key in range(keys):
            before = case.mask == "full" or key <= position
            near = not case.window or key > position - case.window
            seen[query, key] = before and near
    return seen


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)
def test_reference_is_torchs_attention_in_fp64(case: AttentionCase) -> None:
    import torch

    inputs, made = reference(case)
    for index, sequence in enumerate(inputs.sequences):
        q, k, v = (part.transpose(0, 1) for part in (sequence.q, sequence.k, sequence.v))
        k, v = (part.repeat_interleave(case.group, dim=0) for part in (k, v))
        expected = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask_by_loop(case, index), scale=case.scale
        )
        start = sum(case.query_lengths[:index]) * case.heads
        mine = made.expected[start : start + case.query_lengths[index] * case.heads].view(
            -1, case.heads, case.head_size
        )
        assert (mine.transpose(0, 1) - expected).abs().max() < 1e-12


def test_reference_is_the_same_however_few_logits_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_trtcheck._suites.attention import reference as module

    _, whole = reference(CASE)
    monkeypatch.setitem(module._MOST_LOGITS, "cpu", 1)
    _, parts = reference(CASE)
    assert (whole.expected - parts.expected).abs().max() < 1e-12
    assert (whole.bound.rms / parts.bound.rms - 1).abs().max() < 0.2


def answer_of(case: AttentionCase, made: Any) -> Any:
    import torch

    return made.expected.view(-1, case.heads, case.head_size).to(torch.float16)


def test_the_rounded_reference_itself_passes() -> None:
    _, made = reference(CASE)
    comparison = made.judge(CASE, answer_of(CASE, made))
    assert comparison.is_within
    assert comparison.error is not None
    assert comparison.error < 0.5 * comparison.allowed


def test_one_wrong_element_is_found_and_its_place_is_named() -> None:
    _, made = reference(CASE)
    answer = answer_of(CASE, made)
    answer[43, 5, 17] += 1.0
    comparison = made.judge(CASE, answer)
    assert not comparison.is_within
    assert comparison.statistic == "largest element"
    assert comparison.axes == ("sequence", "query", "head", "channel")
    assert comparison.index == (1, 3, 5, 17)
    assert "sequence 1, query 3, head 5, channel 17" in comparison.describe()


def test_a_small_error_everywhere_in_one_head_is_found() -> None:
    _, made = reference(CASE)
    answer = answer_of(CASE, made)
    answer[:40, 2] += 0.01
    comparison = made.judge(CASE, answer)
    assert not comparison.is_within
    assert comparison.statistic == "root mean square"
    assert comparison.index[0::2] == (0, 2)


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
def test_what_is_no_number_never_passes(bad: str) -> None:
    _, made = reference(CASE)
    answer = answer_of(CASE, made)
    answer[3, 1, 0] = float(bad)
    comparison = made.judge(CASE, answer)
    assert (comparison.is_within, comparison.error, comparison.found) == (False, None, None)
    assert comparison.index == (0, 3, 1, 0)


def test_a_nan_of_the_reference_must_come_out() -> None:
    case = replace(CASE, nan_query=True)
    _, made = reference(case)
    answer = answer_of(case, made)
    assert made.judge(case, answer).is_within
    comparison = made.judge(case, answer.nan_to_num(0.0))
    assert (comparison.is_within, comparison.expected, comparison.found) == (False, None, 0.0)
    assert comparison.index[:2] == (0, 39)


def test_the_bound_follows_the_dtype() -> None:
    import torch

    bounds = {}
    for dtype in ("fp32", "fp16", "bf16"):
        _, made = reference(replace(CASE, dtype=dtype))
        bounds[dtype] = float(made.bound.rms.median())
    assert torch.finfo(torch.float32).eps < bounds["fp32"] < 1e-2 * bounds["fp16"]
    assert 4 < bounds["bf16"] / bounds["fp16"] < 16


def by_loop(case: AttentionCase, sequence: Any) -> Any:
    """Attention of one sequence once more, number by number and with complex numbers for rotations."""
    import cmath
    import math

    q, k, v = (part.tolist() for part in (sequence.q, sequence.k, sequence.v))
    half = case.head_size // 2

    def turned(row: list[float], position: int) -> list[float]:
        pairs = [(2 * i, 2 * i + 1) if case.rotary_interleaved else (i, i + half) for i in range(half)]
        answer = [0.0] * case.head_size
        for i, (a, b) in enumerate(pairs):
            angle = position * case.rotary_base ** (-2 * i / case.head_size)
            number = complex(row[a], row[b]) * cmath.exp(1j * angle)
            answer[a], answer[b] = number.real, number.imag
        return answer

    queries, keys = len(q), len(k)
    answer = []
    for i in range(queries):
        position = keys - queries + i
        for head in range(case.heads):
            group = head // (case.heads // case.kv_heads)
            row = turned(q[i][head], position) if case.rotary_base else q[i][head]
            logits = []
            for j in range(position + 1):
                is_cached = case.layout == "paged"
                key = turned(k[j][group], j) if case.rotary_base and not is_cached else k[j][group]
                logit = case.scale * math.fsum(a * b for a, b in zip(row, key, strict=True))
                if case.soft_cap:
                    logit = case.soft_cap * math.tanh(logit / case.soft_cap)
                if case.alibi:
                    logit -= 2.0 ** (-8 * (head + 1) / case.heads) * abs(position - j)
                logits.append(logit)
            top = max(logits)
            weights = [math.exp(logit - top) for logit in logits]
            total = math.fsum(weights)
            answer.append([
                math.fsum(weight * v[j][group][channel] for j, weight in enumerate(weights)) / total
                for channel in range(case.head_size)
            ])  # fmt: skip
    return answer


@pytest.mark.parametrize(
    "extra",
    [
        {"rotary_base": 10000.0},
        {"rotary_base": 100.0, "rotary_interleaved": True},
        {"soft_cap": 10.0},
        {"alibi": True},
        {"logit_shift": 100.0},
        {"rotary_base": 10000.0, "soft_cap": 10.0, "alibi": True},
    ],
    ids="-".join,
)
@pytest.mark.parametrize("is_cached", [False, True], ids=["packed", "paged"])
def test_rotary_soft_cap_and_alibi_are_as_the_case_says(extra: dict[str, Any], *, is_cached: bool) -> None:
    import torch

    if is_cached:
        case = AttentionCase("chunked", "causal", "paged", (3,), (11,), 4, 2, 32, "fp32", page_size=16, **extra)
    else:
        case = AttentionCase("context", "causal", "packed", (9,), (9,), 4, 2, 32, "fp32", **extra)
    inputs, made = reference(case)
    expected = torch.tensor(by_loop(case, inputs.sequences[0]), dtype=torch.float64)
    assert (made.expected - expected).abs().max() < 1e-11
