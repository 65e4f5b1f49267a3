"""What should work: one attention case, asked of the rows of product ``attention``.

A row speaks of one provider on one kind of device over a span of releases. One known fact that excludes the case makes
it ``refuses``; only a row that states the GPU, the type, the head size and every feature makes it ``works``; all else
is ``unknown``. So what no source tells is never promised.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from pytest_trtcheck.model.versions import Capability, PackageVersion
from pytest_trtcheck.rules.rows import Row
from pytest_trtcheck.rules.strict import shown

if TYPE_CHECKING:
    from pytest_trtcheck.rules.load import Matrix

Verdict = Literal["works", "refuses", "unknown"]
_HOPE: tuple[Verdict, ...] = ("works", "unknown", "refuses")

PRODUCT = "attention"
DEVICES = ("cuda", "cpu")
DTYPES = ("fp32", "fp16", "bf16")
FP8_KV = "fp8_e4m3"
PHASES = ("context", "generation", "chunked")
MASKS = ("full", "causal", "sliding_window")
LAYOUTS = ("dense", "padded", "packed", "paged")
PAGES = ("page16", "page32", "page64")
HEADS = ("mha", "gqa", "mqa")
OPTIONS = ("rotary", "scale", "soft_cap", "alibi", "fp8_kv", "long")
FEATURES = (*PHASES, *MASKS, *LAYOUTS, *PAGES, *HEADS, *OPTIONS)
"""The words for features; README.md of the matrix says what each means."""


@dataclass(frozen=True)
class Expectation:
    """What the matrix expects of one case on one provider."""

    verdict: Verdict
    row: str
    """Id of the row that decided; empty when none speaks."""
    source: str
    """Where the deciding cell comes from; empty for unknown."""
    words: str
    """The reason, on one line."""


@dataclass(frozen=True)
class _Case:
    device: str
    capability: Capability | None
    features: frozenset[str]
    dtype: str
    kv_dtype: str
    head_size: int


def expected(
    matrix: Matrix,
    *,
    provider: str,
    versions: Mapping[str, str],
    device: Literal["cuda", "cpu"],
    compute_capability: str | None,
    features: frozenset[str],
    dtype: str,
    kv_dtype: str,
    head_size: int,
    heads: int,
    kv_heads: int,
) -> Expectation:
    """Return what the matrix expects.

    ``versions`` holds the versions of what is installed, by component. ``kv_dtype`` is ``fp8_e4m3``, or empty, ``same``
    or ``dtype``. The kind of heads and ``fp8_kv`` follow from numbers and types, named in ``features`` or not.
    """
    rows = [row for row in matrix.rows(PRODUCT) if row.value("provider") == provider]
    if not rows:
        return _unknown(f"the matrix has no row for the provider {provider}")
    component = str(rows[0].value("component"))
    text = versions.get(component)
    version = PackageVersion.try_parse(text)
    if version is None:
        reason = "no version was found" if text is None else f"{shown(text)} is not a version that can be compared"
        return _unknown(f"{provider}: {component}: {reason}")
    implied = {_heads_word(heads, kv_heads)} | ({"fp8_kv"} if kv_dtype == FP8_KV else set())
    capability = Capability.try_parse(compute_capability)
    case = _Case(device, capability, features | implied, dtype, kv_dtype, head_size)
    subject = f"{provider}, {component} {version}"
    spans = [row for row in rows if _covers(row, version)]
    known = [row for row in spans if row.value("device") == device]
    if not known:
        return _outside(rows, spans, version, device, subject)
    answers = [_judge(row, case, subject) for row in known]
    # Several rows are several ways to call it: one that works is enough, one that may work is no refusal.
    return min(answers, key=lambda answer: _HOPE.index(answer.verdict))


def _unknown(words: str, row: str = "") -> Expectation:
    return Expectation("unknown", row, "", words)


def _refuses(row: Row, cell: str, words: str) -> Expectation:
    return Expectation("refuses", row.id, row.source(cell).document, words)


def _heads_word(heads: int, kv_heads: int) -> str:
    if heads == kv_heads:
        return "mha"
    return "mqa" if kv_heads == 1 else "gqa"


@lru_cache(maxsize=512)
def _package(text: str) -> PackageVersion:
    """Return the public part of a version: a local label such as +cu128 does not make it newer."""
    return PackageVersion.parse(PackageVersion.parse(text).public)


def _covers(row: Row, version: PackageVersion) -> bool:
    """Say whether the release lies in the span; ``until`` 11.1 holds for the builds 11.1.0.106 and 11.1.0.post1 too."""
    since, until = row.value("since"), row.value("until")
    if since is None or until is None:
        return False
    asked, last = _package(version.text), _package(until)
    if asked < _package(since):
        return False
    prefix = last.base.parts
    same_release = not last.pep440.is_prerelease and asked.base.parts[: len(prefix)] == prefix
    return asked <= last or same_release


def _outside(
    rows: Iterable[Row], spans: Iterable[Row], version: PackageVersion, device: str, subject: str
) -> Expectation:
    """Return the answer where no row speaks of this release on this device."""
    for row in spans:
        if device in (row.value("refused_devices") or ()):
            return _refuses(row, "refused_devices", f"{subject} does not run on {device}")
    for row in rows:
        first, last = row.value("first_release"), row.value("last_release")
        # An alpha of the first release may have it or not, so numbers are compared and not pre-releases.
        if first is not None and version.base < _package(first).base:
            return _refuses(row, "first_release", f"{subject}: it came with {first}")
        if last is not None and _package(version.text) > _package(last):
            return _refuses(row, "last_release", f"{subject}: it left after {last}")
    return _unknown(f"{subject}: no row speaks of this release on {device}")


def _judge(row: Row, case: _Case, subject: str) -> Expectation:
    for cell, words in _exclusions(row, case):
        return _refuses(row, cell, f"{subject}: {words}")
    untold = list(_untold(row, case))
    if untold:
        return _unknown(f"{subject}: no source tells of {', '.join(untold)}", row.id)
    cells = [cell for cell in ("works", "dtypes", "head_sizes", "compute_capabilities") if row.get(cell)]
    source = "; ".join(dict.fromkeys(row.source(cell).document for cell in cells))
    return Expectation(
        "works", row.id, source, f"{subject}: device, type, head size and each feature are known to work"
    )


def _exclusions(row: Row, case: _Case) -> Iterator[tuple[str, str]]:
    """Yield the cells that exclude the case, each with the reason."""
    if case.device == "cuda" and case.capability is not None:
        yield from _capability_exclusions(row, case.capability, case.dtype)
    dtypes = row.value("dtypes")
    if dtypes is not None and case.dtype not in dtypes:
        yield "dtypes", f"{case.dtype} is not among its types {', '.join(dtypes)}"
    most, step = row.value("head_size_max"), row.value("head_size_multiple")
    if most is not None and case.head_size > most:
        yield "head_size_max", f"head size {case.head_size} is above its limit of {most}"
    if step is not None and case.head_size % step:
        yield "head_size_multiple", f"head size {case.head_size} is no multiple of {step}"
    refused = [word for word in FEATURES if word in case.features and word in (row.value("refused") or ())]
    if refused:
        yield "refused", f"it does not take {', '.join(refused)}"


def _capability_exclusions(row: Row, found: Capability, dtype: str) -> Iterator[tuple[str, str]]:
    least, most = row.value("min_compute_capability"), row.value("max_compute_capability")
    if least is not None and found < Capability.parse(least):
        yield "min_compute_capability", f"it wants compute capability {least}, this GPU has {found.dotted}"
    if most is not None and found > Capability.parse(most):
        yield "max_compute_capability", f"it takes compute capabilities up to {most}, this GPU has {found.dotted}"
    of_dtype = (row.value("dtype_min_compute_capability") or {}).get(dtype)
    if of_dtype is not None and found < Capability.parse(of_dtype):
        yield "dtype_min_compute_capability", f"{dtype} wants capability {of_dtype}, this GPU has {found.dotted}"


def _untold(row: Row, case: _Case) -> Iterator[str]:
    """Yield what the row would have to state, and does not, before the case can be expected to work."""
    if case.device == "cuda":
        if case.capability is None:
            yield "the GPU, whose compute capability is not known"
        elif case.capability.dotted not in _listed(row, "compute_capabilities"):
            yield f"compute capability {case.capability.dotted}"
    if case.dtype not in _listed(row, "dtypes"):
        yield case.dtype
    if case.kv_dtype not in {"", "same", case.dtype, FP8_KV}:
        yield f"a KV cache of {case.kv_dtype}"
    if str(case.head_size) not in _listed(row, "head_sizes"):
        yield f"head size {case.head_size}"
    works = _listed(row, "works")
    yield from sorted(word for word in case.features if word not in works)


def _listed(row: Row, cell: str) -> tuple[Any, ...]:
    return tuple(row.value(cell) or ())
