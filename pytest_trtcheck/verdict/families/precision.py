"""Number formats and features against what the GPU can do."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_trtcheck.verdict import spans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.rules.load import Matrix
    from pytest_trtcheck.rules.rows import Row
    from pytest_trtcheck.verdict.base import Context, Unasked, Words

# How people write a format, and the type whose tensor_core cell decides; None where any GPU takes it.
_FORMATS: tuple[tuple[re.Pattern[str], str | None], ...] = (
    (re.compile(r"mxfp8"), "mxfp8"),
    (re.compile(r"mxfp4"), "mxfp4"),
    (re.compile(r"nvfp4|w4a4|(?<![a-z])fp4"), "nvfp4"),
    (re.compile(r"fp8|float8|e4m3|e5m2|w4a8"), "fp8_e4m3"),
    (re.compile(r"bf16|bfloat16"), "bf16"),
    (re.compile(r"tf32"), "tf32"),
    (re.compile(r"fp16|float16|half|fp32|float32|(?<![a-z])float$"), None),
)
# Engines that compute in the format or refuse; others may store it and compute in another.
_STRICT = ("tensorrt_llm", "tensorrt", "triton_container", "engine_built_with_tensorrt")


def precision(context: Context) -> Iterator[Finding | Unasked]:
    """Judge every format and feature that is named, on each distinct capability of the GPUs."""
    formats = [text.lower() for text in context.values("precision")]
    features = [text.lower() for text in context.values("feature")]
    for capability in context.capabilities() if formats or features else ():
        for text in formats:
            yield from _format(context, text, capability)
        for text in features:
            yield from _feature(context, text, capability)


def _format(context: Context, text: str, capability: str) -> Iterator[Finding]:
    kind = next((kind for pattern, kind in _FORMATS if pattern.search(text)), "")
    row = context.row("sm", capability)
    if kind == "" or row is None:
        # Methods of quantization are no format of the GPU; what they ask for stands among the features.
        yield from _feature(context, text, capability)
        return
    if kind is not None:
        yield from (_has(context, own, capability) for own in _rows_of(context.matrix, text)
                    if own.value("engine") and _applies(context, own))  # fmt: skip
    subject = text.replace(" ", "_")
    if kind is None:
        yield context.compatible(
            "TRC-PRC-001", subject, facts=("sm", "gpu", "precision"), expected=f"a GPU that takes {text}",
            found=f"compute capability {capability}",
        )  # fmt: skip
        return
    native = row.value(f"tensor_core_{kind}")
    words: Words = {
        "facts": ("sm", "gpu", "precision"),
        "expected": f"a GPU with {kind} in its tensor cores for {text}",
        "found": f"compute capability {capability}",
    }
    if row.get(f"tensor_core_{kind}") is not None:
        words["source"] = row.source(f"tensor_core_{kind}")
    if native:
        yield context.compatible("TRC-PRC-001", subject, words)
    elif native is False:
        yield _without(context, subject, kind, capability, words)


def _without(context: Context, subject: str, kind: str, capability: str, words: Words) -> Finding:
    """Answer for a GPU without the format: a refusal, except where the engine may unpack weights to another format."""
    have = spans.parsed(capability)
    strict = any(context.has(key) for key in _STRICT)
    weights = {"fp8_e4m3": "8.0", "nvfp4": "8.0", "mxfp4": "8.0"}.get(kind)
    unpacks = context.has("vllm") and weights is not None and have >= spans.parsed(weights)
    if kind == "mxfp4" and have >= spans.parsed("9.0"):
        unpacks = True
    if kind == "bf16" and not strict and not context.has("vllm") and context.has("torch"):
        unpacks = True
    if unpacks and not _is_before_unpacking(context, kind):
        return context.unknown(
            "TRC-PRC-001", subject, words,
            detail=f"the GPU does not compute in {kind}; whether the weights alone may be stored in it depends on the "
            "checkpoint and the kernel that is chosen, which the log of the first load names",
        )  # fmt: skip
    return context.incompatible("TRC-PRC-001", subject, words, components=("gpu", "precision"))


def _is_before_unpacking(context: Context, kind: str) -> bool:
    """Say whether this vLLM is from before its weight-only path for the format."""
    first = context.row("feature", f"vllm {kind} weight-only")
    since = first.value("since") if first else None
    return bool(since) and spans.within(context.value("vllm"), f"<{since}") is True


def _feature(context: Context, text: str, capability: str) -> Iterator[Finding]:
    for row in _rows_of(context.matrix, text):
        if _applies(context, row):
            yield _has(context, row, capability)


def _has(context: Context, row: Row, capability: str) -> Finding:
    lowest, only = row.value("min_compute_capability"), row.value("only_compute_capabilities")
    have = spans.parsed(capability)
    cell = "only_compute_capabilities" if only else "min_compute_capability"
    expected = f"compute capability {' or '.join(only) if only else f'{lowest} or higher'} for {row.version}"
    words: Words = {
        "facts": ("sm", "gpu", "feature"), "source": row.source(cell), "expected": expected,
        "found": f"compute capability {capability}",
    }  # fmt: skip
    good = capability in only if only else have >= spans.parsed(str(lowest))
    subject = row.version.replace(" ", "_")
    if good:
        return context.compatible("TRC-PRC-002", subject, words)
    return context.incompatible("TRC-PRC-002", subject, words, components=("gpu", "feature"))


def _applies(context: Context, row: Row) -> bool:
    """Say whether the row is about an engine of this stack, and about the release of it."""
    if row.value("min_compute_capability") is None and row.value("only_compute_capabilities") is None:
        return False
    engine, until = row.value("engine"), row.value("until")
    if engine and not context.has(str(engine)):
        return False
    if engine and until:
        return spans.meets(context.value(str(engine)), f"<={until}") is True
    return True


@lru_cache(maxsize=2000)
def _rows_of(matrix: Matrix, text: str) -> tuple[Row, ...]:
    """Return the rows with the most words that are all in the text: one feature may have a row for each age of it."""
    words = set(re.findall(r"[a-z0-9]+", text))
    found = {
        row: max(
            (
                len(alias.split())
                for alias in (row.version, *(row.value("aliases") or ()))
                if set(alias.split()) <= words
            ),
            default=0,
        )
        for row in matrix.rows("feature")
    }
    most = max(found.values(), default=0)
    return tuple(row for row, length in found.items() if most and length == most)
