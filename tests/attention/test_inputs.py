"""Inputs: the same on request, distinguishable everywhere, poisoned where nobody may look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck._suites.attention.cases import cases
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import AttentionCase

if TYPE_CHECKING:
    import torch

pytestmark = pytest.mark.torch

PAGED = AttentionCase("generation", "causal", "paged", (1, 1), (17, 40), 8, 2, 64, "fp16", page_size=16)
PADDED = AttentionCase("context", "full", "padded", (33, 5), (33, 5), 8, 2, 64, "bf16")
ROTARY = AttentionCase("context", "causal", "packed", (33, 5), (33, 5), 8, 2, 64, "fp32", rotary_base=10000.0)


def make(case: AttentionCase, seed: int = 0, padding: str = "nan") -> Any:
    from pytest_trtcheck._suites.attention.inputs import make_inputs

    return make_inputs(case, seed, "cpu", padding)


@pytest.mark.parametrize("case", cases(Level.QUICK), ids=lambda case: case.name)
def test_the_same_seed_gives_the_same_values_for_both_kinds_of_padding(case: AttentionCase) -> None:
    once, again, finite = make(case, 3), make(case, 3), make(case, 3, "finite")
    once.remember()
    again._before = once._before
    assert again.changed() == []
    for left, right in zip(once.sequences, finite.sequences, strict=True):
        assert all(
            (a.nan_to_num(7.0) == b.nan_to_num(7.0)).all() for a, b in zip(*map(parts, (left, right)), strict=True)
        )


def parts(sequence: Any) -> tuple[torch.Tensor, ...]:
    return sequence.q, sequence.k, sequence.v


def test_another_seed_gives_other_values() -> None:
    assert (make(PADDED, 1).sequences[0].q != make(PADDED, 2).sequences[0].q).any()


def test_padding_and_unused_cache_are_nan_and_all_else_is_a_number() -> None:
    padded = make(PADDED)
    assert padded.k[1, 5:].isnan().all()
    assert padded.v[1, 5:].isnan().all()
    assert not padded.k[0].isnan().any()
    paged = make(PAGED)
    used = sum(PAGED.kv_lengths)
    assert int((~paged.k_cache.isnan()).any(dim=(-1, -2)).sum()) == used
    assert int((~paged.v_cache.isnan()).any(dim=(-1, -2)).sum()) == used


def test_finite_padding_is_far_from_every_value() -> None:
    padded = make(PADDED, padding="finite")
    assert padded.v[1, 5:].min() > 10 * padded.v[0].abs().max()


def test_blocks_are_shuffled_and_entries_past_the_end_lead_to_poison() -> None:
    paged = make(PAGED)
    blocks = [*paged.block_table[0, :2].tolist(), *paged.block_table[1, :3].tolist()]
    assert len(set(blocks)) == 5
    assert blocks != sorted(blocks)
    assert paged.k_cache[paged.block_table[0, 2].long()].isnan().all()


def test_the_cache_holds_each_sequence_in_the_order_of_its_table() -> None:
    paged = make(PAGED)
    gathered = paged.k_cache[paged.block_table[1].long()].flatten(0, 1)[:40]
    assert (gathered.double() == paged.sequences[1].k).all()


def test_fp8_values_are_those_that_the_scale_gives_back() -> None:
    from dataclasses import replace

    paged = make(replace(PAGED, kv_dtype="fp8_e4m3"))
    stored = paged.v_cache[paged.block_table[0].long()].float().flatten(0, 1)[:17]
    assert (stored.double() * paged.v_scale - paged.sequences[0].v).abs().max() < 1e-6
    assert not 0.5 < paged.k_scale < 2, "a scale near 1 would hide that it was forgotten"


def test_rotating_gives_back_logits_with_the_spread_that_was_asked_for() -> None:
    from pytest_trtcheck._suites.attention.inputs import rotary_angles, rotate

    sequence = make(ROTARY).sequences[0]
    angles = rotary_angles(ROTARY, sequence.q.device)
    q, k = (rotate(part, angles.cos(), angles.sin(), interleaved=False) for part in (sequence.q, sequence.k))
    logits = ROTARY.scale * q[:, 0] @ k[:, 0].T
    plain = ROTARY.scale * sequence.q[:, 0] @ sequence.k[:, 0].T
    # Some queries point at one key: their logit stands out, and only when both are rotated.
    assert logits.max() > 6
    assert (logits - plain).abs().max() > 2


def test_the_key_just_outside_the_mask_would_take_over() -> None:
    case = AttentionCase("context", "causal", "dense", (64, 64), (64, 64), 8, 8, 64, "fp32")
    sequence = make(case).sequences[0]
    logits = case.scale * sequence.q.transpose(0, 1) @ sequence.k.permute(1, 2, 0)
    weight_of_next = logits.softmax(-1).diagonal(offset=1, dim1=-2, dim2=-1)
    assert (weight_of_next > 0.5).float().mean() > 0.05


def test_changes_are_named_bit_by_bit() -> None:
    inputs = make(PADDED)
    inputs.remember()
    assert inputs.changed() == []
    inputs.k[0, 0, 0, 0] += 1
    inputs.q[1, 20] = 0
    assert inputs.changed() == ["q", "k"]
