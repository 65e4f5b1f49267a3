"""The choice of cases: every pair, names that stay, and what each level adds. Nothing here needs torch."""

from __future__ import annotations

import json

import pytest

from pytest_trtcheck._suites.attention import cases as module
from pytest_trtcheck._suites.attention.cases import cases, left_out
from pytest_trtcheck._suites.support.pairwise import choose, valid_pairs
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import AttentionCase


@pytest.mark.parametrize("level", list(module._LENGTHS))
def test_every_valid_pair_of_values_occurs(level: Level) -> None:
    rows = json.loads(module.FILE.read_text())[level.value]
    assert all(module.is_valid(row) for row in rows)
    factors = {**module._FACTORS, "lengths": module._LENGTHS[level]}
    found = set().union(*(valid_pairs({name: [row[name]] for name in factors}, module.is_valid) for row in rows))
    assert valid_pairs(factors, module.is_valid) - found == set()


def test_the_stored_choice_is_what_the_factors_give() -> None:
    assert module.FILE.read_text() == module.chosen_text(), "run python -m pytest_trtcheck._suites.attention.cases"


def test_levels_grow_and_static_has_none() -> None:
    sizes = [len(cases(level)) for level in Level]
    assert sizes[0] == 0
    assert sizes == sorted(sizes)
    assert set(cases(Level.QUICK)) < set(cases(Level.STANDARD)) < set(cases(Level.FULL))


def test_lengths_reach_from_one_to_8k_at_standard_and_32k_at_full() -> None:
    lengths = {
        level: {keys for case in cases(level) for keys in case.kv_lengths}
        for level in (Level.QUICK, Level.STANDARD, Level.FULL)
    }
    assert min(lengths[Level.QUICK]) == 1
    assert (max(lengths[Level.STANDARD]), max(lengths[Level.FULL])) == (8192, 32768)


def test_every_feature_and_size_of_the_specification_occurs_at_quick() -> None:
    chosen = cases(Level.QUICK)
    features = set().union(*(case.features for case in chosen))
    wanted = "context generation chunked full causal sliding_window dense padded packed paged page16 page32 page64"
    wanted += " mha gqa mqa rotary scale soft_cap alibi fp8_kv"
    assert set(wanted.split()) <= features
    assert {case.head_size for case in chosen} == {32, 64, 80, 128, 256}
    assert {case.group for case in chosen} >= {1, 4, 8}
    assert {case.dtype for case in chosen} == {"fp32", "fp16", "bf16"}
    assert any(case.nan_query for case in chosen)


def test_names_are_unique_and_say_everything() -> None:
    chosen = cases(Level.FULL)
    assert len({case.name for case in chosen}) == len(chosen)


def test_what_was_left_out_is_told_in_numbers() -> None:
    words = left_out(Level.QUICK)
    assert f"{len(cases(Level.QUICK))} cases" in words
    assert "sequences longer than 4096" in words


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "training"},
        {"mask": "sliding_window"},
        {"layout": "paged"},
        {"page_size": 16},
        {"kv_heads": 3},
        {"query_lengths": (9,)},
        {"query_lengths": (1, 1)},
        {"kv_dtype": "fp8_e4m3"},
    ],
)
def test_a_case_that_makes_no_sense_cannot_be_made(change: dict[str, object]) -> None:
    sound: dict[str, object] = {
        "phase": "context", "mask": "full", "layout": "dense", "query_lengths": (8,), "kv_lengths": (8,),
        "heads": 8, "kv_heads": 2, "head_size": 64, "dtype": "fp16",
    }  # fmt: skip
    AttentionCase(**sound)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no such attention case"):
        AttentionCase(**{**sound, **change})  # type: ignore[arg-type]


def test_choose_covers_every_pair_that_a_valid_row_has_and_is_repeatable() -> None:
    factors = {"a": "123", "b": "45", "c": "678"}

    def is_valid(row: dict[str, str]) -> bool:
        return (row["a"], row["b"]) != ("1", "4")

    rows = choose(factors, is_valid)
    assert rows == choose(factors, is_valid)
    assert all(map(is_valid, rows))
    assert len(rows) < 3 * 2 * 3
    found = set().union(*(valid_pairs({name: row[name] for name in factors}, is_valid) for row in rows))
    assert found == valid_pairs(factors, is_valid)
