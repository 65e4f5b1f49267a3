"""What several providers need: releases compared, sequences collected, masks written out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.attention.providers.eager import Eager
from pytest_trtcheck.model.versions import Capability, DottedVersion, PackageVersion

if TYPE_CHECKING:
    import torch

    from pytest_trtcheck.providers import AttentionCase, Where

PLAIN = Eager()
"""Collects sequences from every layout, and writes answers back, for code that computes one sequence at a time."""
MOST_WORDS = 300
"""Characters of a library's refusal that are kept: compilers append whole programs to theirs."""


def first_of(reasons: Iterable[tuple[bool, str]]) -> str:
    """Return the words of the first reason that holds, empty when none does."""
    return next((words for holds, words in reasons if holds), "")


def on_one_line(words: str) -> str:
    """Return what a library said on one line, cut where it goes on for long."""
    line = " ".join(words.split())
    return line if len(line) <= MOST_WORDS else f"{line[: MOST_WORDS - 1]}…"


def older(where: Where, component: str, release: str) -> bool:
    """Say whether a component is older than a release. Alphas count as the release: NGC names its builds so."""
    version = PackageVersion.try_parse(where.versions.get(component))
    return version is not None and version.base < DottedVersion.parse(release)


def below(where: Where, capability: str) -> bool:
    """Say whether the GPU's compute capability is lower; False where none is known."""
    found = Capability.try_parse(where.compute_capability)
    return found is not None and found < Capability.parse(capability)


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
