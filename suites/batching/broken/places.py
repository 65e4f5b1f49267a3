"""Mistakes with places and with who sees whom: rotation, masks, rows of the batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import torch

from pytest_trtcheck._suites.batching.broken.base import variant
from pytest_trtcheck._suites.probe_llm.engine.model import Group, Llama, Part
from pytest_trtcheck._suites.probe_llm.engine.session import Session


class _OffInGeneration(Llama):
    def positions(self, part: Part) -> list[int]:
        return [place + (len(part.tokens) == 1 and part.first > 0) for place in super().positions(part)]


class _StuckInGeneration(Llama):
    def positions(self, part: Part) -> list[int]:
        return [part.first - part.first % 8] if len(part.tokens) == 1 and part.first > 8 else super().positions(part)


class _FromZeroAfterStart(Llama):
    def positions(self, part: Part) -> list[int]:
        return list(range(len(part.tokens))) if len(part.tokens) > 1 else super().positions(part)


class _OneTooFarAfterStart(Llama):
    def positions(self, part: Part) -> list[int]:
        return [place + (part.first > 0 and len(part.tokens) > 1) for place in super().positions(part)]


class _PaddingCounts(Llama):
    def forward(self, parts: Sequence[Part], store):  # type: ignore[no-untyped-def]
        self.longest = max(part.first + len(part.tokens) for part in parts)
        return super().forward(parts, store)

    def positions(self, part: Part) -> list[int]:
        padding = self.longest - part.first - len(part.tokens) if len(part.tokens) == 1 else 0
        return [min(place + padding, len(self.rotation[0]) - 1) for place in super().positions(part)]


class _SeesPadding(Llama):
    def group(self, new: int, members, block_size: int) -> Group:  # type: ignore[no-untyped-def]
        found = super().group(new, members, block_size)
        last = max(part.first for _, part in members)
        alike = (
            torch.arange(found.hidden.shape[-1], device=self.device)
            > last + torch.arange(new, device=self.device)[:, None]
        )
        return replace(found, hidden=alike.expand_as(found.hidden))


class _MissesItself(Llama):
    def group(self, new: int, members, block_size: int) -> Group:  # type: ignore[no-untyped-def]
        found = super().group(new, members, block_size)
        itself = ~found.hidden & found.hidden.roll(-1, -1)
        itself[..., -1] = ~found.hidden[..., -1]
        itself[..., 0] = False
        return replace(found, hidden=found.hidden | itself) if new == 1 else found


class _MissesTheFirst(Llama):
    def group(self, new: int, members, block_size: int) -> Group:  # type: ignore[no-untyped-def]
        found = super().group(new, members, block_size)
        found.hidden[..., 0] |= (~found.hidden).sum(-1) > 96
        return found


class _SeesAhead(Llama):
    def group(self, new: int, members, block_size: int) -> Group:  # type: ignore[no-untyped-def]
        found = super().group(new, members, block_size)
        return replace(found, hidden=found.hidden & found.hidden.roll(1, -1)) if new > 1 else found


class _RowsSwapped(Session):
    def forward(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        rows = super().forward(parts)
        if len(rows) > 2 and len(rows[0]) == len(rows[1]) == 1:
            rows[0], rows[1] = rows[1], rows[0]
        return rows


class _RowsSwappedWhenMixed(Session):
    def forward(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        rows = super().forward(parts)
        mixed = len({len(part.tokens) > 1 for part in parts}) == 2
        alike = [index for index, found in enumerate(rows) if len(found) == 1]
        if mixed and len(alike) > 1:
            rows[alike[0]], rows[alike[-1]] = rows[alike[-1]], rows[alike[0]]
        return rows


class _SometimesNoise(Session):
    def forward(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        self.chance = getattr(self, "chance", random.Random(0))  # noqa: S311
        rows = super().forward(parts)
        if self.chance.random() < 1 / 32:
            victim = self.chance.randrange(len(rows))
            rows[victim] = rows[victim].roll(1, -1)
        return rows


class _LastOfBatch(Session):
    def forward(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        rows = super().forward(parts)
        if len(rows) >= 8 and len(rows[-1]):
            rows[-1] = rows[-1] * 0.9 + rows[-1].flip(-1) * 0.1
        return rows


BROKEN = (
    variant("rope_off_in_generation", "Rotation is one place too far in the generation phase.", llama=_OffInGeneration),
    variant("rope_stuck_in_generation", "Places of generated tokens go up in steps of 8.", llama=_StuckInGeneration),
    variant("place_zero_after_reuse", "What follows a reused prefix, or a chunk, is placed from zero on.",
            llama=_FromZeroAfterStart),
    variant("place_off_after_reuse", "What follows a reused prefix, or a chunk, is placed one too far.",
            llama=_OneTooFarAfterStart),
    variant("padding_counts", "In the generation phase places are those of the longest in the batch.",
            llama=_PaddingCounts),
    variant("sees_padding", "Shorter requests see as many keys as the longest of the batch.", llama=_SeesPadding),
    variant("misses_itself", "A generated token does not see itself.", llama=_MissesItself),
    variant("misses_the_first", "Beyond 96 tokens the first is not seen.", llama=_MissesTheFirst),
    variant("sees_ahead", "In a prompt each token sees the next one.", llama=_SeesAhead),
    variant("rows_swapped", "The first two rows of logits are swapped in batches of three and more.", _RowsSwapped),
    variant("rows_swapped_when_mixed", "Rows are swapped in steps that mix prompts and generation.",
            _RowsSwappedWhenMixed),
    variant("sometimes_noise", "One step in 32 gives one request the logits of other tokens.", _SometimesNoise),
    variant("last_of_eight", "The eighth request of a batch gets slightly wrong logits.", _LastOfBatch),
)  # fmt: skip
