"""The cases of each level: chosen pairwise from the factors below, with the risky corners added.

``cases.json`` holds the choice, so that planning costs nothing and names stay; ``python -m
pytest_trtcheck._suites.attention.cases`` makes it anew from this file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pytest_trtcheck._suites.support.pairwise import Row, all_rows, choose
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import AttentionCase
from pytest_trtcheck.providers.attention import MASKS

FILE = Path(__file__).with_name("cases.json")

_SHAPES = (
    *(f"context {mask} {layout}" for mask in MASKS for layout in ("dense", "padded", "packed")),
    "generation causal paged",
    "generation sliding_window paged",
    "chunked causal packed",
    "chunked causal paged",
    "chunked sliding_window paged",
)  # fmt: skip
_FACTORS: Mapping[str, Sequence[str]] = {
    "shape": _SHAPES,
    "page_size": ("none", "16", "32", "64"),
    "heads": ("8x8", "8x2", "16x2", "8x1"),
    "head_size": ("32", "64", "80", "128", "256"),
    "dtype": ("fp32", "fp16", "bf16"),
    "extra": ("none", "scale", "soft_cap", "alibi", "rotary", "rotary_interleaved", "fp8_kv", "nan_query"),
}
_LENGTHS = {Level.QUICK: ("tiny", "odd", "hundreds"), Level.STANDARD: ("thousand", "thousands")}
"""Classes of lengths, a factor of each level."""

_CONTEXT = {
    "tiny": (1, 2, 17),
    "odd": (33, 129, 7),
    "hundreds": (300, 64),
    "thousand": (1000, 1, 517),
    "thousands": (2048, 100),
}
_DENSE = {"tiny": (7, 7, 7), "odd": (65, 65), "hundreds": (256, 256), "thousand": (1024, 1024), "thousands": (2048,)}
_CACHED = {
    "tiny": (1, 17, 16),
    "odd": (129, 33, 64),
    "hundreds": (300, 257, 512),
    "thousand": (1000, 1024, 33),
    "thousands": (4096, 2049, 1),
}
_CHUNK = {"tiny": 3, "odd": 16, "hundreds": 64, "thousand": 128, "thousands": 256}
_WINDOW = {"tiny": 4, "odd": 32, "hundreds": 100, "thousand": 256, "thousands": 1024}

_SOFT_CAP = 10.0
_SCALE = 0.2
_ROTARY_BASE = 10000.0

_LONG = (
    AttentionCase("context", "causal", "packed", (8192,), (8192,), 2, 1, 128, "bf16"),
    AttentionCase("context", "sliding_window", "packed", (8191, 3), (8191, 3), 2, 2, 64, "fp16", window=4096),
    AttentionCase("generation", "causal", "paged", (1, 1), (8192, 8177), 8, 1, 128, "bf16", page_size=64),
    AttentionCase("generation", "causal", "paged", (1, 1), (8000, 5), 8, 2, 128, "fp16", "fp8_e4m3", page_size=32),
    AttentionCase("chunked", "causal", "paged", (512,), (8192,), 4, 1, 128, "fp16", page_size=16),
)
_LONGEST = (
    AttentionCase("context", "causal", "packed", (32768,), (32768,), 1, 1, 64, "bf16"),
    AttentionCase("generation", "causal", "paged", (1, 1), (32768, 32753), 8, 1, 128, "bf16", page_size=64),
    AttentionCase("generation", "causal", "paged", (1,), (32767,), 8, 2, 128, "fp16", "fp8_e4m3", page_size=16),
    AttentionCase("chunked", "causal", "paged", (1024,), (32768,), 2, 1, 128, "bf16", page_size=64),
)
_CORNERS = (
    # So many blocks that a sum kept in the dtype drifts.
    AttentionCase("generation", "causal", "paged", (1, 1), (4096, 2000), 8, 1, 64, "bf16", page_size=64),
    AttentionCase("generation", "causal", "paged", (1, 1), (4096, 4000), 8, 1, 64, "fp16", page_size=16),
    # One token alone; a batch in which one entry is all padding but for one token; a window of one key.
    AttentionCase("context", "full", "dense", (1,), (1,), 8, 8, 64, "fp16"),
    AttentionCase("context", "causal", "padded", (256, 1), (256, 1), 8, 2, 128, "bf16"),
    AttentionCase("context", "sliding_window", "packed", (130, 64), (130, 64), 8, 2, 64, "fp16", window=1),
    # A last block that holds one token, and one that is just full.
    AttentionCase("generation", "causal", "paged", (1, 1), (65, 64), 8, 1, 128, "bf16", page_size=64),
    AttentionCase("generation", "causal", "paged", (1, 1), (129, 1), 16, 2, 128, "fp16", page_size=32),
    # Soft cap with a window, as Gemma 2 has them; a batch of many short sequences.
    AttentionCase("context", "sliding_window", "packed", (300,), (300,), 8, 2, 128, "bf16", window=64, soft_cap=30.0),
    AttentionCase("generation", "causal", "paged", (1,) * 16, tuple(range(1, 257, 16)), 8, 2, 64, "fp16", page_size=16),
    # Blocks of 256 tokens, of which FlashAttention 2 takes multiples only.
    AttentionCase("generation", "causal", "paged", (1, 1), (300, 257), 8, 2, 128, "bf16", page_size=256),
    AttentionCase("generation", "causal", "paged", (1,), (511,), 8, 2, 64, "fp16", page_size=256, rotary_base=10000.0),
    # Logits far from zero: exponentials overflow unless each row's maximum is taken off first.
    AttentionCase("context", "causal", "packed", (129, 33), (129, 33), 8, 2, 64, "fp32", logit_shift=100.0),
    AttentionCase("context", "causal", "dense", (129, 129), (129, 129), 8, 8, 64, "fp16", logit_shift=120.0),
    AttentionCase("generation", "causal", "paged", (1, 1), (129, 33), 8, 2, 64, "bf16", "", 16, logit_shift=120.0),
    # Rotary embedding in which the slowest pair turns, too.
    AttentionCase(
        "context", "causal", "packed", (257, 64), (257, 64), 8, 2, 128, "bf16",
        rotary_base=100.0, rotary_interleaved=True,
    ),
    # A chunk that is the whole prompt, and one of a single token.
    AttentionCase("chunked", "causal", "paged", (96, 1), (96, 200), 8, 2, 128, "fp16", page_size=32),
)  # fmt: skip


@cache
def cases(level: Level) -> tuple[AttentionCase, ...]:
    """Return the cases of a level, those of the levels below it included; none at level static."""
    if level is Level.STATIC:
        return ()
    chosen = _stored()
    found = (*map(_case, chosen[Level.QUICK.value]), *_CORNERS)
    if level is not Level.QUICK:
        found += (*map(_case, chosen[Level.STANDARD.value]), *_LONG)
    if level is Level.FULL:
        found += _LONGEST
    return tuple(dict.fromkeys(found))


@cache
def _stored() -> dict[str, Any]:
    """Return the rows of each level, and under ``combinations`` how many valid ones its lengths make."""
    stored: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return stored


def left_out(level: Level) -> str:
    """Say how the cases of a level were chosen and how many combinations that left out."""
    total = sum(_stored()["combinations"][one.value] for one in _LENGTHS if one.rank <= level.rank)
    longest = max(max(case.kv_lengths) for case in cases(level))
    return (
        f"attention: {total} combinations of shape, page size, heads, head size, dtype, extra and lengths, but for "
        f"{len(cases(level))} cases in which every two of their values meet; sequences longer than {longest}"
    )


def is_valid(row: Row) -> bool:
    """Say whether a row of factors makes a case."""
    paged = row["shape"].endswith("paged")
    if paged == (row["page_size"] == "none"):
        return False
    if row["extra"] == "fp8_kv" and not paged:
        return False
    # fp32 models keep no cache in fp8, and no kernel offers it.
    return not (row["extra"] == "fp8_kv" and row["dtype"] == "fp32")


def _case(row: Row) -> AttentionCase:
    phase, mask, layout = row["shape"].split()
    heads, kv_heads = map(int, row["heads"].split("x"))
    lengths = row["lengths"]
    kv = (_DENSE if layout == "dense" else _CONTEXT if phase == "context" else _CACHED)[lengths]
    queries = {
        "context": kv,
        "generation": (1,) * len(kv),
        "chunked": tuple(min(_CHUNK[lengths] + index, keys) for index, keys in enumerate(kv)),
    }[phase]
    options: Mapping[str, dict[str, Any]] = {
        "none": {},
        "scale": {"softmax_scale": _SCALE},
        "soft_cap": {"soft_cap": _SOFT_CAP},
        "alibi": {"alibi": True},
        "rotary": {"rotary_base": _ROTARY_BASE},
        "rotary_interleaved": {"rotary_base": _ROTARY_BASE, "rotary_interleaved": True},
        "fp8_kv": {"kv_dtype": "fp8_e4m3"},
        "nan_query": {"nan_query": True},
    }
    return AttentionCase(
        phase,
        mask,
        layout,
        queries,
        kv,
        heads,
        kv_heads,
        int(row["head_size"]),
        row["dtype"],
        page_size=0 if row["page_size"] == "none" else int(row["page_size"]),
        window=_WINDOW[lengths] if mask == "sliding_window" else 0,
        **options[row["extra"]],
    )


def chosen_text() -> str:
    """Return what ``cases.json`` should hold."""
    factors = {level.value: {**_FACTORS, "lengths": lengths} for level, lengths in _LENGTHS.items()}
    counts = {level: len(all_rows(of_level, is_valid)) for level, of_level in factors.items()}
    parts = [f' "combinations": {json.dumps(counts)}']
    for number, (level, of_level) in enumerate(factors.items()):
        rows = ",\n".join(f"  {json.dumps(row)}" for row in choose(of_level, is_valid, seed=number))
        parts.append(f' "{level}": [\n{rows}\n ]')
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(chosen_text(), encoding="utf-8")
    sys.stdout.write(f"{FILE.name}: {FILE.read_text(encoding='utf-8').count('shape')} rows\n")
