"""FlashAttention 2 (package ``flash-attn``): dense, variable-length and cached attention.

Arguments are named, and those that came with a release are passed only where a case needs them:
sliding window and rotary embedding with the cache 2.3.0, ALiBi 2.4.0, block tables 2.5.0 (with variable lengths
2.5.7), soft cap 2.6.0. Blocks hold a multiple of 256 tokens.
Source: flash_attn/flash_attn_interface.py and csrc/flash_attn/flash_api.cpp of github.com/Dao-AILab/flash-attention,
tags v2.0.0 to v2.8.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.attention.providers.shared import laid_out, unpadded
from pytest_trtcheck._suites.support.reasons import below, first_of, older

if TYPE_CHECKING:
    import torch

    from pytest_trtcheck.providers import AttentionCase, Where

BLOCK_TOKENS = 256
"""Tokens in a block are a multiple of this: "Paged KV cache block size must be divisible by 256", 2.5.0 to 2.8.3."""


class FlashAttn:
    """``flash_attn_func``, ``flash_attn_varlen_func`` or ``flash_attn_with_kvcache``, by the layout."""

    name = "flash_attn"
    component = "flash_attn"

    def why_not(self, case: AttentionCase, where: Where) -> str:
        """Return what the library, or this release of it, lacks."""

        def since(release: str, what: str) -> tuple[bool, str]:
            return older(where, "flash_attn", release), f"{what} came with flash-attn {release}"

        uneven = case.query_lengths != case.kv_lengths
        reasons = [
            (where.device != "cuda", "needs a GPU"),
            (below(where, "8.0"), "needs compute capability 8.0"),
            (case.dtype == "fp32", "takes fp16 and bf16 only"),
            (bool(case.kv_dtype), "flash-attn 2 takes no fp8 cache"),
            (case.page_size % BLOCK_TOKENS != 0, f"takes blocks of a multiple of {BLOCK_TOKENS} tokens"),
        ]
        needs = (
            (uneven and case.mask == "causal", "2.1.0", "a causal mask that ends at the last key"),
            (bool(case.rotary_base), "2.3.0", "rotary embedding with a cache and packed"),
            (bool(case.window), "2.3.0", "the sliding window"),
            (case.alibi, "2.4.0", "ALiBi"),
            (case.layout == "paged", "2.5.0", "the paged cache"),
            (case.layout == "paged" and not _even(case), "2.5.7", "the paged cache for queries of several lengths"),
            (bool(case.soft_cap), "2.6.0", "the soft cap"),
        )
        return first_of([*reasons, *(since(release, what) for is_on, release, what in needs if is_on)])

    def run(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the answer."""
        if case.layout == "dense":
            return self._dense(case, inputs)
        if case.layout != "paged":
            return self._packed(case, inputs)
        return self._cached(case, inputs) if _even(case) else self._packed_cached(case, inputs)

    def _dense(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        from flash_attn import flash_attn_func

        q, k = inputs.q, inputs.k
        if case.rotary_base:
            q, k = _rotate(case, inputs, q, offset=k.shape[1] - q.shape[1]), _rotate(case, inputs, k)
        answer: torch.Tensor = flash_attn_func(q, k, inputs.v, **_options(case, inputs))
        return answer

    def _packed(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Compute packed sequences, and padded ones, which are packed first, as ``flash_attn.bert_padding`` does."""
        q, k, v = unpadded(case, inputs)
        if case.rotary_base:
            early = inputs.kv_lengths - inputs.query_lengths
            q = _rotate(case, inputs, q, offset=early, starts=inputs.cu_q)
            k = _rotate(case, inputs, k, starts=inputs.cu_k)
        return laid_out(case, inputs, _varlen(case, inputs, q, k, v))

    def _packed_cached(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Compute queries of several lengths against the cache, which holds the new tokens already."""
        q = inputs.q
        if case.rotary_base:
            q = _rotate(case, inputs, q, offset=inputs.kv_lengths - inputs.query_lengths, starts=inputs.cu_q)
        return _varlen(case, inputs, q, inputs.k_cache, inputs.v_cache, block_table=inputs.block_table)

    def _cached(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Compute queries of one length against the cache; with rotary embedding the kernel appends the new tokens."""
        from flash_attn import flash_attn_with_kvcache

        batch = len(case.query_lengths)
        q, k_cache, v_cache = inputs.q.unflatten(0, (batch, -1)), inputs.k_cache, inputs.v_cache
        appended: dict[str, Any] = {}
        lengths = inputs.kv_lengths
        if case.rotary_base:
            k_cache, v_cache, lengths = _without_new_tokens(case, inputs)
            cos, sin = _angles(inputs, case.page_size * inputs.block_table.shape[1])
            k_new, v_new = (new.unflatten(0, (batch, -1)) for new in (inputs.k_new, inputs.v_new))
            appended = {"k": k_new, "v": v_new, "rotary_cos": cos, "rotary_sin": sin}
            appended["rotary_interleaved"] = case.rotary_interleaved
        options = _options(case, inputs)
        answer: torch.Tensor = flash_attn_with_kvcache(
            q, k_cache, v_cache, cache_seqlens=lengths, block_table=inputs.block_table, **appended, **options
        )
        return answer.flatten(0, 1)


def _even(case: AttentionCase) -> bool:
    """Say whether all sequences have as many queries."""
    return len(set(case.query_lengths)) == 1


def _options(case: AttentionCase, inputs: Any) -> dict[str, Any]:
    """Return the arguments that all three functions share; none that an older release may lack without need."""
    options: dict[str, Any] = {"softmax_scale": case.softmax_scale, "causal": case.mask != "full"}
    if case.window:
        # The left edge does not count the query's own position.
        options["window_size"] = (case.window - 1, 0)
    if case.soft_cap:
        options["softcap"] = case.soft_cap
    if case.alibi:
        options["alibi_slopes"] = inputs.alibi_slopes
    return options


def _varlen(
    case: AttentionCase, inputs: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **paged: Any
) -> torch.Tensor:
    from flash_attn import flash_attn_varlen_func

    answer: torch.Tensor = flash_attn_varlen_func(
        q,
        k,
        v,
        cu_seqlens_q=inputs.cu_q,
        cu_seqlens_k=inputs.cu_k,
        max_seqlen_q=max(case.query_lengths),
        max_seqlen_k=max(case.kv_lengths),
        **paged,
        **_options(case, inputs),
    )
    return answer


def _angles(inputs: Any, positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cos and sin in the dtype of q, for at least as many positions as the kernel wants to see."""
    from torch.nn.functional import pad

    missing = (0, 0, 0, max(0, positions - len(inputs.cos)))
    return pad(inputs.cos, missing).to(inputs.q.dtype), pad(inputs.sin, missing).to(inputs.q.dtype)


def _rotate(
    case: AttentionCase, inputs: Any, tensor: torch.Tensor, offset: Any = 0, starts: torch.Tensor | None = None
) -> torch.Tensor:
    """Rotate by the library's own kernel; ``starts`` where the tensor is packed."""
    from flash_attn.layers.rotary import apply_rotary_emb

    cos, sin = _angles(inputs, 0)
    packed = {} if starts is None else {"cu_seqlens": starts, "max_seqlen": int(starts.diff().max())}
    turned: torch.Tensor = apply_rotary_emb(
        tensor, cos, sin, interleaved=case.rotary_interleaved, seqlen_offsets=offset, **packed
    )
    return turned


def _without_new_tokens(case: AttentionCase, inputs: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return copies of the cache in which the new tokens' slots are NaN, and the lengths before them."""
    k_cache, v_cache = inputs.k_cache.clone(), inputs.v_cache.clone()
    for index, (queries, keys) in enumerate(zip(case.query_lengths, case.kv_lengths, strict=True)):
        for position in range(keys - queries, keys):
            block = int(inputs.block_table[index, position // case.page_size])
            k_cache[block, position % case.page_size] = float("nan")
            v_cache[block, position % case.page_size] = float("nan")
    return k_cache, v_cache, inputs.kv_lengths - inputs.query_lengths


PROVIDERS = (FlashAttn(),)
"""One provider."""
