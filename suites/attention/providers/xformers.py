"""xFormers: ``memory_efficient_attention`` with the bias class that says what a case asks, the operator left to it.

Source: xformers/ops/fmha of github.com/facebookresearch/xformers, tags v0.0.28 to v0.0.35.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.attention.providers.shared import alibi, is_all_visible, laid_out, unpadded, visible
from pytest_trtcheck._suites.support.reasons import below, first_of, older, on_one_line
from pytest_trtcheck.providers import Refused

if TYPE_CHECKING:
    import torch

    from pytest_trtcheck.providers import AttentionCase, Where

BLOCK_TOKENS = 64
"""The one operator of xFormers itself that takes a paged cache wants blocks of a multiple of this (triton_splitk)."""
SPLIT_K_QUERIES = 16
"""Its most queries for a sequence under a causal mask."""
SPLIT_K_HEAD_SIZES = (32, 64, 128, 256)
_ALIGNMENT = 8
"""Elements to which rows of a bias are aligned."""
_REFUSALS = ("No operator found for", "does not support inputs")
"""NotImplementedError where the library chooses the operator, ValueError where it is told (fmha/dispatch.py)."""
_REASONS_FOLLOW = "is not supported because:"


class XFormers:
    """``memory_efficient_attention``."""

    name = "xformers"
    component = "xformers"

    def why_not(self, case: AttentionCase, where: Where) -> str:
        """Return what the library lacks."""
        paged = case.layout == "paged"
        sizes = ", ".join(map(str, SPLIT_K_HEAD_SIZES))
        long_chunk = max(case.query_lengths) > SPLIT_K_QUERIES
        return first_of((
            (where.device != "cuda", "needs a GPU"),
            (below(where, "7.0"), "needs compute capability 7.0"),
            (case.dtype == "bf16" and below(where, "8.0"), "bf16 needs compute capability 8.0"),
            (older(where, "xformers", "0.0.28"), "the bias classes used here came with xformers 0.0.28"),
            (bool(case.soft_cap), "has no soft cap"),
            (bool(case.rotary_base), "has no rotary embedding in attention"),
            (bool(case.kv_dtype), "takes fp8 keys only with a scale for each row"),
            (case.alibi and case.layout != "dense", "takes an additive bias with sequences of one length only"),
            (paged and case.dtype == "fp32", "takes a paged cache in fp16 and bf16 only"),
            (paged and below(where, "8.0"), "a paged cache needs compute capability 8.0"),
            (paged and bool(case.window), "takes no window with a paged cache"),
            (paged and case.page_size % BLOCK_TOKENS != 0, f"takes blocks of a multiple of {BLOCK_TOKENS} tokens"),
            (paged and case.head_size not in SPLIT_K_HEAD_SIZES, f"takes a paged cache with head sizes {sizes}"),
            (paged and len(set(case.query_lengths)) > 1, "takes a paged cache with as many queries in every sequence"),
            (paged and long_chunk, f"takes at most {SPLIT_K_QUERIES} queries for a sequence with a paged cache"),
        ))  # fmt: skip

    def run(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the answer; Refused with the library's reasons when no operator takes this."""
        try:
            return self._attention(case, inputs)
        except (NotImplementedError, ValueError) as error:
            if not any(words in str(error) for words in _REFUSALS):
                raise
            raise Refused(_reasons(str(error))) from error

    def _attention(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        if case.layout == "dense":
            bias = _tensor_bias(case, inputs) if case.alibi else _dense_bias(case, inputs)
            return _attend(case, inputs.q, inputs.k, inputs.v, bias).view(inputs.q.shape)
        if case.layout == "paged":
            return self._paged(case, inputs)
        if case.layout == "padded":
            # Only queries are packed: keys stay padded, and the bias says how many of them count.
            q = unpadded(case, inputs)[0]
            k, v, bias = inputs.k.flatten(0, 1), inputs.v.flatten(0, 1), _padded_bias(case, inputs)
        else:
            q, k, v, bias = inputs.q, inputs.k, inputs.v, _packed_bias(case, inputs)
        answer = _attend(case, q[None], k[None], v[None], bias)
        return laid_out(case, inputs, answer.view(q.shape))

    def _paged(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        from xformers.ops import fmha

        kinds = fmha.attn_bias
        one = set(case.query_lengths) == {1}
        kind = kinds.PagedBlockDiagonalPaddedKeysMask if one else kinds.PagedBlockDiagonalCausalWithOffsetPaddedKeysMask
        bias = kind.from_seqlens(
            q_seqlen=list(case.query_lengths),
            kv_seqlen=list(case.kv_lengths),
            block_tables=inputs.block_table,
            page_size=case.page_size,
            device=inputs.q.device,
        )
        k, v = inputs.k_cache.flatten(0, 1), inputs.v_cache.flatten(0, 1)
        # Not chosen by itself for few keys; the operators beside it take a paged cache from other packages only.
        operator = (fmha.triton_splitk.FwOp, None)
        return _attend(case, inputs.q[None], k[None], v[None], bias, op=operator).view(inputs.q.shape)


def _reasons(refusal: str) -> str:
    """Return why no operator takes a case, each reason once; the shapes are left out, and which operator said what."""
    found: dict[str, None] = {}
    for operator in refusal.split(_REASONS_FOLLOW)[1:]:
        # The last line names the next operator.
        found.update(dict.fromkeys(line.strip() for line in operator.splitlines() if not line.startswith("`")))
    return on_one_line("; ".join(filter(None, found)) or refusal.partition("\n")[0])


def _attend(
    case: AttentionCase, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: Any, **how: Any
) -> torch.Tensor:
    """Call the library on ``[batch, tokens, heads, head_size]``; grouped heads get a fifth dimension, expanded."""
    from xformers.ops import memory_efficient_attention

    if case.group > 1:
        q = q.unflatten(2, (case.kv_heads, case.group))
        k, v = (part[:, :, :, None].expand(-1, -1, -1, case.group, -1) for part in (k, v))
    answer: torch.Tensor = memory_efficient_attention(q, k, v, attn_bias=bias, scale=case.softmax_scale, **how)
    return answer


def _dense_bias(case: AttentionCase, inputs: Any) -> Any:
    from xformers.ops import fmha

    kinds = fmha.attn_bias
    if is_all_visible(case, inputs.q.shape[1], inputs.k.shape[1]):
        return None
    causal = kinds.LowerTriangularFromBottomRightMask()
    return causal.make_local_attention(case.window) if case.window else causal


def _tensor_bias(case: AttentionCase, inputs: Any) -> torch.Tensor:
    """Return ALiBi and mask as one tensor for every sequence and head, rows aligned as the kernel wants them."""
    bias = alibi(case, inputs, 0).masked_fill(~visible(case, 0, inputs.q.device), float("-inf"))
    heads, queries, keys = bias.shape
    rows = bias.new_empty((heads, queries, -(-keys // _ALIGNMENT) * _ALIGNMENT), dtype=inputs.q.dtype)[..., :keys]
    rows.copy_(bias)
    grouped = rows.unflatten(0, (case.kv_heads, case.group)) if case.group > 1 else rows
    return grouped[None].expand(len(case.query_lengths), *grouped.shape)


def _packed_bias(case: AttentionCase, inputs: Any) -> Any:
    from xformers.ops import fmha

    bias = fmha.attn_bias.BlockDiagonalMask.from_seqlens(
        list(case.query_lengths), list(case.kv_lengths), device=inputs.q.device
    )
    if case.window:
        return bias.make_local_attention_from_bottomright(case.window)
    return bias.make_causal_from_bottomright() if case.mask == "causal" else bias


def _padded_bias(case: AttentionCase, inputs: Any) -> Any:
    from xformers.ops import fmha

    kinds = fmha.attn_bias
    lengths = {
        "q_seqlen": list(case.query_lengths),
        "kv_padding": inputs.k.shape[1],
        "kv_seqlen": list(case.kv_lengths),
    }
    if case.window:
        local = kinds.BlockDiagonalCausalLocalAttentionPaddedKeysMask
        # Made on the GPU by itself; the releases before 0.0.30 can neither be told a device nor move it.
        return local.from_seqlens_local(**lengths, window_size=case.window)
    causal = case.mask == "causal"
    kind = kinds.BlockDiagonalCausalWithOffsetPaddedKeysMask if causal else kinds.BlockDiagonalPaddedKeysMask
    return kind.from_seqlens(**lengths, device=inputs.q.device)


PROVIDERS = (XFormers(),)
"""One provider."""
