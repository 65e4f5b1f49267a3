"""Mistakes in reading the paged cache."""

from __future__ import annotations

from typing import Any

import torch

from pytest_trtcheck._suites.attention.broken.base import Broken
from pytest_trtcheck._suites.attention.providers.eager import Tokens
from pytest_trtcheck.providers import AttentionCase

_PAGED = frozenset({"paged"})
_FP8 = frozenset({"fp8_kv"})


class TableIgnored(Broken):
    """Block table ignored: blocks are taken in the order in which they lie."""

    name = "broken_block_table_ignored"
    needs = _PAGED

    def blocks(self, case: AttentionCase, inputs: Any, index: int, keys: int) -> torch.Tensor:
        """Return blocks end to end."""
        right = super().blocks(case, inputs, index, keys)
        start = sum(-(-length // case.page_size) for length in case.kv_lengths[:index])
        return torch.arange(start, start + len(right), device=right.device)


class TableOfNeighbour(Broken):
    """Row of the block table taken from the next sequence."""

    name = "broken_block_table_row"
    needs = _PAGED

    def blocks(self, case: AttentionCase, inputs: Any, index: int, keys: int) -> torch.Tensor:
        """Return another sequence's blocks."""
        return super().blocks(case, inputs, (index + 1) % len(case.kv_lengths), keys)


class BlocksSwapped(Broken):
    """Last two full blocks of a sequence taken in the wrong order."""

    name = "broken_block_order"
    needs = _PAGED

    def blocks(self, case: AttentionCase, inputs: Any, index: int, keys: int) -> torch.Tensor:
        """Return the blocks with the last two that are full swapped."""
        right = super().blocks(case, inputs, index, keys)
        if keys % case.page_size:
            return torch.cat((right[:-3], right[-3:-1].flip(0), right[-1:]))
        return torch.cat((right[:-2], right[-2:].flip(0)))


class NewestMissing(Broken):
    """Newest tokens not in the cache yet: their slots read as zeros."""

    name = "broken_newest_missing"
    needs = _PAGED

    def attend(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> torch.Tensor:
        """Return the answer with an empty end of the cache."""
        k, v = tokens.k.clone(), tokens.v.clone()
        k[-len(tokens.q) :] = 0.0
        v[-len(tokens.q) :] = 0.0
        return super().attend(case, inputs, tokens._replace(k=k, v=v))


class NewestStale(Broken):
    """Newest token read from the block before its own."""

    name = "broken_newest_stale"
    needs = _PAGED

    def attend(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> torch.Tensor:
        """Return the answer with what stands one block earlier in place of the newest token."""
        older = max(len(tokens.k) - 1 - case.page_size, 0)
        k, v = (torch.cat((tensor[:-1], tensor[older : older + 1])) for tensor in (tokens.k, tokens.v))
        return super().attend(case, inputs, tokens._replace(k=k, v=v))


class ScaleForgotten(Broken):
    """Scales of an fp8 cache forgotten."""

    name = "broken_fp8_scale_forgotten"
    needs = _FP8

    def dequantize(self, case: AttentionCase, stored: torch.Tensor, scale: float, dtype: torch.dtype) -> torch.Tensor:  # noqa: ARG002
        """Return values as they are stored."""
        return super().dequantize(case, stored, 1.0, dtype)


class ScaleTwice(Broken):
    """Scales of an fp8 cache applied twice."""

    name = "broken_fp8_scale_twice"
    needs = _FP8

    def dequantize(self, case: AttentionCase, stored: torch.Tensor, scale: float, dtype: torch.dtype) -> torch.Tensor:
        """Return values that are too small."""
        return super().dequantize(case, stored, scale * scale, dtype)


class ScaleOfKeys(Broken):
    """Scale of the keys of an fp8 cache used for the values."""

    name = "broken_fp8_scale_of_keys"
    needs = _FP8

    def read_cache(self, case: AttentionCase, inputs: Any, index: int, keys: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return right keys and wrong values."""
        k, v = super().read_cache(case, inputs, index, keys)
        return k, (v.float() * (inputs.k_scale / inputs.v_scale)).to(v.dtype)


CACHE = (
    TableIgnored,
    TableOfNeighbour,
    BlocksSwapped,
    NewestMissing,
    NewestStale,
    ScaleForgotten,
    ScaleTwice,
    ScaleOfKeys,
)
