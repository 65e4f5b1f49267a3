"""Mistakes of the scheduler: eviction, cancelling, newcomers, blocks that do not come back."""

from __future__ import annotations

from collections.abc import Sequence as Jobs

import torch

from pytest_trtcheck._suites.batching.broken.base import variant
from pytest_trtcheck._suites.probe_llm.engine.job import Job, Sequence
from pytest_trtcheck._suites.probe_llm.engine.scheduler import Scheduler
from pytest_trtcheck._suites.probe_llm.engine.session import Session


class _ForgetsAnswer(Scheduler):
    def evict(self, job: Job) -> None:
        super().evict(job)
        for sequence in job.sequences:
            del sequence.tokens[len(job.request.prompt) :]


class _ForgetsLast(Scheduler):
    def evict(self, job: Job) -> None:
        super().evict(job)
        for sequence in job.sequences:
            del sequence.tokens[max(len(job.request.prompt), len(sequence.tokens) - 1) :]


class _ForgetsThatItForgot(Scheduler):
    """Blocks are gone, the count of cached tokens is not."""

    def evict(self, job: Job) -> None:
        cached = [sequence.cached for sequence in job.sequences]
        super().evict(job)
        for sequence, count in zip(job.sequences, cached, strict=True):
            sequence.cached = max(count - self.block_size, 0)


class _GivesUp(Scheduler):
    def evict(self, job: Job) -> None:
        super().evict(job)
        self.waiting.remove(job)
        job.finish = "length"


class _EvictsBlocksOnly(Scheduler):
    def evict(self, job: Job) -> None:
        # The oldest loses its first block to the pool, and goes on.
        victim = self.running[0].sequences[0]
        if len(victim.blocks) < 2 or self.pool.users[victim.blocks[0]] != 1:
            super().evict(job)
            return
        self.pool.release(victim.blocks[0])
        victim.blocks[0] = victim.blocks[1]
        self.pool.share(victim.blocks[1])


class _LeaksOnCancel(Scheduler):
    def retire(self, job: Job) -> None:
        if job.finish == "cancelled":
            self.running.remove(job)
            return
        super().retire(job)


class _LeaksLastBlock(Scheduler):
    def retire(self, job: Job) -> None:
        for sequence in job.sequences:
            if len(sequence.blocks) > 4:
                sequence.blocks.pop()
        super().retire(job)


class _LeaksOnEviction(Scheduler):
    def evict(self, job: Job) -> None:
        for sequence in job.sequences:
            del sequence.blocks[1:2]
        super().evict(job)


class _CancelFreesNeighbour(Scheduler):
    def retire(self, job: Job) -> None:
        super().retire(job)
        if job.finish == "cancelled" and self.running:
            victim = self.running[0].sequences[0]
            self.pool.release(victim.blocks[0])
            victim.blocks[0] = self.pool.take() if self.pool.available > 1 else victim.blocks[0]


class _CancelKillsNeighbour(Scheduler):
    def retire(self, job: Job) -> None:
        super().retire(job)
        if job.finish == "cancelled":
            for other in self.running[:1]:
                other.finish = "cancelled"
                super().retire(other)


class _CancelResetsNeighbour(Scheduler):
    def retire(self, job: Job) -> None:
        super().retire(job)
        if job.finish == "cancelled":
            for other in self.running[-1:]:
                self.rewind(other.sequences[0], 0)
                other.sequences[0].tokens = other.sequences[0].tokens[1:]


class _StaleAfterCancel(Scheduler):
    """A newcomer takes the cache of a cancelled request for its own beginning."""

    left: list[int]

    def retire(self, job: Job) -> None:
        if job.finish == "cancelled":
            self.left = [*job.sequences[0].blocks[:1]]
            self.pool.share(self.left[0])
        super().retire(job)

    def reuse(self, sequence: Sequence) -> None:
        super().reuse(sequence)
        if getattr(self, "left", None) and not sequence.blocks and len(sequence.tokens) > self.block_size:
            sequence.blocks, self.left = self.left, []
            sequence.cached = self.block_size


class _NewcomerStartsLate(Scheduler):
    def reuse(self, sequence: Sequence) -> None:
        super().reuse(sequence)
        # The first token is taken for computed when others run already.
        if len(self.running) > 4 and not sequence.cached and len(sequence.tokens) > 1 and self.provide_one(sequence):
            sequence.cached = 1

    def provide_one(self, sequence: Sequence) -> bool:
        sequence.blocks.append(self.pool.take())
        return True


class _SharesSlot(Scheduler):
    """Beyond the slots, a newcomer writes to the blocks of the first that runs."""

    def admit(self) -> None:
        super().admit()
        if self.waiting and len(self.running) == self.slots:
            job = self.waiting.popleft()
            self.running.append(job)
            blocks = self.running[0].sequences[0].blocks
            job.sequences[0].blocks = list(blocks)
            for block in blocks:
                self.pool.share(block)


class _JoinDisturbs(Session):
    def forward(self, parts):  # type: ignore[no-untyped-def]
        rows: list[torch.Tensor] = super().forward(parts)
        newcomers = [index for index, part in enumerate(parts) if len(part.tokens) > 1]
        if newcomers and len(newcomers) < len(parts):
            # Who joins gets the first token of the one who was there.
            there = next(index for index in range(len(parts)) if index not in newcomers)
            if len(rows[newcomers[-1]]) == 1:
                rows[newcomers[-1]] = rows[there][-1:]
        return rows


class _TimesOut(Session):
    def step(self, jobs: Jobs[Job]) -> None:
        super().step(jobs)
        patience = getattr(self, "patience", {})
        for job in list(self.scheduler.waiting):
            patience[job] = patience.get(job, 24) - 1
            if not patience[job] and not job.answer:
                self.scheduler.waiting.remove(job)
                job.finish, job.words = "refused", "timed out"
        self.patience = patience


BROKEN = (
    variant("eviction_forgets_answer", "After an eviction only the prompt is computed again.",
            scheduler_class=_ForgetsAnswer),
    variant("eviction_forgets_last", "After an eviction the last token is forgotten.", scheduler_class=_ForgetsLast),
    variant("eviction_keeps_count", "After an eviction all but one block counts as computed still.",
            scheduler_class=_ForgetsThatItForgot),
    variant("eviction_gives_up", "An evicted request ends with what it has.", scheduler_class=_GivesUp),
    variant("eviction_takes_a_block", "The oldest request loses its first block and goes on.",
            scheduler_class=_EvictsBlocksOnly),
    variant("leaks_on_cancel", "Blocks of cancelled requests are not returned.", scheduler_class=_LeaksOnCancel),
    variant("leaks_last_block", "The last block of long requests is not returned.", scheduler_class=_LeaksLastBlock),
    variant("leaks_on_eviction", "An evicted request returns all blocks but one.", scheduler_class=_LeaksOnEviction),
    variant("cancel_frees_neighbour", "Cancelling returns a block of the oldest request that runs.",
            scheduler_class=_CancelFreesNeighbour),
    variant("cancel_kills_neighbour", "Cancelling ends the oldest request that runs, too.",
            scheduler_class=_CancelKillsNeighbour),
    variant("cancel_resets_neighbour", "After a cancelling the youngest request has lost its first token.",
            scheduler_class=_CancelResetsNeighbour),
    variant("stale_after_cancel", "A newcomer begins with a block of the cancelled request.",
            scheduler_class=_StaleAfterCancel),
    variant("newcomer_starts_late", "Who joins four or more others lacks its first token.",
            scheduler_class=_NewcomerStartsLate),
    variant("slot_shared", "Beyond the slots, a newcomer shares the blocks of one that runs.",
            scheduler_class=_SharesSlot),
    variant("join_mixes_rows", "Who joins running requests gets the token of one of them first.", _JoinDisturbs),
    variant("times_out", "A request that waits for 24 steps is given up.", _TimesOut),
)  # fmt: skip
