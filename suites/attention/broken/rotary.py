"""Mistakes in the rotary embedding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from pytest_trtcheck._suites.attention.broken.base import Broken
from pytest_trtcheck._suites.attention.inputs import rotary_angles, rotate
from pytest_trtcheck._suites.attention.providers.eager import Tokens
from pytest_trtcheck.providers import AttentionCase


class Rotary(Broken):
    """A kernel that rotates otherwise."""

    needs = frozenset({"rotary"})


class OtherBase(Rotary):
    """Rotary embedding with the base of another model (500000)."""

    name = "broken_rotary_base"

    def turn(self, case: AttentionCase, inputs: Any, tensor: torch.Tensor, position: int) -> torch.Tensor:  # noqa: ARG002
        """Rotate by the angles of the other base."""
        angles = rotary_angles(replace(case, rotary_base=500000.0), tensor.device)[position : position + len(tensor)]
        turned = rotate(tensor.float(), angles.cos(), angles.sin(), interleaved=case.rotary_interleaved)
        return turned.to(tensor.dtype)


class OtherPairs(Rotary):
    """Rotary embedding with pairs of the other kind: neighbours for halves and halves for neighbours."""

    name = "broken_rotary_pairs"

    def turn(self, case: AttentionCase, inputs: Any, tensor: torch.Tensor, position: int) -> torch.Tensor:
        """Rotate the wrong pairs."""
        other = replace(case, rotary_interleaved=not case.rotary_interleaved)
        return super().turn(other, inputs, tensor, position)


class OtherDirection(Rotary):
    """Rotary embedding turned the other way round."""

    name = "broken_rotary_direction"

    def turn(self, case: AttentionCase, inputs: Any, tensor: torch.Tensor, position: int) -> torch.Tensor:
        """Rotate back instead of forth."""
        where = slice(position, position + len(tensor))
        turned = rotate(tensor.float(), inputs.cos[where], -inputs.sin[where], interleaved=case.rotary_interleaved)
        return turned.to(tensor.dtype)


class HalfTheHeadTurned(Rotary):
    """Rotary embedding over the first half of the channels only."""

    name = "broken_rotary_half_head"

    def turn(self, case: AttentionCase, inputs: Any, tensor: torch.Tensor, position: int) -> torch.Tensor:
        """Rotate half of the head."""
        half = case.head_size // 2
        return torch.cat((super().turn(case, inputs, tensor, position)[..., :half], tensor[..., half:]), dim=-1)


class QueriesOneLate(Rotary):
    """Queries rotated for the next position."""

    name = "broken_rotary_query_position"

    def rotate(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> Tokens:
        """Rotate queries by one position too many."""
        tokens = super().rotate(case, inputs, tokens)
        one = rotary_angles(replace(case, query_lengths=(1,), kv_lengths=(2,)), tokens.q.device)[1:]
        q = rotate(tokens.q.float(), one.cos(), one.sin(), interleaved=case.rotary_interleaved)
        return tokens._replace(q=q.to(tokens.q.dtype))


class PositionsRestart(Rotary):
    """Queries rotated as if their chunk were the beginning of the sequence."""

    name = "broken_rotary_restarts"

    def rotate(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> Tokens:
        """Rotate queries from position 0 on."""
        return super().rotate(case, inputs, tokens)._replace(q=self.turn(case, inputs, tokens.q, 0))


class KeysNotTurned(Rotary):
    """Rotary embedding not applied to keys."""

    name = "broken_rotary_not_on_keys"

    def rotate(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> Tokens:
        """Rotate queries only."""
        return super().rotate(case, inputs, tokens)._replace(k=tokens.k)


class QueriesNotTurned(Rotary):
    """Rotary embedding not applied to queries."""

    name = "broken_rotary_not_on_queries"

    def rotate(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> Tokens:
        """Rotate keys only."""
        return super().rotate(case, inputs, tokens)._replace(q=tokens.q)


ROTARY = (
    OtherBase,
    OtherPairs,
    OtherDirection,
    HalfTheHeadTurned,
    QueriesOneLate,
    PositionsRestart,
    KeysNotTurned,
    QueriesNotTurned,
)
