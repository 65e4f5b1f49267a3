"""The reference in fp64, and the error of the same computation done plainly in the case's dtype."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from pytest_trtcheck._suites.attention.inputs import (
    AttentionInputs,
    Sequence,
    alibi_slopes,
    rotary_angles,
    rotate,
)
from pytest_trtcheck._suites.support.dtypes import DTYPES, rounded
from pytest_trtcheck._suites.support.tolerance import TOLERANCES, Bound, Expectable, compare
from pytest_trtcheck.model.report import Comparison
from pytest_trtcheck.providers import AttentionCase

_MOST_LOGITS = {"cpu": 2**22, "cuda": 2**26}
"""Logits held at once, in elements: bounds memory, since a reference in fp64 is wanted at any length."""


@dataclass(frozen=True)
class Reference:
    """What the answer of a case should be, and how far it may be off. Rows are (query, head), sequence by sequence."""

    expected: torch.Tensor
    """fp64 ``[queries of all sequences * heads, head_size]``."""
    scale: torch.Tensor
    """fp64 ``[rows]``: mean over the channels of ``sum_j p_j |v_j|``."""
    groups: torch.Tensor
    """int64 ``[rows]``: number of the sequence times heads plus the head."""
    bound: Bound

    def judge(self, case: AttentionCase, answer: torch.Tensor) -> Comparison:
        """Hold a provider's answer, of the shape of ``q``, against the reference."""
        rows = _rows(case, answer)
        comparison = compare(rows, self.expected, self.scale, self.groups, self.bound)
        row, channel = comparison.index
        query, head = divmod(row, case.heads)
        sequence = 0
        while query >= case.query_lengths[sequence]:
            query -= case.query_lengths[sequence]
            sequence += 1
        axes = ("sequence", "query", "head", "channel")
        return replace(comparison, axes=axes, index=(sequence, query, head, channel))


def _rows(case: AttentionCase, answer: torch.Tensor) -> torch.Tensor:
    """Return the rows of an answer that count, ``[rows, head_size]``."""
    if case.layout in {"dense", "padded"}:
        answer = torch.cat([part[:length] for part, length in zip(answer, case.query_lengths, strict=True)])
    return answer.reshape(-1, case.head_size)


def make_reference(case: AttentionCase, inputs: AttentionInputs) -> Reference:
    """Compute the reference of a case on the device of its inputs."""
    parts = [part for sequence in inputs.sequences for part in _chunks(case, sequence, inputs)]
    expected, plain, scale, summation, logits = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    device = expected.device
    lengths = torch.tensor(case.query_lengths, device=device)
    sequence = torch.arange(len(lengths), device=device).repeat_interleave(lengths * case.heads)
    head = torch.arange(case.heads, device=device).repeat(int(lengths.sum()))
    groups = sequence * case.heads + head
    error = (plain - expected) / scale[:, None]
    expectable = Expectable(summation, logits / scale[:, None])
    return Reference(expected, scale, groups, Bound.of(error, groups, TOLERANCES[case.dtype], expectable))


def _chunks(case: AttentionCase, sequence: Sequence, inputs: AttentionInputs) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield expected, plain, scale, and what sums and logits may cost, for some queries at a time, as in Reference."""
    queries, keys = len(sequence.q), len(sequence.k)
    step = max(1, _MOST_LOGITS[sequence.q.device.type] // (case.heads * keys))
    exact = _rotated(case, sequence, torch.float64)
    plain = _rotated(case, sequence, DTYPES[case.dtype])
    for start in range(0, queries, step):
        rows = slice(start, min(start + step, queries))
        hidden, distance = _mask(case, queries, keys, rows, sequence.q.device)
        bias = -inputs.alibi_slopes.double()[:, None, None] * distance if inputs.alibi_slopes is not None else None
        expected, weights = _attend(case, *exact, rows, hidden, bias, torch.float64)
        rough, _ = _attend(case, *plain, rows, hidden, bias, DTYPES[case.dtype])
        logits = _rounded_logits(case, exact, rows, weights, expected)
        yield expected, rough, *_row_scales(case, exact, rows, weights), logits


def _rotated(
    case: AttentionCase, sequence: Sequence, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return q, k, v as the products take them, heads first: rotated, every step rounded to the dtype."""
    work = _working(dtype)
    q, k, v = (tensor.to(work) for tensor in (sequence.q, sequence.k, sequence.v))
    if dtype is not torch.float64:
        # A cache in fp8 is read into the case's dtype.
        k, v = rounded(k, dtype), rounded(v, dtype)
    if case.rotary_base:
        angles = rotary_angles(case, q.device)[: len(k)]
        q = _rotate_rounding(case, q, angles[len(k) - len(q) :], dtype)
        k = k if case.layout == "paged" else _rotate_rounding(case, k, angles, dtype)
    return q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)


def _rotate_rounding(
    case: AttentionCase, tensor: torch.Tensor, angles: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    turned = rotate(tensor.to(dtype), angles.cos(), angles.sin(), interleaved=case.rotary_interleaved)
    return turned.to(tensor.dtype)


def _working(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which products are summed."""
    return torch.float64 if dtype is torch.float64 else torch.float32


def _mask(
    case: AttentionCase, queries: int, keys: int, rows: slice, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which keys are hidden, bool ``[rows, keys]``, and how far back each key lies."""
    position = torch.arange(rows.start, rows.stop, device=device)[:, None] + keys - queries
    distance = position - torch.arange(keys, device=device)
    hidden = torch.zeros_like(distance, dtype=torch.bool)
    if case.mask != "full":
        hidden |= distance < 0
    if case.window:
        hidden |= distance >= case.window
    return hidden, distance.abs()


def _attend(
    case: AttentionCase,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    rows: slice,
    hidden: torch.Tensor,
    bias: torch.Tensor | None,
    dtype: torch.dtype,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the answer for some queries, fp64 ``[rows, head_size]``, and the weights; every step is rounded."""
    count = rows.stop - rows.start
    grouped = q[:, rows].reshape(case.kv_heads, case.group, count, case.head_size)
    logits = rounded(grouped @ k[:, None].transpose(-1, -2), dtype)
    logits = rounded(logits * case.scale, dtype)
    if case.soft_cap:
        logits = rounded(case.soft_cap * rounded(torch.tanh(rounded(logits / case.soft_cap, dtype)), dtype), dtype)
    if bias is not None:
        logits = rounded(logits + bias.view(case.kv_heads, case.group, *bias.shape[1:]).to(logits.dtype), dtype)
    weights = rounded(torch.softmax(logits.masked_fill(hidden, -torch.inf), dim=-1), dtype)
    answer = rounded(weights @ v[:, None], dtype)
    return _by_row(answer).reshape(-1, case.head_size).double(), weights


def _row_scales(
    case: AttentionCase, qkv: tuple[torch.Tensor, ...], rows: slice, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each row's scale, and what summing its products in another order may cost, fp64 ``[rows]``."""
    q, k, v = qkv
    scale = weights @ v.abs().mean(dim=-1)[:, None, :, None]
    key_norm = weights @ k.norm(dim=-1)[:, None, :, None]
    logit = case.scale * q[:, rows].norm(dim=-1).view(*key_norm.shape) * key_norm
    keys = k.shape[1]
    # Twice the square root for the sum over keys: V has a mean, and so have the roundings of a growing sum.
    summation = case.head_size**0.5 * logit + 2 * keys**0.5
    if case.rotary_base:
        # Angles of positions in fp32.
        summation = summation + keys * logit
    if case.alibi:
        # A bias counted from the first key on.
        slopes = alibi_slopes(case.heads).to(summation).view(case.kv_heads, case.group, 1, 1)
        summation = summation + keys * slopes
    return _by_row(scale).reshape(-1), _by_row(summation).reshape(-1)


def _rounded_logits(
    case: AttentionCase, qkv: tuple[torch.Tensor, ...], rows: slice, weights: torch.Tensor, expected: torch.Tensor
) -> torch.Tensor:
    """Return what rounding every logit once does to each element, fp64 ``[rows, head_size]``, in unit roundoffs.

    A logit that is off by ``d`` moves the answer by ``p (v - answer) d``; the moves of all keys add up as squares.
    With a rotary embedding, Q and K are rounded as well.
    """
    q, k, v = (tensor.float() for tensor in qkv)
    q = q[:, rows].reshape(case.kv_heads, case.group, -1, case.head_size) * case.scale
    squares = (q @ k[:, None].transpose(-1, -2)).square()
    if case.rotary_base:
        squares += 2 * (q.square() @ k.square()[:, None].transpose(-1, -2))
    share = weights.float().square() * squares
    v, answer = v[:, None], expected.view(-1, case.heads, case.head_size).transpose(0, 1).reshape(q.shape).float()
    moved = share @ v.square() - 2 * answer * (share @ v) + answer.square() * share.sum(dim=-1, keepdim=True)
    return _by_row(moved.clamp(min=0.0).sqrt()).reshape(-1, case.head_size).double()


def _by_row(tensor: torch.Tensor) -> torch.Tensor:
    """Return ``[kv_heads, group, rows, x]`` as ``[rows, heads, x]``."""
    return tensor.flatten(0, 1).transpose(0, 1)
