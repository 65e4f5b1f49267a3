"""Mistakes in rounding, and in putting blocks together."""

from __future__ import annotations

from typing import Any

import torch

from pytest_trtcheck._suites.attention.broken.base import Broken
from pytest_trtcheck._suites.attention.providers.eager import Tokens
from pytest_trtcheck._suites.attention.sound import Blocks16, Blockwise, SplitKv
from pytest_trtcheck._suites.support.dtypes import rounded
from pytest_trtcheck.providers import AttentionCase

_TF32_LOST_BITS = 13


class RunningSum(Broken, Blocks16):
    """Answer summed up in the dtype, block by block."""

    name = "broken_running_sum"
    needs = frozenset({"fp16", "bf16"})

    def add(
        self, answer: torch.Tensor, shrink: torch.Tensor, product: torch.Tensor, dtype: torch.dtype
    ) -> torch.Tensor:
        """Return the running answer, rounded."""
        return rounded(super().add(answer, shrink, product, dtype), dtype)


class NotRescaled(Broken, Blockwise):
    """Answer of earlier blocks not rescaled when a later block raises the maximum."""

    name = "broken_not_rescaled"

    def add(
        self,
        answer: torch.Tensor,
        shrink: torch.Tensor,  # noqa: ARG002
        product: torch.Tensor,
        dtype: torch.dtype,  # noqa: ARG002
    ) -> torch.Tensor:
        """Return a plain sum."""
        return answer + product


class PartsUnweighted(Broken, SplitKv):
    """Parts of a split sequence averaged without their weights."""

    name = "broken_parts_unweighted"

    def join(self, answers: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
        """Return the mean over parts that saw anything."""
        seen = (~torch.isinf(sums)).float()
        return (answers * seen).sum(dim=0) / seen.sum(dim=0)


class AnswerInBf16(Broken):
    """Answer rounded to bf16 on the way."""

    name = "broken_answer_in_bf16"
    needs = frozenset({"fp16", "fp32"})

    def combine(self, weights: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the weighted sum with 8 bits."""
        return super().combine(weights, v).to(torch.bfloat16).to(v.dtype)


class ProductsInTf32(Broken):
    """Products of fp32 taken with 11 bits, as TF32 does."""

    name = "broken_products_in_tf32"
    needs = frozenset({"fp32"})

    def attend(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> torch.Tensor:
        """Return the answer from shortened numbers."""
        return super().attend(case, inputs, Tokens(tokens.number, *map(_shortened, tokens[1:])))


class NanSwallowed(Broken):
    """NaN turned into zero."""

    name = "broken_nan_swallowed"
    needs = frozenset({"nan_query"})

    def combine(self, weights: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return numbers only."""
        return super().combine(weights, v).nan_to_num(0.0)


def _shortened(tensor: torch.Tensor) -> torch.Tensor:
    """Return fp32 numbers without the bits that TF32 drops."""
    kept = ~((1 << _TF32_LOST_BITS) - 1)
    return (tensor.contiguous().view(torch.int32) & kept).view(torch.float32)


PRECISION = (RunningSum, NotRescaled, PartsUnweighted, AnswerInBf16, ProductsInTf32, NanSwallowed)
