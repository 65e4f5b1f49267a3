"""FlashInfer: prefill over packed sequences, prefill and decode over a paged cache.

Kernels are compiled at first use, in modules of one combination of dtypes, head size, window and soft cap, unless the
package ``flashinfer-jit-cache`` of the same release is there. Measured: 74 s for a module, on an H200 host with 16
cores, flashinfer 0.6.4, nvcc 13.0.
Source: flashinfer/prefill.py, decode.py and rope.py of github.com/flashinfer-ai/flashinfer, tags v0.2.0 to v0.6.18rc7;
semantics from include/flashinfer/attention/variants.cuh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.attention.providers.shared import laid_out, unpadded
from pytest_trtcheck._suites.support.reasons import below, first_of, older, on_one_line
from pytest_trtcheck.providers import Refused

if TYPE_CHECKING:
    import torch

    from pytest_trtcheck.providers import AttentionCase, Where

HEAD_SIZES = (64, 128, 256)
"""Heads are taken in steps of 64 channels, and these are the sizes that FlashInfer builds and tests (aot.py)."""
DECODE_GROUPS = (1, 2, 4, 8)
"""Query heads for a KV head that the decode kernel without tensor cores takes."""
TENSOR_CORE_GROUP = 4
"""From here on FlashInfer advises tensor cores for decoding."""
WORKSPACE_BYTES = 128 * 1024 * 1024
"""As FlashInfer recommends."""
COMPILE_SECONDS = 75.0
"""To compile a module, as measured for one."""
COMPILED = "flashinfer-jit-cache"
"""Distribution of compiled modules: all that are used here, except those with ALiBi (flashinfer/aot.py)."""
_NO_KERNEL = ("Invalid configuration", "Unsupported")


class FlashInfer:
    """The wrapper that serves a case, planned and run once."""

    name = "flashinfer"
    component = "flashinfer"

    def why_not(self, case: AttentionCase, where: Where) -> str:
        """Return what the library lacks."""
        sizes = ", ".join(map(str, HEAD_SIZES))
        return first_of((
            (where.device != "cuda", "needs a GPU"),
            (below(where, "7.5"), "needs compute capability 7.5"),
            (case.dtype == "bf16" and below(where, "8.0"), "bf16 needs compute capability 8.0"),
            (older(where, "flashinfer", "0.2.0"), "the calls used here came with flashinfer 0.2.0"),
            (case.dtype == "fp32", "takes fp16 and bf16 only"),
            (case.head_size not in HEAD_SIZES, f"takes head sizes {sizes}"),
            (case.alibi and case.mask == "full", "its ALiBi counts keys after the query as nearer, not as further"),
            (case.alibi and bool(case.soft_cap), "its soft cap takes in the addition of ALiBi"),
        ))  # fmt: skip

    def compiles(self, case: AttentionCase, where: Where) -> tuple[str, float] | None:
        """Return the module that serves a case, and in how many seconds it is compiled; None where it comes compiled.

        Packed and paged prefill are one module. The small one that rotates is not counted.
        """
        if COMPILED in where.distributions and not case.alibi:
            return None
        extras = {
            "kv8": bool(case.kv_dtype),
            "window": bool(case.window),
            "cap": bool(case.soft_cap),
            "alibi": case.alibi,
        }
        words = (_module(case, where), f"d{case.head_size}", case.dtype)
        return "-".join((*words, *(name for name, is_on in extras.items() if is_on))), COMPILE_SECONDS

    def run(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the answer; Refused with the library's words when it has no kernel for it."""
        try:
            if case.layout != "paged":
                return self._ragged(case, inputs)
            return self._decode(case, inputs) if _is_decode(case) else self._paged(case, inputs)
        except (RuntimeError, ValueError) as error:
            if any(words in str(error) for words in _NO_KERNEL):
                raise Refused(on_one_line(str(error))) from error
            raise

    def _ragged(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        from flashinfer import BatchPrefillWithRaggedKVCacheWrapper

        q, k, v = unpadded(case, inputs)
        if case.rotary_base:
            q = _rotated(case, q, _query_positions(inputs))
            k = _rotated(case, k, _positions(inputs.kv_lengths))
        wrapper = BatchPrefillWithRaggedKVCacheWrapper(_workspace(inputs), "NHD")
        heads = (case.heads, case.kv_heads, case.head_size)
        wrapper.plan(inputs.cu_q, inputs.cu_k, *heads, causal=case.mask != "full", **_types(q, k), **_options(case))
        return laid_out(case, inputs, wrapper.run(q, k, v))

    def _paged(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        from flashinfer import BatchPrefillWithPagedKVCacheWrapper

        wrapper = BatchPrefillWithPagedKVCacheWrapper(_workspace(inputs), "NHD")
        heads = (case.heads, case.kv_heads, case.head_size, case.page_size)
        q = _cached_queries(case, inputs)
        causal = case.mask != "full"
        types = _types(q, inputs.k_cache)
        wrapper.plan(inputs.cu_q, *_pages(case, inputs), *heads, causal=causal, **types, **_options(case))
        return laid_out(case, inputs, wrapper.run(q, (inputs.k_cache, inputs.v_cache), **_scales(case, inputs)))

    def _decode(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        from flashinfer import BatchDecodeWithPagedKVCacheWrapper

        wrapper = BatchDecodeWithPagedKVCacheWrapper(
            _workspace(inputs), "NHD", use_tensor_cores=_wants_tensor_cores(case)
        )
        heads = (case.heads, case.kv_heads, case.head_size, case.page_size)
        q = _cached_queries(case, inputs)
        wrapper.plan(*_pages(case, inputs), *heads, **_types(q, inputs.k_cache), **_options(case))
        return laid_out(case, inputs, wrapper.run(q, (inputs.k_cache, inputs.v_cache), **_scales(case, inputs)))


def _is_decode(case: AttentionCase) -> bool:
    return case.layout == "paged" and set(case.query_lengths) == {1}


def _wants_tensor_cores(case: AttentionCase) -> bool:
    return case.group not in DECODE_GROUPS or case.group >= TENSOR_CORE_GROUP


def _module(case: AttentionCase, where: Where) -> str:
    """Return the kind of module that serves a case: decoding with tensor cores is prefill of one query.

    ``fa3`` is for prefill on Hopper alone, and takes neither ALiBi nor fp8 keys with 16-bit queries.
    """
    if _is_decode(case):
        return "prefill-fa2" if _wants_tensor_cores(case) else "decode"
    is_hopper = where.compute_capability.startswith("9.")
    return "prefill-fa3" if is_hopper and not case.alibi and not case.kv_dtype else "prefill-fa2"


def _workspace(inputs: Any) -> torch.Tensor:
    import torch

    return torch.zeros(WORKSPACE_BYTES, dtype=torch.uint8, device=inputs.q.device)


def _options(case: AttentionCase) -> dict[str, Any]:
    """Return the arguments that all ``plan`` methods share."""
    return {
        "sm_scale": case.scale,
        # Keys to the left, without the query's own.
        "window_left": case.window - 1 if case.window else -1,
        "logits_soft_cap": case.soft_cap or None,
        "pos_encoding_mode": "ALIBI" if case.alibi else "NONE",
    }


def _types(q: torch.Tensor, k: torch.Tensor) -> dict[str, Any]:
    return {"q_data_type": q.dtype, "kv_data_type": k.dtype}


def _scales(case: AttentionCase, inputs: Any) -> dict[str, float]:
    return {"k_scale": inputs.k_scale, "v_scale": inputs.v_scale} if case.kv_dtype else {}


def _pages(case: AttentionCase, inputs: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return where each sequence's blocks begin, the blocks, and how many tokens the last ones hold; all int32."""
    import torch

    counts = [-(-keys // case.page_size) for keys in case.kv_lengths]
    starts = torch.tensor([0, *counts]).cumsum(0).to(inputs.block_table)
    blocks = torch.cat([row[:count] for row, count in zip(inputs.block_table, counts, strict=True)])
    last = (inputs.kv_lengths - 1) % case.page_size + 1
    return starts, blocks, last


def _positions(lengths: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.cat([torch.arange(int(length), device=lengths.device) for length in lengths]).int()


def _query_positions(inputs: Any) -> torch.Tensor:
    early = (inputs.kv_lengths - inputs.query_lengths).repeat_interleave(inputs.query_lengths.long())
    return _positions(inputs.query_lengths) + early.int()


def _cached_queries(case: AttentionCase, inputs: Any) -> torch.Tensor:
    """Return q, rotated where the case rotates: the cache holds rotated keys already."""
    if not case.rotary_base:
        q: torch.Tensor = inputs.q
        return q
    return _rotated(case, inputs.q, _query_positions(inputs))


def _rotated(case: AttentionCase, tensor: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Rotate by FlashInfer's kernel of its own; the mode ROPE_LLAMA inside attention would rotate cached keys again."""
    from flashinfer import apply_rope_pos_ids

    # It rotates two tensors of one length; queries and keys need not be.
    turned: torch.Tensor = apply_rope_pos_ids(
        tensor, tensor, positions, interleave=case.rotary_interleaved, rope_theta=case.rotary_base
    )[0]
    return turned


PROVIDERS = (FlashInfer(),)
"""One provider."""
