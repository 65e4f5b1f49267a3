"""Was everything that holds kernels compiled for this GPU?"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_trtcheck.binaries.running import JETSON
from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.model.versions import DottedVersion
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.base import join
from pytest_trtcheck.verdict.route import is_built_here

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.rules.load import Matrix
    from pytest_trtcheck.rules.rows import Row
    from pytest_trtcheck.verdict.base import Context, Unasked, Words


def architecture(context: Context) -> Iterator[Finding | Unasked]:
    """Judge every component that compiles or carries kernels, for each distinct capability of the GPUs."""
    judges = {"cuda_toolkit": _toolkit, "torch": _torch, "tensorrt": _tensorrt, "tensorrt_llm": _tensorrt_llm}
    checks = dict(zip(judges, ("TRC-ARC-001", "TRC-ARC-002", "TRC-ARC-003", "TRC-ARC-004"), strict=True))
    capabilities = context.capabilities()
    for key, judge in judges.items():
        listed = key == "torch" and context.has("torch_arch_list")
        if not listed and not context.has(key):
            continue
        if key == "torch" and not listed and context.value("torch_cuda") in {None, "none"}:
            continue
        if not capabilities:
            reason = context.fact("sm").reason or "no GPU, so no compute capability to compare with"
            yield context.unasked(checks[key], key, Reason.NO_GPU, reason)
        for capability in capabilities:
            subject = key if len(capabilities) == 1 else f"{key}-sm_{capability.replace('.', '')}"
            yield judge(context, checks[key], subject, capability)


def runs_on(compiled: Iterable[str], capability: str) -> bool:
    """Say whether machine code for one of these capabilities runs on the GPU: same major, minor not above.

    Jetson boards run code of exactly their own capability, and theirs runs nowhere else.
    """
    return _runs_on(tuple(compiled), capability)


@lru_cache(maxsize=5000)
def _runs_on(compiled: tuple[str, ...], capability: str) -> bool:
    have = spans.parsed(capability).key
    keys = [spans.parsed(one).key for one in compiled]
    apart = {10 * key[0] + key[1] for key in (have, *keys)} & JETSON
    if 10 * have[0] + have[1] in apart:
        return have in keys
    return any(key[0] == have[0] and key[1] <= have[1] and 10 * key[0] + key[1] not in apart for key in keys)


def _no_row(context: Context, check: str, subject: str, key: str) -> Finding:
    return context.silent(check, subject, f"{title_of(key)} {context.value(key) or 'of unknown version'}", ("sm", key))


def _toolkit(context: Context, check: str, subject: str, capability: str) -> Finding:
    have, row = context.dotted("cuda_toolkit"), context.row("sm", capability)
    span = row.value("cuda_range") if row else None
    if have is None or row is None or span is None:
        return _no_row(context, check, subject, "cuda_toolkit")
    words = _words(
        "cuda_toolkit",
        row,
        "cuda_range",
        f"CUDA {span} for compute capability {capability}",
        f"CUDA toolkit {have}",
    )
    admitted = spans.within(context.value("cuda_toolkit"), str(span))
    if admitted is False and context.value("torch_cuda") not in {None, "none"} and not is_built_here(context):
        return context.compatible(
            check, subject, words, severity=Severity.WARNING,
            detail="matters only when something is compiled here; torch brings its own CUDA runtime",
        )  # fmt: skip
    if admitted is None:
        return context.unknown(check, subject, words, detail="the toolkit's full version is needed to decide")
    if admitted:
        return context.compatible(check, subject, words)
    return context.incompatible(check, subject, words, components=("cuda_toolkit", "gpu"))


def _torch(context: Context, check: str, subject: str, capability: str) -> Finding:
    torch, cuda = context.package("torch"), context.dotted("torch_cuda")
    if context.has("torch_arch_list"):
        return _torch_as_listed(context, check, subject, capability)
    row = context.match("torch", torch.public) if torch else None
    builds = (row.value("sm_by_cuda_build") or {}) if row else {}
    compiled = builds.get(cuda.major_minor) if cuda else None
    if row is not None and cuda is None and builds and context.is_described:
        return _torch_of_some_build(context, check, subject, capability, row, builds)
    if row is None or cuda is None or compiled is None:
        return _no_row(context, check, subject, "torch")
    ptx = (row.value("ptx_by_cuda_build") or {}).get(cuda.major_minor, [])
    words = _words(
        "torch", row, "sm_by_cuda_build", f"one of {', '.join(compiled)} (torch {torch}, CUDA {cuda.major_minor})",
        f"compute capability {capability}",
    )  # fmt: skip
    if runs_on(compiled, capability):
        return context.compatible(check, subject, words)
    have = spans.parsed(capability)
    if any(spans.parsed(one) <= have for one in ptx):
        return context.compatible(
            check,
            subject,
            words,
            severity=Severity.WARNING,
            detail="only by compiling PTX at first use, which is slow and may fail",
        )
    return context.incompatible(check, subject, words, components=("torch", "gpu"))


def _torch_as_listed(context: Context, check: str, subject: str, capability: str) -> Finding:
    """Judge by the list that torch itself prints; ``compute_90`` in it is PTX."""
    listed = [text.strip(" ,;'[]\"") for text in context.values("torch_arch_list")]
    ptx = [text for text in listed if text.startswith("compute")]
    compiled = [text for text in listed if text not in ptx and spans.capability(text)]
    words: Words = {
        "facts": ("sm", "torch", "torch_arch_list"),
        "expected": f"one of {', '.join(listed)}",
        "found": f"compute capability {capability}",
    }
    if not compiled and not ptx:
        return _no_row(context, check, subject, "torch")
    if runs_on(compiled, capability):
        return context.compatible(check, subject, words)
    have = spans.parsed(capability)
    if any(one <= have for one in map(spans.capability, ptx) if one):
        return context.compatible(check, subject, words, severity=Severity.WARNING, detail="only by compiling PTX")
    return context.incompatible(check, subject, words, components=("torch", "gpu"))


def _torch_of_some_build(
    context: Context, check: str, subject: str, capability: str, row: Row, builds: Mapping[str, Iterable[str]]
) -> Finding:
    """Judge a torch whose CUDA build is not known: only what holds for every build of the release is certain."""
    have = spans.parsed(capability)
    ptx = row.value("ptx_by_cuda_build") or {}
    runs = {
        cuda: runs_on(compiled, capability) or any(spans.parsed(one) <= have for one in ptx.get(cuda, ()))
        for cuda, compiled in builds.items()
    }
    good = [cuda for cuda, answer in runs.items() if answer]
    words = _words("torch", row, "sm_by_cuda_build", f"a build of torch {row.version} for {capability}",
                   f"compute capability {capability}")  # fmt: skip
    if len(good) == len(runs):
        return context.compatible(check, subject, words)
    if good:
        return context.unknown(
            check, subject, words,
            detail=f"the builds for CUDA {join(good)} have kernels for it, the others have not; python -c "
            "'import torch; print(torch.version.cuda)' tells which this is",
        )  # fmt: skip
    return context.incompatible(check, subject, words, components=("torch", "gpu"))


def _tensorrt(context: Context, check: str, subject: str, capability: str) -> Finding:
    have = context.dotted("tensorrt")
    row = context.match("tensorrt", str(have)) if have else None
    if have is None or row is None:
        return _no_row(context, check, subject, "tensorrt")
    found = f"compute capability {capability}"
    lowest = row.value("min_compute_capability")
    if lowest is not None and spans.parsed(capability) < spans.parsed(str(lowest)):
        words = _words("tensorrt", row, "min_compute_capability", f"{lowest} or higher for TensorRT {have}", found)
        return context.incompatible(check, subject, words, components=("tensorrt", "gpu"))
    missing = _first_cuda_missing(context, row, capability)
    if missing:
        words = _words("tensorrt", row, "cuda_majors", missing, found)
        return context.incompatible(check, subject, words, components=("tensorrt", "gpu"))
    later = _added_in(context.matrix, capability)
    if later is not None and (spans.dotted(later.version) or have) > have:
        words = _words(
            "tensorrt", later, "added_compute_capabilities", f"TensorRT {later.version} or newer", f"TensorRT {have}"
        )
        return context.incompatible(check, subject, words, components=("tensorrt", "gpu"))
    if lowest is None:
        return _tensorrt_of_old(context, check, subject, capability, row)
    words = _words("tensorrt", row, "min_compute_capability", f"{lowest} or higher for TensorRT {have}", found)
    return context.compatible(check, subject, words)


@lru_cache(maxsize=1000)
def _added_in(matrix: Matrix, capability: str) -> Row | None:
    """Return the release that says it added this capability."""
    rows = (row for row in matrix.rows("tensorrt") if capability in (row.value("added_compute_capabilities") or ()))
    return next(rows, None)


def _tensorrt_of_old(context: Context, check: str, subject: str, capability: str, row: Row) -> Finding:
    """Releases before 8.6 name no lowest capability; capabilities are only ever dropped, so 8.6's holds for them."""
    later = context.row("tensorrt", "8.6.1")
    lowest = later.value("min_compute_capability") if later else None
    mine, other = spans.dotted(row.version), spans.dotted("8.6.1")
    if later is None or lowest is None or not row.value("cuda_builds") or not (mine and other and mine < other):
        return _no_row(context, check, subject, "tensorrt")
    words = _words(
        "tensorrt", later, "min_compute_capability", f"{lowest} or higher", f"compute capability {capability}"
    )
    if spans.parsed(capability) < spans.parsed(str(lowest)):
        return _no_row(context, check, subject, "tensorrt")
    return context.compatible(check, subject, words)


def _first_cuda_missing(context: Context, row: Row, capability: str) -> str:
    """Return the CUDA that first knew this capability, when all builds of a release are older; else nothing.

    A library cannot hold kernels for a GPU that its compiler did not know.
    """
    sm = context.row("sm", capability)
    first = spans.dotted(str(sm.value("first_cuda"))) if sm and sm.value("first_cuda") else None
    named = row.value("cuda_builds") or row.value("cuda_supported") or ()
    builds = [build for build in map(DottedVersion.try_parse, named) if build]
    if len(builds) < len(named):
        # A family such as 13.x may hold a release that knows the capability.
        return ""
    if first is None or not builds or any(build >= first for build in builds):
        return ""
    have = join(map(str, builds))
    return f"a build with CUDA {first} or newer for compute capability {capability}; this release has {have}"


def _tensorrt_llm(context: Context, check: str, subject: str, capability: str) -> Finding:
    version = context.package("tensorrt_llm")
    if version is None and context.is_described:
        return _any_tensorrt_llm(context, check, subject, capability)
    row = context.match("tensorrt_llm", version.public) if version else None
    supported = row.value("sm_supported") if row else None
    if row is None or not supported:
        return _no_row(context, check, subject, "tensorrt_llm")
    words = _words(
        "tensorrt_llm", row, "sm_supported", f"one of {', '.join(supported)} (TensorRT-LLM {version})",
        f"compute capability {capability}",
    )  # fmt: skip
    if capability in supported:
        return context.compatible(check, subject, words)
    if runs_on(supported, capability):
        return context.unknown(
            check,
            subject,
            words,
            detail="not listed, though machine code of the same major may run; only a test can tell",
        )
    return context.incompatible(check, subject, words, components=("tensorrt_llm", "gpu"))


def _any_tensorrt_llm(context: Context, check: str, subject: str, capability: str) -> Finding:
    """Judge a TensorRT-LLM of unknown version: certain is only what no release supports."""
    rows = [row for row in context.matrix.rows("tensorrt_llm") if row.value("sm_supported")]
    if any(runs_on(row.value("sm_supported"), capability) for row in rows):
        return _no_row(context, check, subject, "tensorrt_llm")
    words = _words("tensorrt_llm", rows[0], "sm_supported", "a capability that some release supports",
                   f"compute capability {capability}")  # fmt: skip
    return context.incompatible(check, subject, words, components=("gpu", "tensorrt_llm"))


def _words(key: str, row: Row, cell: str, expected: str, found: str) -> Words:
    return {"facts": ("sm", key), "source": row.source(cell), "expected": expected, "found": found}
