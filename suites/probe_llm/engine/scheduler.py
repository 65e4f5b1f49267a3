"""Who takes part in a step: arrivals, slots, chunks of prompts, blocks, eviction."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from collections.abc import Sequence as Tokens

from pytest_trtcheck._suites.probe_llm.engine.job import Job, Sequence
from pytest_trtcheck._suites.probe_llm.engine.kv import Key, Pool, Store
from pytest_trtcheck._suites.probe_llm.engine.model import Part


class Scheduler:
    """Holds jobs that arrive, wait and run; first come, first served.

    A job that runs and finds no block evicts the youngest: that one gives its blocks back and waits at the front, with
    all its tokens; prompt and answer so far are then read again.
    """

    def __init__(self, pool: Pool, store: Store, slots: int, chunk: int) -> None:
        self.pool, self.store = pool, store
        self.slots, self.chunk = slots, chunk
        self.arriving: list[Job] = []
        self.waiting: deque[Job] = deque()
        self.running: list[Job] = []
        self.preemptions = 0
        self.reused_tokens = 0
        self.largest_batch = 0

    @property
    def block_size(self) -> int:
        """Tokens in a block."""
        return self.store.block_size

    def plan(self, delivered: Iterable[int]) -> list[tuple[Job, list[Part]]]:
        """Return the jobs of the next step with a part for each of their sequences.

        ``delivered``: numbers of the requests that have delivered a token or will not any more.
        """
        self.receive(set(delivered))
        self.admit()
        budget = self.chunk or None
        step: dict[Job, list[Part]] = {}
        for job in list(self.running):
            if job not in self.running:
                continue
            parts = self.parts(job, budget)
            if parts is None:
                continue
            step[job] = parts
            if budget is not None and self.reads(job):
                budget -= sum(len(part.tokens) for part in parts)
        self.largest_batch = max(self.largest_batch, len(step))
        return list(step.items())

    def receive(self, delivered: set[int]) -> None:
        """Let requests in whose time has come."""
        due = [job for job in self.arriving if job.request.after is None or job.request.after in delivered]
        self.arriving = [job for job in self.arriving if job not in due]
        self.waiting.extend(due)

    def admit(self) -> None:
        """Let waiting jobs run while there are slots and blocks for what they have."""
        while self.waiting and len(self.running) < self.slots:
            job = self.waiting[0]
            if self.blocks_wanted(job) > self.pool.available:
                return
            self.waiting.popleft()
            self.running.append(job)
            for sequence in job.sequences:
                self.reuse(sequence)

    def blocks_wanted(self, job: Job) -> int:
        """Return how many blocks a job needs to begin: its tokens and the next one."""
        return sum(self.blocks_for(len(sequence.tokens) + 1) for sequence in job.sequences)

    def blocks_for(self, tokens: int) -> int:
        """Return how many blocks hold so many tokens."""
        return -(-tokens // self.block_size)

    def reuse(self, sequence: Sequence) -> None:
        """Give a sequence the blocks that hold its beginning already. One token at least is left to be computed."""
        for end in range(self.block_size, len(sequence.tokens), self.block_size):
            block = self.pool.find(self.key(sequence.tokens[:end], sequence))
            if block is None:
                break
            self.pool.share(block)
            sequence.blocks.append(block)
            sequence.cached = end
        self.reused_tokens += sequence.cached

    def key(self, tokens: Tokens[int], sequence: Sequence) -> Key:
        """Return the key of the block that ends with these tokens, the first on: its numbers depend on all of them."""
        return (sequence.salt, *tokens)

    def reads(self, job: Job) -> bool:
        """Say whether a job has more than its last token to be computed: a prompt, or all of it after an eviction."""
        return any(len(sequence.tokens) - sequence.cached > 1 for sequence in job.sequences)

    def parts(self, job: Job, budget: int | None) -> list[Part] | None:
        """Return what a job computes in this step; None where there is no budget, or no block, for it.

        In a job with several sequences each gets the whole budget: they go in step.
        """
        reads = self.reads(job)
        if reads and budget is not None and budget <= 0:
            return None
        if not reads:
            job.propose()
        parts = []
        for sequence in job.sequences:
            left = len(sequence.tokens) - sequence.cached
            new = min(left, budget) if reads and budget is not None else left
            if not self.provide(job, sequence, sequence.cached + new + len(sequence.proposed)):
                return None
            parts.append(self.part(sequence, new))
        return parts

    def part(self, sequence: Sequence, new: int) -> Part:
        """Return the next ``new`` tokens of a sequence as part of a step; logits only where its tokens end."""
        first = sequence.cached
        is_last = first + new == len(sequence.tokens)
        tokens = sequence.tokens[first : first + new] + (sequence.proposed if is_last else [])
        rows = 1 + len(sequence.proposed) if is_last else 0
        return Part(tokens, first, list(sequence.blocks), rows, sequence.adapter)

    def provide(self, job: Job, sequence: Sequence, tokens: int) -> bool:
        """See that a sequence has blocks for so many tokens; evict younger jobs, and in the end this one."""
        while len(sequence.blocks) < self.blocks_for(tokens):
            if self.pool.available:
                sequence.blocks.append(self.pool.take())
                continue
            youngest = self.running[-1]
            self.evict(youngest)
            if youngest is job:
                return False
        return True

    def evict(self, job: Job) -> None:
        """Take a running job's blocks away and let it wait in front."""
        self.running.remove(job)
        self.waiting.appendleft(job)
        for sequence in job.sequences:
            self.forget(sequence)
        self.preemptions += 1

    def forget(self, sequence: Sequence) -> None:
        """Give a sequence's blocks back; its tokens stay."""
        self.rewind(sequence, 0)
        sequence.published = 0
        sequence.proposed = []

    def rewind(self, sequence: Sequence, tokens: int) -> None:
        """Keep so many tokens of a sequence in the cache, and give back the blocks that held no others."""
        sequence.cached = tokens
        kept = self.blocks_for(tokens)
        for block in reversed(sequence.blocks[kept:]):
            self.pool.release(block)
        del sequence.blocks[kept:]

    def settle(self, sequence: Sequence) -> None:
        """After a step: take back what the cache has beyond the known tokens, and publish the blocks that became full.

        The last token is never in the cache: it is what the next step begins with.
        """
        self.rewind(sequence, min(sequence.cached, len(sequence.tokens) - 1))
        full = sequence.cached // self.block_size
        if self.pool.reuse:
            for index in range(sequence.published, full):
                key = self.key(sequence.tokens[: (index + 1) * self.block_size], sequence)
                self.pool.publish(sequence.blocks[index], key)
        sequence.published = full

    def retire(self, job: Job) -> None:
        """Take a finished job out and give its blocks back."""
        self.running.remove(job)
        for sequence in job.sequences:
            self.forget(sequence)

    def fork(self, sequence: Sequence) -> Sequence:
        """Return a second sequence with the same tokens and cache, for a search with beams.

        Full blocks are shared; the last one, which will be written to, is copied. Raises IndexError without a block.
        """
        full = sequence.cached // self.block_size
        twin = Sequence(
            list(sequence.tokens), sequence.adapter, sequence.cached, sequence.blocks[:full], published=full
        )
        for block in twin.blocks:
            self.pool.share(block)
        for block in sequence.blocks[full:]:
            if not self.pool.available:
                raise IndexError("no block left for a copy")
            twin.blocks.append(self.pool.take())
            self.store.copy(block, twin.blocks[-1])
        return twin
