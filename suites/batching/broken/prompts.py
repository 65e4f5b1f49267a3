"""Mistakes with prompts that are read in pieces."""

from __future__ import annotations

from dataclasses import replace

from pytest_trtcheck._suites.batching.broken.base import variant
from pytest_trtcheck._suites.probe_llm.engine.job import Sequence
from pytest_trtcheck._suites.probe_llm.engine.model import Group, Llama, Part
from pytest_trtcheck._suites.probe_llm.engine.scheduler import Scheduler


class _SkipsAtBoundary(Scheduler):
    def part(self, sequence: Sequence, new: int) -> Part:
        found = super().part(sequence, new)
        is_later = found.first > 0 and len(found.tokens) > 1
        return replace(found, tokens=[found.tokens[1], *found.tokens[1:]]) if is_later else found


class _RepeatsAtBoundary(Scheduler):
    def part(self, sequence: Sequence, new: int) -> Part:
        found = super().part(sequence, new)
        before = sequence.tokens[found.first - 1]
        is_later = found.first > 0 and len(found.tokens) > 1
        return replace(found, tokens=[before, *found.tokens[:-1]]) if is_later else found


class _AnswersEarly(Scheduler):
    def part(self, sequence: Sequence, new: int) -> Part:
        found = super().part(sequence, new)
        return replace(found, rows=1) if not found.rows and found.first else found


class _ChunkAlone(Llama):
    def group(self, new: int, members, block_size: int) -> Group:  # type: ignore[no-untyped-def]
        found = super().group(new, members, block_size)
        for index, (_, part) in enumerate(members):
            if new > 1:
                found.hidden[index, :, : part.first] = True
        return found


class _EarlierChunkHalf(Llama):
    def group(self, new: int, members, block_size: int) -> Group:  # type: ignore[no-untyped-def]
        found = super().group(new, members, block_size)
        for index, (_, part) in enumerate(members):
            if new > 1 and part.first:
                found.hidden[index, :, part.first - 1] = True
        return found


class _LastChunkLost(Scheduler):
    def parts(self, job, budget):  # type: ignore[no-untyped-def]
        if budget is None:
            return super().parts(job, budget)
        for sequence in job.sequences:
            left = len(sequence.tokens) - sequence.cached
            # A rest of one token counts as read: the one before it speaks for the prompt.
            if left == 1 and len(sequence.tokens) == len(job.request.prompt) and sequence.cached:
                sequence.tokens = sequence.tokens[:-1]
                self.rewind(sequence, sequence.cached - 1)
        return super().parts(job, budget)


BROKEN = (
    variant("chunk_skips", "The first token of every later chunk is skipped.", scheduler_class=_SkipsAtBoundary),
    variant("chunk_repeats", "Every later chunk begins with the last token of the one before.",
            scheduler_class=_RepeatsAtBoundary),
    variant("chunk_answers_early", "Generation begins before the last chunk was read.", scheduler_class=_AnswersEarly),
    variant("chunk_alone", "A later chunk does not see the ones before.", llama=_ChunkAlone),
    variant("chunk_misses_one", "A later chunk does not see the last token before it.", llama=_EarlierChunkHalf),
    variant("chunk_of_one_lost", "A last chunk of one token is not read.", scheduler_class=_LastChunkLost),
)  # fmt: skip
