"""The replica of upstream's grid: its 49 cases, its inputs, its criterion."""

from __future__ import annotations

import unittest
from collections import Counter
from typing import Any

import pytest

from pytest_trtcheck._suites.attention.upstream import (
    ATOL,
    GRID,
    GridCase,
    GridOutcome,
    grid_providers,
    make_grid_inputs,
    run_grid_case,
    run_on_first,
)
from pytest_trtcheck.providers import AttentionCase, Refused

SMALL = GridCase(2, 64, 16, 32, "disabled", "fp16")
torch_only = pytest.mark.torch


def test_the_grid_is_upstreams() -> None:
    assert len(GRID) == len(set(GRID)) == 49
    assert GRID[0] == GridCase(1, 128, 12, 64, "disabled", "fp32")
    rest = GRID[1:]
    assert {case.dtype for case in rest} == {"fp16"}
    assert {case.heads for case in rest} == {16}
    assert Counter(case.batch for case in rest) == {1: 24, 8: 24}
    assert Counter(case.length for case in rest) == {64: 12, 256: 12, 512: 12, 1024: 12}
    assert Counter(case.head_size for case in rest) == {32: 24, 64: 24}
    assert Counter(case.fmha for case in rest) == {"disabled": 16, "enabled": 16, "enabled_with_fp32_acc": 16}


def test_its_module_runs_all_cases_under_plain_unittest_names() -> None:
    from pytest_trtcheck._suites.attention.test_upstream_grid import UpstreamGrid

    names = unittest.defaultTestLoader.getTestCaseNames(UpstreamGrid)
    assert len(names) == 49
    assert names[0] == "test_bert_attention_00_fp32_b1_s128_h12_d64_fmha_disabled"


def test_an_outcome_tells_both_differences() -> None:
    assert GridOutcome(passed=False, max_error=0.25, seconds=0.0).describe().endswith(": 0.25, allowed 0.001")
    assert "no number" in GridOutcome(passed=False, max_error=None, seconds=0.0).describe()


@torch_only
def test_inputs_have_upstreams_scales() -> None:
    inputs, expected = make_grid_inputs(SMALL, "cpu", 0)
    assert inputs.q.shape == (2, 64, 16, 32)
    assert expected.shape == (2, 64, 512)
    # The bias, of scale 1e-2, is nearly all there is: states of 1e-3 add less than a tenth.
    assert inputs.v is not None
    values = inputs.v.float()
    assert 0.008 < float(values.std()) < 0.012
    assert 0.0003 < float((values - values.mean(dim=1, keepdim=True)).std()) < 0.0011


@torch_only
@pytest.mark.parametrize(
    ("kernel", "passes"),
    [
        ("torch_eager", True),
        ("broken_scale_missing", True),
        ("broken_uniform_weights", True),
        ("broken_batch_mixed", True),
        ("broken_heads_swapped", False),
        ("broken_last_head", False),
        ("broken_shape", False),
    ],
)
def test_upstreams_criterion_sees_what_it_saw_upstream(kernel: str, passes: bool) -> None:
    from pytest_trtcheck._suites.attention.broken import BROKEN
    from pytest_trtcheck._suites.attention.providers.eager import Eager

    kernels: tuple[type[Eager], ...] = (Eager, *BROKEN)
    provider = next(known for known in kernels if known.name == kernel)()
    outcome = run_grid_case(SMALL, provider, "cpu", 3)
    assert outcome.passed is passes
    assert passes == (outcome.max_error is not None and outcome.max_error <= ATOL)


@torch_only
def test_torch_stands_in_and_a_kernel_that_declines_gives_way_to_the_next() -> None:
    from pytest_trtcheck._suites.attention.providers.eager import Eager

    class Declining(Eager):
        name = "declining"

        def run(self, case: AttentionCase, inputs: Any) -> Any:
            raise Refused("not today")

    assert grid_providers(SMALL, "cpu")[0].name == "torch_math"
    provider, outcome = run_on_first(SMALL, [Declining(), Eager()], "cpu", 0)
    assert (provider.name, outcome.passed) == ("torch_eager", True)
    with pytest.raises(Refused, match="declining: not today"):
        run_on_first(SMALL, [Declining()], "cpu", 0)
