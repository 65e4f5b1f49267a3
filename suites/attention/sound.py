"""Sound variants: what kernels do differently from one another without being wrong. None may ever be flagged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pytest_trtcheck._suites.attention.providers.eager import Eager, Tokens
from pytest_trtcheck.providers import AttentionCase

_LOWEST = -1e30
"""Stands in for the highest logit of a block that is all hidden."""


class FromLogits(Eager):
    """Softmax and product in one step: ``combine`` is given masked logits for weights."""

    def softmax(self, logits: torch.Tensor) -> torch.Tensor:
        """Hand the masked logits on as they are."""
        return logits


class Blockwise(FromLogits):
    """Keys in blocks of 64, with a running maximum, total and answer, as FlashAttention has them."""

    name = "sound_blocks_64"
    block = 64

    def combine(self, weights: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the answer from masked logits."""
        top = weights.new_full((*weights.shape[:-1], 1), -math.inf)
        total, answer = torch.zeros_like(top), weights.new_zeros((*weights.shape[:-1], v.shape[-1]))
        values = v.float()
        for start in self.starts(weights.shape[-1]):
            part = weights[..., start : start + self.block]
            highest = torch.maximum(top, part.amax(dim=-1, keepdim=True)).clamp(min=_LOWEST)
            exponentials, shrink = (part - highest).exp(), (top - highest).exp()
            product = exponentials.to(v.dtype).float() @ values[..., start : start + self.block, :]
            total = total * shrink + exponentials.sum(dim=-1, keepdim=True)
            answer = self.add(answer, shrink, product, v.dtype)
            top = highest
        return (answer / total).to(v.dtype)

    def starts(self, keys: int) -> Sequence[int]:
        """Return where blocks begin, in the order in which they are taken."""
        return range(0, keys, self.block)

    def add(
        self,
        answer: torch.Tensor,
        shrink: torch.Tensor,
        product: torch.Tensor,
        dtype: torch.dtype,  # noqa: ARG002 - for those who keep the answer in it
    ) -> torch.Tensor:
        """Return the running answer with one more block."""
        return answer * shrink + product


class Blocks16(Blockwise):
    """Keys in blocks of 16."""

    name = "sound_blocks_16"
    block = 16


class Blocks128Reversed(Blockwise):
    """Keys in blocks of 128, the last first, as kernels do that mask the diagonal block before the loop."""

    name = "sound_blocks_128_reversed"
    block = 128

    def starts(self, keys: int) -> Sequence[int]:
        """Return them from the last to the first."""
        return range(0, keys, self.block)[::-1]


class SplitKv(FromLogits):
    """Keys split into four parts computed on their own and combined by log-sum-exp, as flash decoding does."""

    name = "sound_split_kv"
    parts = 4

    def combine(self, weights: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the answer from masked logits."""
        size = -(-weights.shape[-1] // self.parts)
        answers, sums = [], []
        for logits, values in zip(weights.split(size, dim=-1), v.float().split(size, dim=-2), strict=True):
            top = logits.amax(dim=-1, keepdim=True).clamp(min=_LOWEST)
            exponentials = (logits - top).exp()
            total = exponentials.sum(dim=-1, keepdim=True)
            answers.append(exponentials.to(v.dtype).float() @ values / total.clamp(min=torch.finfo(total.dtype).tiny))
            sums.append(top + total.log())
        return self.join(torch.stack(answers), torch.stack(sums)).to(v.dtype)

    def join(self, answers: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
        """Return the answer of all parts, from each part's and its log-sum-exp."""
        return (answers * sums.softmax(dim=0)).sum(dim=0)


class ExactWeights(Eager):
    """Weights stay in fp32 up to the end."""

    name = "sound_fp32_weights"

    def combine(self, weights: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the weighted sum without rounding the weights."""
        return (weights @ v.float()).to(v.dtype)


class PowersOfTwo(Eager):
    """Softmax by powers of two, as GPUs have an instruction for them."""

    name = "sound_exp2"

    def softmax(self, logits: torch.Tensor) -> torch.Tensor:
        """Return weights, the factor between the bases in the logits."""
        logits = logits * math.log2(math.e)
        powers = (logits - logits.amax(dim=-1, keepdim=True)).exp2()
        return powers / powers.sum(dim=-1, keepdim=True)


class LateDivision(FromLogits):
    """Exponentials are rounded to the dtype and multiplied; the division comes last."""

    name = "sound_late_division"

    def combine(self, weights: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the answer from masked logits."""
        exponentials = (weights - weights.amax(dim=-1, keepdim=True)).exp()
        product = exponentials.to(v.dtype).float() @ v.float()
        return (product / exponentials.sum(dim=-1, keepdim=True)).to(v.dtype)


class PackedGroups(Eager):
    """All query heads of a group are rows of one product with their key head."""

    name = "sound_packed_groups"

    def attend(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> torch.Tensor:
        """Return the answer, heads of a group side by side."""
        queries, keys = len(tokens.q), len(tokens.k)
        q = tokens.q.transpose(0, 1).reshape(case.kv_heads, case.group * queries, case.head_size)
        logits = self.logits(case, q, tokens.k.transpose(0, 1)).view(case.heads, queries, keys)
        logits = self.bias(case, inputs, self.cap(case, logits))
        hidden = self.hidden(case, tokens.number, queries, keys, logits.device)
        weights = self.softmax(logits.masked_fill(hidden, -math.inf)).view(case.kv_heads, case.group * queries, keys)
        answer = self.combine(weights, tokens.v.transpose(0, 1))
        return answer.view(case.heads, queries, case.head_size).transpose(0, 1)


class Unfused(Eager):
    """Every intermediate result is stored in the dtype, as models without a fused kernel do: the plain computation."""

    name = "sound_unfused"

    def logits(self, case: AttentionCase, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """Return logits in the dtype of q."""
        return (q.float() @ k.float().transpose(-1, -2)).to(q.dtype) * self.scale(case)

    def bias(self, case: AttentionCase, inputs: Any, logits: torch.Tensor) -> torch.Tensor:
        """Add ALiBi and round."""
        return super().bias(case, inputs, logits).to(logits.dtype)


class ScaledQueries(Eager):
    """The scale goes into Q, which is rounded to the dtype before the product."""

    name = "sound_scaled_queries"

    def logits(self, case: AttentionCase, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """Return logits of scaled queries."""
        return (q.float() * self.scale(case)).to(q.dtype).float() @ k.float().transpose(-1, -2)


class ChannelsInTurn(Eager):
    """Products of Q and K are summed over the channels in turn, 16 at a time, as tensor cores take them."""

    name = "sound_channels_in_turn"

    def logits(self, case: AttentionCase, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """Return scaled logits."""
        parts = zip(q.float().split(16, dim=-1), k.float().split(16, dim=-1), strict=True)
        total = q.new_zeros((*q.shape[:-1], k.shape[-2]), dtype=torch.float32)
        for some_q, some_k in parts:
            total = torch.baddbmm(total, some_q, some_k.transpose(-1, -2))
        return total * self.scale(case)


SOUND: tuple[type[Eager], ...] = (
    Eager,
    Blocks16,
    Blockwise,
    Blocks128Reversed,
    SplitKv,
    ExactWeights,
    PowersOfTwo,
    LateDivision,
    PackedGroups,
    Unfused,
    ScaledQueries,
    ChannelsInTurn,
)
