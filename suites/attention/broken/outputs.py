"""Mistakes in what is handed back, and in what is left behind."""

from __future__ import annotations

import copy
from typing import Any

import torch

from pytest_trtcheck._suites.attention.broken.base import Broken
from pytest_trtcheck.providers import AttentionCase


class TailRows(Broken):
    """Queries beyond the last multiple of 16 never written."""

    name = "broken_tail_rows"

    def write(self, case: AttentionCase, inputs: Any, index: int, answer: torch.Tensor) -> None:
        """Write whole tiles."""
        super().write(case, inputs, index, answer[: len(answer) // 16 * 16])


class LastRow(Broken):
    """Last query of each sequence never written."""

    name = "broken_last_row"

    def write(self, case: AttentionCase, inputs: Any, index: int, answer: torch.Tensor) -> None:
        """Write all but one."""
        super().write(case, inputs, index, answer[:-1])


class LastHead(Broken):
    """Last head never written."""

    name = "broken_last_head"

    def write(self, case: AttentionCase, inputs: Any, index: int, answer: torch.Tensor) -> None:
        """Leave one head as it was."""
        before = _place(case, inputs, index)[:, -1:]
        super().write(case, inputs, index, torch.cat((answer[:, :-1], before), dim=1))


class LastChannels(Broken):
    """Last 8 channels never written."""

    name = "broken_last_channels"

    def write(self, case: AttentionCase, inputs: Any, index: int, answer: torch.Tensor) -> None:
        """Leave some channels as they were."""
        before = _place(case, inputs, index)[..., -8:]
        super().write(case, inputs, index, torch.cat((answer[..., :-8], before), dim=-1))


class PreviousAnswer(Broken):
    """Answer of the previous call of the same shape returned."""

    name = "broken_previous_answer"

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], torch.Tensor] = {}

    def run(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the answer of the last call."""
        answer = super().run(case, inputs)
        key = (*answer.shape, answer.dtype)
        late = self._kept.get(key, answer)
        self._kept[key] = answer.clone()
        return late


class PreviousKeys(Broken):
    """Keys of the previous call of the same shape used."""

    name = "broken_previous_keys"

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], torch.Tensor] = {}

    def run(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the answer to old keys."""
        inputs = copy.copy(inputs)
        where = "k_cache" if case.layout == "paged" else "k"
        keys = getattr(inputs, where)
        key = (*keys.shape, keys.dtype)
        setattr(inputs, where, self._kept.get(key, keys))
        self._kept[key] = keys.clone()
        return super().run(case, inputs)


class ChangesKeys(Broken):
    """Keys scaled where they lie, so that the caller's own change."""

    name = "broken_changes_keys"
    needs = frozenset({"dense", "padded", "packed"})

    def run(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the right answer and leave other keys behind."""
        answer = super().run(case, inputs)
        inputs.k.mul_(case.scale)
        return answer


class ChangesLengths(Broken):
    """Lengths counted up where they lie, as a generation loop would."""

    name = "broken_changes_lengths"

    def run(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the right answer and leave other lengths behind."""
        answer = super().run(case, inputs)
        inputs.kv_lengths.add_(1)
        return answer


class WrongShape(Broken):
    """Heads and channels handed back as one dimension."""

    name = "broken_shape"

    def run(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the right numbers in another shape."""
        return super().run(case, inputs).flatten(-2)


class WrongDtype(Broken):
    """Answer handed back in fp32."""

    name = "broken_dtype"
    needs = frozenset({"fp16", "bf16"})

    def run(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the right numbers in another dtype."""
        return super().run(case, inputs).float()


def _place(case: AttentionCase, inputs: Any, index: int) -> torch.Tensor:
    """Return what stands in the place of one sequence's answer."""
    queries = case.query_lengths[index]
    start = int(inputs.cu_q[index])
    whole: torch.Tensor = inputs.out
    return whole[index, :queries] if case.layout in {"dense", "padded"} else whole[start : start + queries]


OUTPUTS = (
    TailRows,
    LastRow,
    LastHead,
    LastChannels,
    PreviousAnswer,
    PreviousKeys,
    ChangesKeys,
    ChangesLengths,
    WrongShape,
    WrongDtype,
)
