"""Mistakes of tensor parallelism: what devices made is brought together wrongly."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pytest_trtcheck._suites.batching.broken.base import variant
from pytest_trtcheck._suites.probe_llm.engine.parallel import Shared


class _ForgetsTheLast(Shared):
    def summed(self, found: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
        return super().summed(found[:1], device)


class _AddsTheFirstTwice(Shared):
    def summed(self, found: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
        return super().summed([found[0], found[0]], device)


class _JoinsInReverse(Shared):
    def joined(self, found: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
        return super().joined(found[::-1], device)


class _CopiesZeros(Shared):
    """What a copy between GPUs without peer access has been seen to deliver."""

    def joined(self, found: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
        return super().joined([found[0], torch.zeros_like(found[1])], device)


class _SumsInBfloat16(Shared):
    def summed(self, found: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
        return super().summed([part.bfloat16() for part in found], device).to(found[0].dtype)


class _Stale(Shared):
    """Adds the other device's part of the step before where it fits."""

    last: torch.Tensor | None = None

    def summed(self, found: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
        before, self.last = self.last, found[1]
        fits = before is not None and before.shape == found[1].shape
        return super().summed([found[0], before if fits and before is not None else found[1]], device)


BROKEN = (
    variant("part_forgotten", "One device's part of a sum is left out.", shared_class=_ForgetsTheLast),
    variant(
        "part_twice", "One device's part of a sum is added twice, the other's never.", shared_class=_AddsTheFirstTwice
    ),
    variant(
        "heads_of_devices_swapped", "What devices made is joined in the wrong order.", shared_class=_JoinsInReverse
    ),
    variant("peer_copy_empty", "What another device made arrives as zeros.", shared_class=_CopiesZeros),
    variant("sum_rounded", "Devices' parts are summed in bf16.", shared_class=_SumsInBfloat16),
    variant("part_stale", "Another device's part is one layer old.", shared_class=_Stale),
)
