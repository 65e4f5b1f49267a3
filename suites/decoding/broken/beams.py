"""Mistakes in beam search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.decoding.broken.base import BrokenEngine
from pytest_trtcheck._suites.probe_llm.beams import Beam, Search
from pytest_trtcheck._suites.probe_llm.engine.beams import BeamJob
from pytest_trtcheck._suites.probe_llm.engine.job import Sequence as CachedSequence

if TYPE_CHECKING:
    from torch import Tensor

_BEAMS = frozenset({"beam_search"})


def _searching(search: type[Search]) -> type[BeamJob]:
    return type("Searching", (BeamJob,), {"search_class": search})


class _SumsForgotten(Search):
    def step(self, rows: Sequence[Tensor]) -> list[tuple[int, int]]:
        self.going = [(tokens, 0.0) for tokens, _ in self.going]
        return super().step(rows)


class BeamsByTheLastTokenOnly(BrokenEngine):
    """A beam is worth what its last token is worth."""

    shows_in, beam_job = _BEAMS, _searching(_SumsForgotten)


class _Greedy(Search):
    def step(self, rows: Sequence[Tensor]) -> list[tuple[int, int]]:
        if len(self.going) == 1:
            return super().step(rows)
        best = [(int(row.argmax()), float(row.max())) for row in rows]
        self.going = [
            ((*tokens, token), total + value) for (tokens, total), (token, value) in zip(self.going, best, strict=True)
        ]
        self.is_over = self._is_over()
        return [(parent, token) for parent, (token, _) in enumerate(best)]


class BeamsNeverMeet(BrokenEngine):
    """After the first token each beam goes on greedily by itself."""

    shows_in, beam_job = _BEAMS, _searching(_Greedy)


class _Unordered(Search):
    def best(self) -> list[Beam]:
        return super().best()[::-1]


class WorstBeamFirst(BrokenEngine):
    """Beams are told in the wrong order."""

    shows_in, beam_job = _BEAMS, _searching(_Unordered)


class _Twice(Search):
    def best(self) -> list[Beam]:
        return [super().best()[0]] * self.width


class BestBeamRepeated(BrokenEngine):
    """All beams are the best one."""

    shows_in, beam_job = _BEAMS, _searching(_Twice)


class _OnlyOne(Search):
    def best(self) -> list[Beam]:
        return super().best()[:1]


class OneBeamTold(BrokenEngine):
    """The best beam is told and no other."""

    shows_in, beam_job = _BEAMS, _searching(_OnlyOne)


class _Normalised(Search):
    def best(self) -> list[Beam]:
        return [(tokens, total / len(tokens)) for tokens, total in super().best()]


class BeamSumsDivided(BrokenEngine):
    """The log-probability that is told of a beam is its mean."""

    shows_in, beam_job = _BEAMS, _searching(_Normalised)


class _WrongPenalty(Search):
    def __init__(self, width: int, limit: int, length_penalty: float = 1.0) -> None:
        super().__init__(width, limit, -length_penalty if length_penalty != 1 else 1.0)


class LengthPenaltyTurnedRound(BrokenEngine):
    """The length penalty favours what it should not."""

    shows_in, beam_job = frozenset({"length_penalty"}), _searching(_WrongPenalty)


class _ParentsMixedUp(BeamJob):
    def carried_on(self, kept: list[tuple[int, int]]) -> list[CachedSequence]:
        last = len(self.sequences) - 1
        return super().carried_on([(last - parent, token) for parent, token in kept])


class BeamsOnTheWrongCache(BrokenEngine):
    """A beam goes on with the cache of another one."""

    shows_in, beam_job = _BEAMS, _ParentsMixedUp


class _CacheShared(BeamJob):
    def carried_on(self, kept: list[tuple[int, int]]) -> list[CachedSequence]:
        copy = self.scheduler.store.copy
        self.scheduler.store.copy = lambda *_: None  # type: ignore[method-assign]
        try:
            return super().carried_on(kept)
        finally:
            self.scheduler.store.copy = copy  # type: ignore[method-assign]


class LastBlockNotCopied(BrokenEngine):
    """A fork does not get what its parent has in the block that is not full."""

    shows_in, beam_job = _BEAMS, _CacheShared


class _NarrowSearch(Search):
    def __init__(self, width: int, limit: int, length_penalty: float = 1.0) -> None:
        super().__init__(width, limit, length_penalty)
        self.told = width
        self.width = max(width // 2, 1)

    def best(self) -> list[Beam]:
        found = super().best()
        return [*found, *[((*tokens[:-1], tokens[-1] ^ 1), total - 1.0) for tokens, total in found]][: self.told]


class HalfAsManyBeams(BrokenEngine):
    """Half as many beams are searched as were asked for; the others are made up."""

    shows_in, beam_job = _BEAMS, _searching(_NarrowSearch)


BROKEN: tuple[type[BrokenEngine], ...] = (
    BeamsByTheLastTokenOnly, BeamsNeverMeet, WorstBeamFirst, BestBeamRepeated, OneBeamTold, BeamSumsDivided,
    LengthPenaltyTurnedRound, BeamsOnTheWrongCache, LastBlockNotCopied, HalfAsManyBeams,
)  # fmt: skip
