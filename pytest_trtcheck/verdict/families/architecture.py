"""Was everything that holds kernels compiled for this GPU?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.model.versions import Capability, DottedVersion, VersionRange
from pytest_trtcheck.verdict.base import join

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.rules.rows import Row
    from pytest_trtcheck.verdict.base import Context, Unasked, Words


def architecture(context: Context) -> Iterator[Finding | Unasked]:
    """Judge every component that compiles or carries kernels, for each distinct capability of the GPUs."""
    judges = {"cuda_toolkit": _toolkit, "torch": _torch, "tensorrt": _tensorrt, "tensorrt_llm": _tensorrt_llm}
    checks = dict(zip(judges, ("TRC-ARC-001", "TRC-ARC-002", "TRC-ARC-003", "TRC-ARC-004"), strict=True))
    capabilities = context.capabilities()
    for key, judge in judges.items():
        if not context.fact(key).is_found or (key == "torch" and context.stack.value("torch_cuda") in {None, "none"}):
            continue
        if not capabilities:
            reason = context.fact("sm").reason or "no GPU, so no compute capability to compare with"
            yield context.unasked(checks[key], key, Reason.NO_GPU, reason)
        for capability in capabilities:
            subject = key if len(capabilities) == 1 else f"{key}-sm_{capability.replace('.', '')}"
            yield judge(context, checks[key], subject, capability)


def runs_on(compiled: Iterable[str], capability: str) -> bool:
    """Say whether machine code for one of these capabilities runs on the GPU: same major, minor not above."""
    have = Capability.parse(capability).key
    return any(key[0] == have[0] and key[1] <= have[1] for key in (Capability.parse(one).key for one in compiled))


def _no_row(context: Context, check: str, subject: str, key: str) -> Finding:
    return context.unknown(
        check, subject, facts=("sm", key),
        found=f"{title_of(key)} {context.stack.value(key)}", expected="a row of the matrix",
        detail=f"the matrix of {context.matrix.identity.date} has no row for this version",
    )  # fmt: skip


def _toolkit(context: Context, check: str, subject: str, capability: str) -> Finding:
    have, row = context.dotted("cuda_toolkit"), context.matrix.row("sm", capability)
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
    admitted = VersionRange.parse(str(span)).admits(have)
    if admitted is None:
        return context.unknown(check, subject, words, detail="the toolkit's full version is needed to decide")
    if admitted:
        return context.compatible(check, subject, words)
    return context.incompatible(check, subject, words, components=("cuda_toolkit", "gpu"))


def _torch(context: Context, check: str, subject: str, capability: str) -> Finding:
    torch, cuda = context.package("torch"), context.dotted("torch_cuda")
    row = context.matrix.match("torch", torch.public) if torch else None
    builds = (row.value("sm_by_cuda_build") or {}) if row else {}
    compiled = builds.get(cuda.major_minor) if cuda else None
    if row is None or cuda is None or compiled is None:
        return _no_row(context, check, subject, "torch")
    ptx = (row.value("ptx_by_cuda_build") or {}).get(cuda.major_minor, [])
    words = _words(
        "torch", row, "sm_by_cuda_build", f"one of {', '.join(compiled)} (torch {torch}, CUDA {cuda.major_minor})",
        f"compute capability {capability}",
    )  # fmt: skip
    if runs_on(compiled, capability):
        return context.compatible(check, subject, words)
    have = Capability.parse(capability)
    if any(Capability.parse(one) <= have for one in ptx):
        return context.compatible(
            check,
            subject,
            words,
            severity=Severity.WARNING,
            detail="only by compiling PTX at first use, which is slow and may fail",
        )
    return context.incompatible(check, subject, words, components=("torch", "gpu"))


def _tensorrt(context: Context, check: str, subject: str, capability: str) -> Finding:
    have = context.dotted("tensorrt")
    row = context.matrix.match("tensorrt", str(have)) if have else None
    if have is None or row is None:
        return _no_row(context, check, subject, "tensorrt")
    found = f"compute capability {capability}"
    lowest = row.value("min_compute_capability")
    if lowest is not None and Capability.parse(capability) < Capability.parse(str(lowest)):
        words = _words("tensorrt", row, "min_compute_capability", f"{lowest} or higher for TensorRT {have}", found)
        return context.incompatible(check, subject, words, components=("tensorrt", "gpu"))
    missing = _first_cuda_missing(context, row, capability)
    if missing:
        words = _words("tensorrt", row, "cuda_majors", missing, found)
        return context.incompatible(check, subject, words, components=("tensorrt", "gpu"))
    for later in context.matrix.rows("tensorrt"):
        if (
            capability in (later.value("added_compute_capabilities") or ())
            and DottedVersion.parse(later.version) > have
        ):
            words = _words(
                "tensorrt",
                later,
                "added_compute_capabilities",
                f"TensorRT {later.version} or newer",
                f"TensorRT {have}",
            )
            return context.incompatible(check, subject, words, components=("tensorrt", "gpu"))
    if lowest is None:
        return _no_row(context, check, subject, "tensorrt")
    words = _words("tensorrt", row, "min_compute_capability", f"{lowest} or higher for TensorRT {have}", found)
    return context.compatible(check, subject, words)


def _first_cuda_missing(context: Context, row: Row, capability: str) -> str:
    """Return the CUDA that first knew this capability, when all builds of a release are older; else nothing.

    A library cannot hold kernels for a GPU that its compiler did not know.
    """
    sm = context.matrix.row("sm", capability)
    first = DottedVersion.leading(str(sm.value("first_cuda"))) if sm and sm.value("first_cuda") else None
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
    row = context.matrix.match("tensorrt_llm", version.public) if version else None
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


def _words(key: str, row: Row, cell: str, expected: str, found: str) -> Words:
    return {"facts": ("sm", key), "source": row.source(cell), "expected": expected, "found": found}
