"""Mistakes between the product of Q and K and the weights."""

from __future__ import annotations

import math
from typing import Any

import torch

from pytest_trtcheck._suites.attention.broken.base import Broken
from pytest_trtcheck.providers import AttentionCase


class ScaleMissing(Broken):
    """Softmax scale missing."""

    name = "broken_scale_missing"

    def scale(self, case: AttentionCase) -> float:  # noqa: ARG002
        """Return 1."""
        return 1.0


class ScaleOfHalfHead(Broken):
    """Softmax scale of half the head size."""

    name = "broken_scale_of_half_head"

    def scale(self, case: AttentionCase) -> float:
        """Return a scale that is too large by the square root of 2."""
        return case.scale * math.sqrt(2)


class ScaleOnePercentOff(Broken):
    """Softmax scale too large by 1 %."""

    name = "broken_scale_one_percent"

    def scale(self, case: AttentionCase) -> float:
        """Return it."""
        return case.scale * 1.01


class ScaleNotTaken(Broken):
    """Explicit softmax scale ignored: the head size's is used."""

    name = "broken_scale_not_taken"
    needs = frozenset({"scale"})

    def scale(self, case: AttentionCase) -> float:
        """Return the default."""
        return float(case.head_size**-0.5)


class HalfTheHead(Broken):
    """Q and K are multiplied over the first half of the channels only."""

    name = "broken_half_the_head"

    def logits(self, case: AttentionCase, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """Return logits of half the channels."""
        half = case.head_size // 2
        return super().logits(case, q[..., :half], k[..., :half])


class UniformWeights(Broken):
    """All visible keys weigh the same."""

    name = "broken_uniform_weights"

    def softmax(self, logits: torch.Tensor) -> torch.Tensor:
        """Return equal weights."""
        return torch.where(torch.isinf(logits), logits, 0.0).softmax(dim=-1)


class WrongAxis(Broken):
    """Softmax over the queries."""

    name = "broken_softmax_axis"

    def softmax(self, logits: torch.Tensor) -> torch.Tensor:
        """Return weights that add up to 1 for each key."""
        return logits.softmax(dim=-2).nan_to_num(0.0)


class NoMaximum(Broken):
    """Softmax in fp16 without subtracting the maximum."""

    name = "broken_softmax_overflow"

    def softmax(self, logits: torch.Tensor) -> torch.Tensor:
        """Return weights from exponentials that may overflow."""
        exponentials = logits.exp().half()
        return exponentials.float() / exponentials.float().sum(dim=-1, keepdim=True)


class CapIgnored(Broken):
    """Soft cap ignored."""

    name = "broken_cap_ignored"
    needs = frozenset({"soft_cap"})

    def cap(self, case: AttentionCase, logits: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Return the logits as they are."""
        return logits


class CapBeforeScale(Broken):
    """Soft cap applied before the softmax scale."""

    name = "broken_cap_before_scale"
    needs = frozenset({"soft_cap"})

    def cap(self, case: AttentionCase, logits: torch.Tensor) -> torch.Tensor:
        """Return capped logits, scaled last."""
        return super().cap(case, logits / case.scale) * case.scale


class AlibiIgnored(Broken):
    """ALiBi ignored."""

    name = "broken_alibi_ignored"
    needs = frozenset({"alibi"})

    def bias(self, case: AttentionCase, inputs: Any, logits: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Return the logits as they are."""
        return logits


class AlibiSign(Broken):
    """ALiBi with its sign turned round."""

    name = "broken_alibi_sign"
    needs = frozenset({"alibi"})

    def bias(self, case: AttentionCase, inputs: Any, logits: torch.Tensor) -> torch.Tensor:
        """Return logits that grow with the distance."""
        return 2 * logits - super().bias(case, inputs, logits)


class AlibiNextHead(Broken):
    """ALiBi with the slope of the next head."""

    name = "broken_alibi_next_head"
    needs = frozenset({"alibi"})

    def bias(self, case: AttentionCase, inputs: Any, logits: torch.Tensor) -> torch.Tensor:
        """Return logits with the slopes of other heads."""
        right = super().bias(case, inputs, torch.zeros_like(logits))
        return logits + right.roll(-1, dims=0)


LOGITS = (
    ScaleMissing,
    ScaleOfHalfHead,
    ScaleOnePercentOff,
    ScaleNotTaken,
    HalfTheHead,
    UniformWeights,
    WrongAxis,
    NoMaximum,
    CapIgnored,
    CapBeforeScale,
    AlibiIgnored,
    AlibiSign,
    AlibiNextHead,
)
