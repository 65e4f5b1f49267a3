"""What several providers need: sequences collected, masks written out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.attention.providers.eager import Eager

if TYPE_CHECKING:
    import torch

    from pytest_trtcheck.providers import AttentionCase

PLAIN = Eager()
"""Collects sequences from every layout, and writes answers back, for code that computes one sequence at a time."""


def is_all_visible(case: AttentionCase, queries: int, keys: int) -> bool:
    """Say whether every query of a sequence sees every key, so that no mask is needed."""
    if case.mask == "sliding_window":
        return queries == 1 and keys <= case.window
    return case.mask == "full" or queries == 1


def visible(case: AttentionCase, index: int, device: torch.device) -> torch.Tensor:
    """Return which keys each query of a sequence sees, bool ``[queries, keys]``."""
    queries, keys = case.query_lengths[index], case.kv_lengths[index]
    return ~PLAIN.hidden(case, index, queries, keys, device)


def alibi(case: AttentionCase, inputs: Any, index: int) -> torch.Tensor:
    """Return ALiBi's addition to the logits of a sequence, fp32 ``[heads, queries, keys]``."""
    shape = (case.heads, case.query_lengths[index], case.kv_lengths[index])
    return PLAIN.bias(case, inputs, inputs.alibi_slopes.new_zeros(shape))


def unpadded(case: AttentionCase, inputs: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return q, k, v of layouts without a cache end to end, ``[tokens, heads, head_size]``, padding dropped."""
    import torch

    if case.layout == "packed":
        return inputs.q, inputs.k, inputs.v
    sequences = [PLAIN.gather(case, inputs, index) for index in range(len(case.query_lengths))]
    q, k, v = (torch.cat(parts) for parts in zip(*(tokens[1:] for tokens in sequences), strict=True))
    return q, k, v


def laid_out(case: AttentionCase, inputs: Any, answer: torch.Tensor) -> torch.Tensor:
    """Return an answer of queries end to end in the layout of ``q``."""
    if case.layout in {"packed", "paged"}:
        return answer.view(inputs.q.shape)
    for index, part in enumerate(answer.split(list(case.query_lengths))):
        PLAIN.write(case, inputs, index, part)
    out: torch.Tensor = inputs.out
    return out
