"""Inputs with teeth: every mistake that a kernel can make with them shows in the answer.

Logits have a standard deviation of 2, so softmax is neither flat nor one-hot. K has one channel far from zero and V has
outliers, as activations of real models do. On top of that most queries point at one key, which then carries most of
the weight: the first key they see, the last, the one just before the first and the one just after the last (which
must stay without effect), the last of a block, or any other. So a mask that is off by one at either edge changes
whole rows, whatever the tolerance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import torch

from pytest_trtcheck._suites.support.dtypes import DTYPES, rounded
from pytest_trtcheck.providers import AttentionCase

LOGIT_SPREAD = 2.0
_CHANNEL_OFFSET = 2.0
_OUTLIER_SHARE = 0.01
_OUTLIER_FACTOR = 8.0
_SHARE_SEEN = 0.6
"""Weight of the key that a query points at."""
_SHARE_UNSEEN = 0.9
"""The same for a key that the mask hides, if it did not."""
_SPARE_BLOCKS = 3
_FP8_TOP = 240.0
"""Stored magnitude of the largest cached value; e4m3 ends at 448."""
_LARGE = 1000.0
"""What stands for NaN in finite padding: beyond any value of V, with no overflow in fp16."""


@dataclass(frozen=True)
class Sequence:
    """One sequence as the provider sees its values, in fp64: after rounding to the dtype, scales applied."""

    q: torch.Tensor
    """``[queries, heads, head_size]``, not rotated."""
    k: torch.Tensor
    """``[keys, kv_heads, head_size]``; rotated where it comes from a cache."""
    v: torch.Tensor


@dataclass
class AttentionInputs:
    """See ``pytest_trtcheck.providers.attention.Inputs``."""

    sequences: tuple[Sequence, ...]
    """For the reference; a provider has no business with it."""
    q: torch.Tensor
    out: torch.Tensor
    cu_q: torch.Tensor
    cu_k: torch.Tensor
    query_lengths: torch.Tensor
    kv_lengths: torch.Tensor
    k: torch.Tensor | None = None
    v: torch.Tensor | None = None
    k_cache: torch.Tensor | None = None
    v_cache: torch.Tensor | None = None
    block_table: torch.Tensor | None = None
    k_scale: float = 1.0
    v_scale: float = 1.0
    k_new: torch.Tensor | None = None
    v_new: torch.Tensor | None = None
    alibi_slopes: torch.Tensor | None = None
    cos: torch.Tensor | None = None
    sin: torch.Tensor | None = None
    _before: dict[str, torch.Tensor] = field(default_factory=dict)

    def remember(self) -> None:
        """Keep a copy of all that a provider must not change."""
        self._before = {name: tensor.clone() for name, tensor in self._read_only()}

    def changed(self) -> list[str]:
        """Return the names of tensors that differ from what ``remember`` kept, bit by bit."""
        return [name for name, tensor in self._read_only() if not torch.equal(_bits(tensor), _bits(self._before[name]))]

    def poison(self) -> None:
        """Fill the answer's place with NaN, and what the allocator will hand out next."""
        self.out = torch.full_like(self.q, math.nan)
        # Freed at once: a provider that allocates its own answer gets this memory.
        torch.full_like(self.q, math.nan)

    def _read_only(self) -> list[tuple[str, torch.Tensor]]:
        named = [(entry.name, getattr(self, entry.name)) for entry in fields(self) if entry.name != "out"]
        return [(name, value) for name, value in named if isinstance(value, torch.Tensor)]


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    sizes = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.contiguous().view(sizes[tensor.element_size()])


def alibi_slopes(heads: int) -> torch.Tensor:
    """Return the slopes of ALiBi, fp32 ``[heads]``, for a power of two of heads (arXiv 2108.12409, section 3)."""
    return torch.tensor([2.0 ** (-8.0 * (head + 1) / heads) for head in range(heads)])


def rotary_angles(case: AttentionCase, device: torch.device) -> torch.Tensor:
    """Return angles by position, fp64 ``[longest, head_size / 2]`` (arXiv 2104.09864)."""
    half = case.head_size // 2
    exponents = torch.arange(half, dtype=torch.float64, device=device) / half
    positions = torch.arange(max(case.kv_lengths), dtype=torch.float64, device=device)
    return positions[:, None] * case.rotary_base**-exponents


def rotate(
    tensor: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *, interleaved: bool, inverse: bool = False
) -> torch.Tensor:
    """Rotate ``[tokens, heads, head_size]`` by cos and sin ``[tokens, head_size / 2]``, in the tensor's own dtype."""
    cos, sin = cos[:, None].to(tensor.dtype), sin[:, None].to(tensor.dtype)
    sin = -sin if inverse else sin
    if interleaved:
        a, b = tensor[..., 0::2], tensor[..., 1::2]
        return torch.stack((a * cos - b * sin, b * cos + a * sin), dim=-1).flatten(-2)
    a, b = tensor.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


def make_inputs(case: AttentionCase, seed: int, device: str, padding: str = "nan") -> AttentionInputs:
    """Return the inputs of a case: for one seed the same values on every device and for both kinds of padding."""
    generator = torch.Generator().manual_seed(seed)
    where = torch.device(device)
    dtype = DTYPES[case.dtype]
    drawn = [_draw(case, index, generator) for index in range(len(case.kv_lengths))]
    block_order = torch.randperm(_block_count(case), generator=generator) if case.page_size else torch.empty(0)
    raw = [tuple(tensor.to(where) for tensor in sequence) for sequence in drawn]
    k_scale, v_scale = (_cache_scale(raw, 1), _cache_scale(raw, 2)) if case.kv_dtype else (1.0, 1.0)
    store = DTYPES[case.kv_dtype or case.dtype]
    sequences = []
    for number, (drawn_q, drawn_k, v) in enumerate(raw):
        q, k = _unrotate(case, drawn_q, drawn_k)
        q = rounded(q, dtype)
        if case.nan_query and number == 0:
            q[-1, :, 0] = math.nan
        sequences.append(
            Sequence(q, rounded(k / k_scale, store) * k_scale, rounded(v.double() / v_scale, store) * v_scale)
        )
    lengths = {
        "cu_q": _starts(case.query_lengths, where),
        "cu_k": _starts(case.kv_lengths, where),
        "query_lengths": torch.tensor(case.query_lengths, dtype=torch.int32, device=where),
        "kv_lengths": torch.tensor(case.kv_lengths, dtype=torch.int32, device=where),
    }
    bad = math.nan if padding == "nan" else _LARGE
    q_all = [sequence.q for sequence in sequences]
    joined = torch.cat(q_all) if case.layout in {"packed", "paged"} else _padded(q_all, bad)
    inputs = AttentionInputs(tuple(sequences), joined.to(dtype), torch.empty(0), **lengths)
    if case.layout == "paged":
        _add_pages(case, inputs, block_order.to(where), k_scale, v_scale, bad)
    else:
        join = torch.cat if case.layout == "packed" else lambda parts: _padded(parts, bad)
        inputs.k = join([sequence.k for sequence in sequences]).to(dtype)
        inputs.v = join([sequence.v for sequence in sequences]).to(dtype)
    if case.alibi:
        inputs.alibi_slopes = alibi_slopes(case.heads).to(where)
    if case.rotary_base:
        angles = rotary_angles(case, where)
        inputs.cos, inputs.sin = angles.cos().float(), angles.sin().float()
    return inputs


def _draw(case: AttentionCase, index: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Return q, k, v of one sequence in fp32, rotated where the case rotates."""
    queries, keys, size = case.query_lengths[index], case.kv_lengths[index], case.head_size
    k = torch.randn(keys, case.kv_heads, size, generator=generator)
    k[..., size // 3] += _CHANNEL_OFFSET
    v = torch.randn(keys, case.kv_heads, size, generator=generator)
    # A mean of its own for each head: a sum over many keys that is kept in low precision drifts.
    v += torch.linspace(1.0, 2.0, case.kv_heads)[:, None]
    v[torch.rand(v.shape, generator=generator) < _OUTLIER_SHARE] *= _OUTLIER_FACTOR
    q = torch.randn(queries, case.heads, size, generator=generator) * (LOGIT_SPREAD / (case.scale * math.sqrt(size)))
    target, share = _targets(case, index, generator)
    heads = torch.arange(case.heads) // case.group
    pointed = k[target.clamp(min=0), heads]
    visible = _visible_count(case, queries, keys)
    logit = visible.log() + LOGIT_SPREAD**2 / 2 + (share / (1 - share)).log()
    if case.logit_shift:
        # On a channel in which all keys are equal: it moves all logits of a query alike.
        k[..., size // 3] = _CHANNEL_OFFSET
        turn = torch.tensor([1.0, -1.0, 0.0])[torch.arange(queries) % 3][:, None]
        shift = turn * case.logit_shift / (case.scale * _CHANNEL_OFFSET)
    direction = pointed * (logit / case.scale / pointed.square().sum(-1))[..., None]
    q += torch.where(target[..., None] >= 0, direction, 0.0)
    if case.logit_shift:
        q[..., size // 3] += shift
    return q, k, v


def _visible_count(case: AttentionCase, queries: int, keys: int) -> torch.Tensor:
    first, last = _edges(case, queries, keys)
    return (last - first + 1).float()[:, None].expand(-1, case.heads)


def _edges(case: AttentionCase, queries: int, keys: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first and the last key that each query sees, int64 ``[queries]``."""
    position = torch.arange(queries) + keys - queries
    last = position if case.mask != "full" else torch.full_like(position, keys - 1)
    first = (position - case.window + 1).clamp(min=0) if case.window else torch.zeros_like(position)
    return first, last


def _targets(case: AttentionCase, index: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the key that each query and head points at, -1 for none, and the weight it should get."""
    queries, keys = case.query_lengths[index], case.kv_lengths[index]
    first, last = (edge[:, None].expand(queries, case.heads) for edge in _edges(case, queries, keys))
    block = case.page_size or 64
    any_key = first + (torch.rand(queries, case.heads, generator=generator) * (last - first + 1)).long()
    block_end = (any_key // block * block + block - 1).clamp(max=keys - 1)
    # A query that cannot look past an edge points at the edge itself.
    before = torch.where(first > 0, first - 1, first)
    after = torch.where(last + 1 < keys, last + 1, last)
    none = torch.full_like(first, -1)
    choices = torch.stack((first, last, before, after, torch.minimum(block_end, last), any_key, none, none))
    kind = (torch.arange(queries)[:, None] + torch.arange(case.heads) + index) % len(choices)
    target = choices.gather(0, kind[None])[0]
    hidden = (target < first) | (target > last)
    return target, torch.where(hidden, _SHARE_UNSEEN, _SHARE_SEEN)


def _unrotate(case: AttentionCase, q: torch.Tensor, k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return q, and k outside a cache, such that rotating them gives what was drawn; all in fp64."""
    q, k = q.double(), k.double()
    if not case.rotary_base:
        return q, k
    angles = rotary_angles(case, q.device)[: len(k)]
    turn = {"interleaved": case.rotary_interleaved, "inverse": True}
    late = angles[len(k) - len(q) :]
    q = rotate(q, late.cos(), late.sin(), **turn)
    return q, k if case.layout == "paged" else rotate(k, angles.cos(), angles.sin(), **turn)


def _starts(lengths: tuple[int, ...], device: torch.device) -> torch.Tensor:
    return torch.tensor([0, *lengths], device=device).cumsum(0).to(torch.int32)


def _padded(parts: list[torch.Tensor], bad: float) -> torch.Tensor:
    longest = max(len(part) for part in parts)
    whole = parts[0].new_full((len(parts), longest, *parts[0].shape[1:]), bad)
    for row, part in zip(whole, parts, strict=True):
        row[: len(part)] = part
    return whole


def _block_count(case: AttentionCase) -> int:
    return sum(-(-keys // case.page_size) for keys in case.kv_lengths) + _SPARE_BLOCKS


def _cache_scale(raw: list[tuple[torch.Tensor, ...]], which: int) -> float:
    """Return a scale that fp32, in which kernels take it, holds exactly."""
    scale = torch.stack([sequence[which].abs().max() for sequence in raw]).max() / _FP8_TOP
    return float(scale)


def _add_pages(
    case: AttentionCase, inputs: AttentionInputs, order: torch.Tensor, k_scale: float, v_scale: float, bad: float
) -> None:
    """Lay K and V into shuffled blocks; blocks that nobody owns, and table entries past the end, lead to poison."""
    store = DTYPES[case.kv_dtype or case.dtype]
    needed = [-(-keys // case.page_size) for keys in case.kv_lengths]
    shape = (len(order), case.page_size, case.kv_heads, case.head_size)
    inputs.k_cache, inputs.v_cache = (_cache(shape, bad, store, order.device) for _ in "kv")
    table = order[-1].repeat(len(needed), max(needed)).to(torch.int32)
    start = 0
    for index, (sequence, count) in enumerate(zip(inputs.sequences, needed, strict=True)):
        blocks = order[start : start + count]
        start += count
        table[index, :count] = blocks
        for cache, values, scale in ((inputs.k_cache, sequence.k, k_scale), (inputs.v_cache, sequence.v, v_scale)):
            slots = torch.arange(len(values), device=order.device)
            cache[blocks[slots // case.page_size], slots % case.page_size] = (values / scale).to(store)
    inputs.block_table, inputs.k_scale, inputs.v_scale = table, k_scale, v_scale
    _add_new_tokens(case, inputs)


def _cache(shape: tuple[int, ...], bad: float, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    top = torch.finfo(dtype).max
    return torch.full(shape, bad if math.isnan(bad) else min(bad, top), device=device).to(dtype)


def _add_new_tokens(case: AttentionCase, inputs: AttentionInputs) -> None:
    new_k, new_v = [], []
    for sequence, queries in zip(inputs.sequences, case.query_lengths, strict=True):
        k = sequence.k[-queries:]
        if case.rotary_base:
            angles = rotary_angles(case, k.device)[len(sequence.k) - queries : len(sequence.k)]
            k = rotate(k, angles.cos(), angles.sin(), interleaved=case.rotary_interleaved, inverse=True)
        new_k.append(k)
        new_v.append(sequence.v[-queries:])
    dtype = DTYPES[case.dtype]
    inputs.k_new, inputs.v_new = torch.cat(new_k).to(dtype), torch.cat(new_v).to(dtype)
