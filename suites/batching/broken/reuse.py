"""Mistakes with blocks that serve several requests."""

from __future__ import annotations

from collections.abc import Sequence as Tokens

from pytest_trtcheck._suites.batching.broken.base import variant
from pytest_trtcheck._suites.probe_llm.engine.job import Sequence
from pytest_trtcheck._suites.probe_llm.engine.kv import Key, Pool
from pytest_trtcheck._suites.probe_llm.engine.scheduler import Scheduler


class _OwnTokensOnly(Scheduler):
    def key(self, tokens: Tokens[int], sequence: Sequence) -> Key:
        return (sequence.salt, *tokens[-self.block_size :])


class _FewTokens(Scheduler):
    def key(self, tokens: Tokens[int], sequence: Sequence) -> Key:
        return (sequence.salt, len(tokens), *tokens[-2:])


class _FirstBlockOnly(Scheduler):
    def key(self, tokens: Tokens[int], sequence: Sequence) -> Key:
        return (sequence.salt, len(tokens), *tokens[: self.block_size])


class _AlwaysReuses(Pool):
    def __init__(self, blocks: int, *, reuse: bool) -> None:  # noqa: ARG002
        super().__init__(blocks, reuse=True)


class _NeverReuses(Pool):
    def __init__(self, blocks: int, *, reuse: bool) -> None:  # noqa: ARG002
        super().__init__(blocks, reuse=False)


class _StaleKeys(Pool):
    def take(self) -> int:
        taken = self._keys.copy(), self._by_key.copy()
        block = super().take()
        # The block may still be found by what it held before.
        self._keys, self._by_key = taken
        return block


class _FreedWhileShared(Pool):
    def release(self, block: int) -> None:
        if self.users[block] > 1:
            self._free.append(block)
            self.users[block] = 1
            return
        if block not in self._free:
            super().release(block)


class _OneBlockTooMany(Scheduler):
    def reuse(self, sequence: Sequence) -> None:
        super().reuse(sequence)
        # The block after the last one found is taken for equal as well, if the first one goes on with any.
        if not sequence.cached:
            return
        following = sequence.blocks[-1] + 1
        left = len(sequence.tokens) - sequence.cached
        if following < self.pool.size and left > self.block_size and self.pool.users[following] == 0:
            sequence.cached += self.block_size
            sequence.blocks.append(self.pool.take())


class _LastTokenTooMany(Scheduler):
    def reuse(self, sequence: Sequence) -> None:
        super().reuse(sequence)
        if sequence.cached and len(sequence.tokens) - sequence.cached <= 4:
            sequence.cached = len(sequence.tokens) - 1
            self.provide_for(sequence)

    def provide_for(self, sequence: Sequence) -> None:
        while len(sequence.blocks) < self.blocks_for(sequence.cached):
            sequence.blocks.append(self.pool.take())


BROKEN = (
    variant("key_without_before", "A block is found by its own tokens, whatever stands before it.",
            scheduler_class=_OwnTokensOnly),
    variant("key_of_few_tokens", "A block is found by its place and its last two tokens: a neighbour's prefix.",
            scheduler_class=_FewTokens),
    variant("key_of_first_block", "A block is found by its place and the prompt's first block.",
            scheduler_class=_FirstBlockOnly),
    variant("reuses_unasked", "Blocks are reused though that is off.", pool_class=_AlwaysReuses),
    variant("reuse_missing", "Nothing is reused though that is on.", pool_class=_NeverReuses),
    variant("stale_keys", "A block that was given away is still found by what it held before.", pool_class=_StaleKeys),
    variant("freed_while_shared", "A shared block is free as soon as one of its users leaves.",
            pool_class=_FreedWhileShared),
    variant("one_block_too_many", "One block more than is equal counts as reused.", scheduler_class=_OneBlockTooMany),
    variant("last_tokens_uncomputed", "The rest of a prompt of few tokens beyond reused blocks is not computed.",
            scheduler_class=_LastTokenTooMany),
)  # fmt: skip
