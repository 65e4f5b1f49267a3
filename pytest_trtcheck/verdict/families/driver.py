"""Does the driver run what was built against CUDA?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.model.versions import DottedVersion, VersionRange
from pytest_trtcheck.verdict.base import join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.rules.rows import Row
    from pytest_trtcheck.verdict.base import Context, Unasked, Words

# Facts that say which CUDA a component was built with, and the component. The toolkit compiles and needs no driver.
_BUILT_WITH = (
    ("torch_cuda", "torch"),
    ("tensorrt_package_cuda", "tensorrt"),
    ("cuda_runtime", "cuda_runtime"),
)


@dataclass(frozen=True)
class _Need:
    """A component and the CUDA it was built with."""

    component: str
    fact: str
    cuda: DottedVersion

    @property
    def words(self) -> str:
        return f"{title_of(self.component)} (CUDA {self.cuda})"


def driver(context: Context) -> Iterator[Finding | Unasked]:
    """Judge the driver against each CUDA that is in use."""
    needs = list(_needs(context))
    for need in needs:
        yield _runs(context, need)
    yield from _forward_compatibility(context)
    yield from _minor_release(context, needs)


def _needs(context: Context) -> Iterator[_Need]:
    for fact, component in _BUILT_WITH:
        version = context.dotted(fact) or _soname_number(context, fact)
        if version:
            yield _Need(component, fact, version)


def _soname_number(context: Context, key: str) -> DottedVersion | None:
    """Return the CUDA major of the library that the loader takes, from its SONAME; for CUDA that is the ABI's name."""
    fact = context.fact(key)
    copy = fact.copies[fact.chosen] if fact.chosen is not None else None
    return DottedVersion.leading((copy.soname or "").rpartition(".so.")[2]) if copy else None


def _family(context: Context, cuda: DottedVersion) -> Row | None:
    return context.matrix.match("cuda_driver_family", f"{cuda.major}.x")


def _runs(context: Context, need: _Need) -> Finding | Unasked:
    check, facts = "TRC-DRV-001", ("driver", need.fact, need.component)
    have = context.dotted("driver")
    if not context.fact("driver").is_found and not context.fact("driver_cuda").is_found:
        return context.unasked(
            check, need.component, Reason.NO_GPU, context.fact("driver").reason or "no NVIDIA driver here"
        )
    row = _family(context, need.cuda)
    minimum = row.value("min_driver") if row else None
    if row is None or minimum is None:
        return context.unknown(
            check, need.component, facts=facts,
            found=f"driver {have}", expected=f"a minimum driver for CUDA {need.cuda.major}",
            detail=f"the matrix of {context.matrix.identity.date} has no row for CUDA {need.cuda.major}",
        )  # fmt: skip
    words: Words = {
        "facts": facts,
        "source": row.source("min_driver"),
        "expected": f"driver {minimum} for {need.words}",
        "found": f"driver {have or 'of unknown version'}",
    }
    if context.fact("jetpack").is_found:
        return context.unknown(
            check, need.component, words,
            detail="Jetson drivers are numbered apart; the minimum is for x86-64 and SBSA",
            remedy="Compare with the CUDA release that this JetPack supports.",
        )  # fmt: skip
    admitted = VersionRange.parse(str(minimum)).admits(have) if have else _by_driver_cuda(context, need)
    if admitted:
        return context.compatible(check, need.component, words)
    if admitted is None:
        return context.unknown(
            check,
            need.component,
            words,
            detail="the driver's full version is needed to decide; see nvidia-smi",
        )
    return _too_old(context, need, words)


def _by_driver_cuda(context: Context, need: _Need) -> bool | None:
    """Decide by the CUDA version that the driver reports, where its own version is not known."""
    supported = context.dotted("driver_cuda")
    return supported.major >= need.cuda.major if supported else None


def _too_old(context: Context, need: _Need, words: Words) -> Finding:
    supported = context.dotted("driver_cuda")
    if supported and supported.major >= need.cuda.major:
        return context.compatible(
            "TRC-DRV-001", need.component, words, severity=Severity.WARNING,
            detail=f"libcuda reports CUDA {supported}: a cuda-compat package lifts the older driver; see TRC-DRV-003",
        )  # fmt: skip
    return context.incompatible("TRC-DRV-001", need.component, words, components=("driver",))


def _forward_compatibility(context: Context) -> Iterator[Finding]:
    libcuda = context.fact("libcuda")
    if not libcuda.is_found or not libcuda.details.get("compat"):
        return
    name = context.stack.value("gpu")
    row = context.matrix.match("gpu", name) if name else None
    rules = context.matrix.row("forward_compat", "rule")
    if rules is None:
        return
    allowed = [str(kind) for kind in rules.value("gpu_classes") or ()]
    conditional = [str(kind) for kind in rules.value("gpu_classes_conditional") or ()]
    kind = str(row.value("class")) if row else ""
    words: Words = {
        "facts": ("libcuda", "gpu"),
        "source": rules.source("gpu_classes"),
        "expected": f"a GPU of class {join(allowed)}",
        "found": f"{libcuda.details.get('path', 'a cuda-compat libcuda')} in use on {name or 'an unknown GPU'}",
    }
    if kind in allowed:
        yield context.compatible("TRC-DRV-003", "libcuda", words)
    elif kind and kind not in conditional:
        yield context.incompatible("TRC-DRV-003", "libcuda", words, components=("libcuda", "driver"))
    else:
        why = f"only some GPUs of class {kind} qualify" if kind else "the GPU's class is not in the matrix"
        yield context.unknown("TRC-DRV-003", "libcuda", words, detail=why)


def _minor_release(context: Context, needs: list[_Need]) -> Iterator[Finding]:
    supported = context.dotted("driver_cuda")
    if not supported:
        return
    for need in needs:
        # A bare major says nothing of the minor release.
        if len(need.cuda.parts) < 2 or need.cuda.major != supported.major:
            continue
        newer = need.cuda.minor > supported.minor
        row = _family(context, need.cuda)
        words: Words = {
            "facts": ("driver_cuda", need.fact, need.component),
            "expected": f"driver CUDA version {need.cuda.major_minor} or newer for PTX of {need.words}",
            "found": f"driver CUDA version {supported}",
        }
        if row:
            words["source"] = row.source("minor_version_compat_range")
        yield context.compatible(
            "TRC-DRV-004", need.component, words, severity=Severity.WARNING if newer else Severity.INFO,
            detail="machine code runs, PTX of the newer release does not" if newer else "",
        )  # fmt: skip
