"""Mistakes in what a query may see: edges of the mask, keys left out, keys taken that do not count."""

from __future__ import annotations

from typing import Any

import torch

from pytest_trtcheck._suites.attention.broken.base import Broken
from pytest_trtcheck._suites.attention.providers.eager import Tokens, distance
from pytest_trtcheck.providers import AttentionCase

_CAUSAL = frozenset({"causal", "sliding_window"})
_WINDOW = frozenset({"sliding_window"})


class Masked(Broken):
    """A kernel with another mask. A row that would see nothing keeps its own mask: a kernel leaves such rows alone."""

    def hidden(self, case: AttentionCase, index: int, queries: int, keys: int, device: torch.device) -> torch.Tensor:
        """Return the wrong mask."""
        right = super().hidden(case, index, queries, keys, device)
        wrong = self.other(case, right, distance(queries, keys, device))
        return torch.where(wrong.all(dim=-1, keepdim=True), right, wrong)

    def other(self, case: AttentionCase, right: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        """Return the wrong mask from the right one and how far back each key stands, both ``[queries, keys]``."""
        raise NotImplementedError


class CausalOneTooMany(Masked):
    """Causal mask that lets the next token in."""

    name = "broken_causal_sees_next"
    needs = _CAUSAL

    def other(self, case: AttentionCase, right: torch.Tensor, back: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Show the token after the query's own."""
        return right & (back != -1)


class CausalOneTooFew(Masked):
    """Causal mask that hides the query's own token."""

    name = "broken_causal_misses_own"
    needs = _CAUSAL

    def other(self, case: AttentionCase, right: torch.Tensor, back: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Hide the query's own token."""
        return right | (back == 0)


class CausalIgnored(Masked):
    """Causal mask ignored."""

    name = "broken_causal_ignored"
    needs = _CAUSAL

    def other(self, case: AttentionCase, right: torch.Tensor, back: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Show all that comes later."""
        return right & (back >= 0)


class CausalTopLeft(Masked):
    """Causal mask aligned at the first key instead of the last, for queries that come late."""

    name = "broken_causal_top_left"
    needs = frozenset({"chunked", "generation"})

    def other(self, case: AttentionCase, right: torch.Tensor, back: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Hide keys after the number of the query within its chunk."""
        return distance(len(right), len(right), right.device)[:, :1] < torch.arange(right.shape[1], device=right.device)


class CausalAlways(Masked):
    """Causal mask where there should be none."""

    name = "broken_causal_always"
    needs = frozenset({"full"})

    def other(self, case: AttentionCase, right: torch.Tensor, back: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Hide all that comes later."""
        return right | (back < 0)


class WindowOneTooLong(Masked):
    """Window longer by one key."""

    name = "broken_window_longer"
    needs = _WINDOW

    def other(self, case: AttentionCase, right: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        """Show the key just before the window."""
        return right & (back != case.window)


class WindowOneTooShort(Masked):
    """Window shorter by one key."""

    name = "broken_window_shorter"
    needs = _WINDOW

    def other(self, case: AttentionCase, right: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        """Hide the first key of the window."""
        return right | (back == case.window - 1)


class WindowIgnored(Masked):
    """Window ignored."""

    name = "broken_window_ignored"
    needs = _WINDOW

    def other(self, case: AttentionCase, right: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        """Show all that came before."""
        return right & (back < case.window)


class LastKeyDropped(Masked):
    """Last key of each sequence left out."""

    name = "broken_last_key_dropped"

    def other(self, case: AttentionCase, right: torch.Tensor, back: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Hide the last key."""
        return right | _between(right, right.shape[1] - 1, right.shape[1])


class FirstKeyDropped(Masked):
    """First key of each sequence left out."""

    name = "broken_first_key_dropped"

    def other(self, case: AttentionCase, right: torch.Tensor, back: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Hide the first key."""
        return right | _between(right, 0, 1)


class LastBlockOf16(Masked):
    """Last block of 16 keys skipped."""

    name = "broken_last_block_16"
    block = 16

    def other(self, case: AttentionCase, right: torch.Tensor, back: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Hide the last block, full or not."""
        keys = right.shape[1]
        return right | _between(right, (keys - 1) // self.block * self.block, keys)


class LastBlockOf32(LastBlockOf16):
    """Last block of 32 keys skipped."""

    name = "broken_last_block_32"
    block = 32


class LastBlockOf64(LastBlockOf16):
    """Last block of 64 keys skipped."""

    name = "broken_last_block_64"
    block = 64


class FirstBlock(Masked):
    """First block of 32 keys skipped."""

    name = "broken_first_block"

    def other(self, case: AttentionCase, right: torch.Tensor, back: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Hide the first block."""
        return right | _between(right, 0, 32)


class BlockAtSplit(Masked):
    """Sequence split in two for parallel work, and the 16 keys before the cut skipped."""

    name = "broken_block_at_split"

    def other(self, case: AttentionCase, right: torch.Tensor, back: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Hide the block before the middle."""
        cut = right.shape[1] // 32 * 16
        return right | _between(right, max(cut - 16, 0), cut)


class PaddingAttended(Broken):
    """Padding takes part as keys and values of zero."""

    name = "broken_padding_attended"
    needs = frozenset({"padded"})

    def attend(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> torch.Tensor:
        """Return the answer with all rows of the tensor as tokens; queries keep their positions."""
        queries, keys = len(tokens.q), len(tokens.k)
        beyond = (tensor[tokens.number, keys:].nan_to_num(0.0) for tensor in (inputs.q, inputs.k, inputs.v))
        pairs = zip(tokens[1:], beyond, strict=True)
        return super().attend(case, inputs, Tokens(tokens.number, *map(torch.cat, pairs)))[:queries]


class LengthOfNeighbour(Broken):
    """Number of keys taken from the next sequence of the batch; what lies beyond is zero."""

    name = "broken_length_of_neighbour"
    needs = frozenset({"full", "generation"})

    def attend(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> torch.Tensor:
        """Return the answer with too many or too few keys."""
        wanted = case.kv_lengths[(tokens.number + 1) % len(case.kv_lengths)]
        k, v = (_resized(tensor, wanted) for tensor in (tokens.k, tokens.v))
        return super().attend(case, inputs, tokens._replace(k=k, v=v))


class LastPageInFull(Broken):
    """Last block of a sequence read in full, its unused slots as zeros."""

    name = "broken_last_page_in_full"
    needs = frozenset({"generation"})

    def attend(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> torch.Tensor:
        """Return the answer with as many keys as the blocks have room for."""
        wanted = -(-len(tokens.k) // case.page_size) * case.page_size
        k, v = (_resized(tensor, wanted) for tensor in (tokens.k, tokens.v))
        return super().attend(case, inputs, tokens._replace(k=k, v=v))


def _between(like: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    """Return which keys stand in a range, bool ``[1, keys]``."""
    number = torch.arange(like.shape[1], device=like.device)[None]
    return (number >= start) & (number < stop)


def _resized(tensor: torch.Tensor, length: int) -> torch.Tensor:
    """Return so many tokens, zeros after the last."""
    missing = tensor.new_zeros((max(length - len(tensor), 0), *tensor.shape[1:]))
    return torch.cat((tensor[:length], missing))


MASKS = (
    CausalOneTooMany,
    CausalOneTooFew,
    CausalIgnored,
    CausalTopLeft,
    CausalAlways,
    WindowOneTooLong,
    WindowOneTooShort,
    WindowIgnored,
    LastKeyDropped,
    FirstKeyDropped,
    LastBlockOf16,
    LastBlockOf32,
    LastBlockOf64,
    FirstBlock,
    BlockAtSplit,
    PaddingAttended,
    LengthOfNeighbour,
    LastPageInFull,
)
