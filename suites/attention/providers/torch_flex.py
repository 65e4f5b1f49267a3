"""``flex_attention`` of torch, compiled: one mask function for all layouts, a score function for soft cap and ALiBi.

Every key has a place on one line, sequence after sequence, and every query sees the places from its first to its last.
Keys that lie end to end or in a padded row are in the order of their places; those in the blocks of a cache are not,
and are looked up. So packed and paged batches are read as they lie, and one function serves them all.

Each variant is compiled at first use: on an H200 host with torch 2.11, 6.5 s for the first, 2 to 7 s for any other.
What varies is no number of Python's in a score function: torch makes a number that was something else in an earlier
call a symbol, and cannot read that in the kernel ("unbacked_bindings", torch 2.11). It is a tensor, read by the head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_trtcheck._suites.support.reasons import below, first_of, older, on_one_line
from pytest_trtcheck.providers import Refused

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_trtcheck.providers import AttentionCase, Where

    Mod = Callable[..., Tensor]

MOST_CELLS = 2**27
"""Queries times keys for which a mask is worked out: each costs a few bytes for a moment."""
_NO_KERNEL = ("NYI", "NotImplementedError", "NoValidChoicesError", "No valid triton configs", "out of resource")
MASK_BLOCK = 128
"""Queries in a block of the mask, as ``create_block_mask`` makes it."""
MAIN_KERNEL = {"FORCE_USE_FLEX_ATTENTION": True}
"""Makes torch, 2.5 to 2.13, use the main kernel for few queries too."""
COMPILE_SECONDS = {"fp32": 15.0, "fp16": 7.0, "bf16": 7.0}
"""To compile a variant, and again when lengths change: 3.8 to 8.3 on an H200 host, torch 2.11; 8.6 to 15.6 in fp32."""
COMPILED_VARIANTS = 64
"""Variants that torch may compile of the one function: it would stop at 8, and go on without a fused kernel."""


class Places(NamedTuple):
    """Where keys stand and what queries see, in places."""

    of_key: Tensor
    """int32 ``[keys]``; -1 for a key that nobody sees."""
    own: Tensor
    """int32 ``[batch, queries]``: the query's own place."""
    first: Tensor
    last: Tensor
    """Smaller than ``first`` for a query that is padding."""


class Flex:
    """``torch.compile(flex_attention)``."""

    name = "torch_flex"
    component = "torch"
    padding = "finite"
    """A key behind the mask gets a weight of 0, and 0 times NaN is NaN."""

    def why_not(self, case: AttentionCase, where: Where) -> str:
        """Return what flex_attention lacks here."""
        return first_of((
            (where.device != "cuda", "needs a GPU: it compiles a Triton kernel at first use"),
            (below(where, "8.0"), "needs compute capability 8.0"),
            (older(where, "torch", "2.5"), "torch has flex_attention since 2.5"),
            (bool(case.kv_dtype), "takes no fp8 cache with its scale"),
            (bool(case.rotary_base), "has no rotary embedding"),
            (_cells(case) > MOST_CELLS, f"its mask is worked out for at most {MOST_CELLS:,} pairs of query and key"),
        ))  # fmt: skip

    def compiles(self, case: AttentionCase, where: Where) -> tuple[str, float] | None:  # noqa: ARG002 - protocol
        """Return the variant of the kernel, and in how many seconds it is compiled.

        Lengths and masks are not in its name: after a second compilation torch takes those for any number.
        """
        is_batch = case.layout in {"dense", "padded"}
        context = "batch" if is_batch else "packed"
        prompt = context if case.query_lengths == case.kv_lengths else f"{context}-chunk"
        kind = "decode" if _is_decode(case) else prompt
        extras = {
            f"scale{case.softmax_scale}": case.softmax_scale is not None,
            "cap": bool(case.soft_cap),
            "alibi": case.alibi,
        }
        words = (kind, f"{case.heads}x{case.kv_heads}", f"d{case.head_size}", case.dtype)
        return "-".join((*words, *(name for name, is_on in extras.items() if is_on))), COMPILE_SECONDS[case.dtype]

    def run(self, case: AttentionCase, inputs: Any) -> Tensor:
        """Return the answer; Refused with the compiler's words when it has no kernel for it."""
        from torch.nn.attention.flex_attention import create_block_mask

        q, k, v = _tensors(case, inputs)
        places = _places(case, inputs, len(k[0, 0]))
        mask = create_block_mask(_mask_mod(places), len(q), None, q.shape[2], k.shape[2], device=str(q.device))
        how = {"scale": case.scale, "enable_gqa": case.group > 1, "kernel_options": _kernel_options(case)}
        try:
            answer = self.kernel()(q, k, v, _score_mod(case, inputs, places), mask, **how)
        except RuntimeError as error:
            if not any(words in str(error) for words in _NO_KERNEL):
                raise
            raise Refused(on_one_line(str(error))) from error
        answer = answer.transpose(1, 2)
        return answer if case.layout in {"dense", "padded"} else answer[0]

    def kernel(self) -> Callable[..., Any]:
        """Return the compiled function."""
        import torch
        from torch.nn.attention.flex_attention import flex_attention

        torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, COMPILED_VARIANTS)  # noqa: SLF001
        compiled: Callable[..., Any] = torch.compile(flex_attention)
        return compiled


def _is_decode(case: AttentionCase) -> bool:
    """Say whether torch's kernel for few queries takes a case.

    Its tile holds the queries of a whole group of heads, a power of two of them, and must fit into a block of the mask,
    or there is "no choice to select" (github.com/pytorch/pytorch pull 185349).
    """
    rows = 1 if case.layout in {"dense", "padded"} else len(case.query_lengths)
    is_power = case.group & (case.group - 1) == 0
    return set(case.query_lengths) == {1} and is_power and rows * case.group <= MASK_BLOCK


def _kernel_options(case: AttentionCase) -> dict[str, bool] | None:
    """Return what torch is told about the kernel to use, None for nothing.

    By itself it takes the kernel for few queries whenever there are fewer than 128, a few long prompts too.
    """
    return None if _is_decode(case) else MAIN_KERNEL


def _cells(case: AttentionCase) -> int:
    """Return for how many pairs of query and key the mask is worked out."""
    if case.layout in {"dense", "padded"}:
        return len(case.query_lengths) * max(case.query_lengths) * max(case.kv_lengths)
    return sum(case.query_lengths) * sum(case.kv_lengths)


def _tensors(case: AttentionCase, inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return q, k, v as ``[batch, heads, tokens, head_size]``; a cache as one row of slots, without a copy."""
    if case.layout in {"dense", "padded"}:
        return inputs.q.transpose(1, 2), inputs.k.transpose(1, 2), inputs.v.transpose(1, 2)
    k, v = inputs.k, inputs.v
    if case.layout == "paged":
        k, v = inputs.k_cache.flatten(0, 1), inputs.v_cache.flatten(0, 1)
    return inputs.q.transpose(0, 1)[None], k.transpose(0, 1)[None], v.transpose(0, 1)[None]


def _places(case: AttentionCase, inputs: Any, slots: int) -> Places:
    import torch

    device = inputs.q.device
    is_batch = case.layout in {"dense", "padded"}
    rows = []
    for index, (queries, keys) in enumerate(zip(case.query_lengths, case.kv_lengths, strict=True)):
        own = torch.arange(keys - queries, keys, device=device)
        last = torch.full_like(own, keys - 1) if case.mask == "full" else own
        first = (own - case.window + 1).clamp(min=0) if case.window else torch.zeros_like(own)
        row = torch.stack((own, first, last))
        missing = inputs.q.shape[1] - queries if is_batch else 0
        # A query that is padding sees from 0 to -1: nothing.
        padded = torch.cat((row, torch.tensor([[0], [0], [-1]], device=device).expand(3, missing)), dim=1)
        rows.append(padded if is_batch else row + inputs.cu_k[index])
    table = torch.stack(rows, dim=1) if is_batch else torch.cat(rows, dim=1)[:, None]
    own, first, last = table.int().contiguous()
    return Places(_key_places(case, inputs, slots), own, first, last)


def _key_places(case: AttentionCase, inputs: Any, slots: int) -> Tensor:
    import torch

    device = inputs.q.device
    if case.layout != "paged":
        return torch.arange(slots, dtype=torch.int32, device=device)
    places = torch.full((slots,), -1, dtype=torch.int32, device=device)
    for index, keys in enumerate(case.kv_lengths):
        position = torch.arange(keys, dtype=torch.int32, device=device)
        block = inputs.block_table[index, position // case.page_size]
        places[block.long() * case.page_size + position % case.page_size] = position + inputs.cu_k[index]
    return places


def _mask_mod(places: Places) -> Mod:
    of_key, _, first, last = places

    def sees(batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        place = of_key[key]
        return (first[batch, query] <= place) & (place <= last[batch, query])

    return sees


def _score_mod(case: AttentionCase, inputs: Any, places: Places) -> Mod | None:
    """Return what becomes of a scaled logit, None for nothing."""
    import torch

    slopes = inputs.alibi_slopes
    caps = torch.full((case.heads,), case.soft_cap, device=inputs.q.device)
    of_key, own, _, _ = places

    def capped(score: Tensor, _batch: Tensor, head: Tensor, _query: Tensor, _key: Tensor) -> Tensor:
        return caps[head] * torch.tanh(score / caps[head])

    def sloped(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return score - slopes[head] * (own[batch, query] - of_key[key]).abs()

    def both(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return sloped(capped(score, batch, head, query, key), batch, head, query, key)

    if case.alibi:
        return both if case.soft_cap else sloped
    return capped if case.soft_cap else None


PROVIDERS = (Flex(),)
"""One provider."""
