"""Mistakes in which head, sequence, token or channel goes with which."""

from __future__ import annotations

from typing import Any

import torch

from pytest_trtcheck._suites.attention.broken.base import Broken
from pytest_trtcheck._suites.attention.providers.eager import Tokens
from pytest_trtcheck.providers import AttentionCase


class KvHeadModulo(Broken):
    """Query heads dealt out to KV heads in turn instead of group by group."""

    name = "broken_kv_head_modulo"
    needs = frozenset({"gqa"})

    def kv_head(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the rest of the division."""
        return torch.arange(case.heads, device=inputs.q.device) % case.kv_heads


class OneKvHead(Broken):
    """First KV head read by all query heads."""

    name = "broken_one_kv_head"
    needs = frozenset({"gqa", "mha"})

    def kv_head(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the first head for all."""
        return torch.zeros_like(super().kv_head(case, inputs))


class GroupBoundary(Broken):
    """Last query head of each group reads the KV head of the next group."""

    name = "broken_group_boundary"
    needs = frozenset({"gqa"})

    def kv_head(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return heads of groups that begin one too early."""
        right = super().kv_head(case, inputs)
        return right.roll(-1)


class HeadsSwapped(Broken):
    """Answers of neighbouring heads swapped."""

    name = "broken_heads_swapped"

    def attend(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> torch.Tensor:
        """Return the answer, every pair of heads turned round."""
        answer = super().attend(case, inputs, tokens)
        return answer.unflatten(1, (-1, 2)).flip(2).flatten(1, 2)


class ChannelsShifted(Broken):
    """Channels of the answer shifted by one."""

    name = "broken_channels_shifted"

    def attend(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> torch.Tensor:
        """Return the answer, each channel one further."""
        return super().attend(case, inputs, tokens).roll(1, dims=-1)


class ValuesShifted(Broken):
    """Each weight goes to the value of the token before."""

    name = "broken_values_shifted"

    def attend(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> torch.Tensor:
        """Return the answer with values one token late."""
        return super().attend(case, inputs, tokens._replace(v=tokens.v.roll(1, dims=0)))


class BatchMixed(Broken):
    """Keys and values read from the next sequence of the batch, as far as it goes."""

    name = "broken_batch_mixed"

    def gather(self, case: AttentionCase, inputs: Any, index: int) -> Tokens:
        """Collect queries of one sequence and the keys of another."""
        own = super().gather(case, inputs, index)
        other = super().gather(case, inputs, (index + 1) % len(case.kv_lengths))
        pairs = ((own.k, other.k), (own.v, other.v))
        k, v = (torch.cat((theirs[: len(ours)], ours[len(theirs) :])) for ours, theirs in pairs)
        return own._replace(k=k, v=v)


HEADS = (KvHeadModulo, OneKvHead, GroupBoundary, HeadsSwapped, ChannelsShifted, ValuesShifted, BatchMixed)
