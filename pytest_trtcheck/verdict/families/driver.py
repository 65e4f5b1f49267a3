"""Does the driver run what was built against CUDA?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.model.versions import DottedVersion
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.base import IMPLIED, join
from pytest_trtcheck.verdict.imply import driver_branch
from pytest_trtcheck.verdict.neighbours import bracket

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
    ("vllm_wheel_cuda", "vllm"),
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
    found = False
    for fact, component in _BUILT_WITH:
        version = context.dotted(fact) or _soname_number(context, fact)
        if version:
            found = True
            yield _Need(component, fact, version)
    if context.is_described and not found:
        yield from _what_is_left(context)


def _what_is_left(context: Context) -> Iterator[_Need]:
    """Where no runtime is written down, programs are those of the toolkit, or of the release that is named."""
    toolkit = context.dotted("cuda_toolkit")
    if toolkit:
        yield _Need("cuda_toolkit", "cuda_toolkit", toolkit)
    version = context.package("tensorrt_llm")
    row = context.match("tensorrt_llm", version.public) if version else None
    cuda = spans.dotted(row.value("cuda")) if row else None
    if cuda is None and version is not None:
        around = bracket(context.matrix, "tensorrt_llm", version.text)
        both = {spans.major_of(row.value("cuda")) for row in around} if around else set()
        # A nightly between two releases of one CUDA family is of that family.
        cuda = spans.dotted(f"{both.pop()}.0") if len(both) == 1 and "" not in both else None
    if cuda:
        yield _Need("tensorrt_llm", "tensorrt_llm", cuda)
    elif context.has("tensorrt_llm") and version is None:
        lowest = min(filter(None, (spans.dotted(row.value("cuda")) for row in context.matrix.rows("tensorrt_llm"))))
        yield _Need("tensorrt_llm", "tensorrt_llm", DottedVersion.parse(f"{lowest.major}.0"))


def _soname_number(context: Context, key: str) -> DottedVersion | None:
    """Return the CUDA major of the library that the loader takes, from its SONAME; for CUDA that is the ABI's name."""
    fact = context.fact(key)
    copy = fact.copies[fact.chosen] if fact.chosen is not None else None
    return DottedVersion.leading((copy.soname or "").rpartition(".so.")[2]) if copy else None


def _family(context: Context, cuda: DottedVersion) -> Row | None:
    return context.match("cuda_driver_family", f"{cuda.major}.x")


def _runs(context: Context, need: _Need) -> Finding | Unasked:
    check, facts = "TRC-DRV-001", ("driver", need.fact, need.component)
    have = context.dotted("driver")
    if not context.has("driver") and not context.has("driver_cuda"):
        return context.unasked(
            check, need.component, Reason.NO_GPU, context.fact("driver").reason or "no NVIDIA driver here"
        )
    row, cell = _floor(context, need.cuda)
    minimum = row.value(cell) if row else None
    if row is None or minimum is None:
        return context.unknown(
            check, need.component, facts=facts,
            found=f"driver {have}", expected=f"a minimum driver for CUDA {need.cuda.major}",
            detail=f"the matrix of {context.matrix.identity.date} has no row for CUDA {need.cuda.major}",
        )  # fmt: skip
    given = context.value("driver")
    words: Words = {
        "facts": facts,
        "source": row.source(cell),
        "expected": f"driver {minimum} for {need.words}",
        "found": f"driver {given or 'of unknown version'}",
    }
    if context.has("jetpack"):
        return context.unknown(
            check, need.component, words,
            detail="Jetson drivers are numbered apart; the minimum is for x86-64 and SBSA",
            remedy="Compare with the CUDA release that this JetPack supports.",
        )  # fmt: skip
    admitted = spans.within(given, str(minimum)) if given else _by_driver_cuda(context, need)
    if admitted is False and given and _came_with(context, need.cuda, given):
        admitted = True
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


def _came_with(context: Context, cuda: DottedVersion, driver: str) -> bool:
    """Say whether this driver is of the release itself: CUDA 11.0 came with one older than its family's minimum."""
    rows = context.matrix.candidates("cuda_toolkit", cuda.major_minor)
    bundled = [str(row.value("driver_bundled")) for row in rows if row.value("driver_bundled")]
    return any(spans.within(driver, f">={own}") for own in bundled)


def _by_driver_cuda(context: Context, need: _Need) -> bool | None:
    """Decide by the CUDA version that the driver reports, where its own version is not known."""
    supported = context.dotted("driver_cuda")
    if supported is None:
        return None
    # Before CUDA 11 every minor release asked for its own driver.
    return supported.major >= need.cuda.major if need.cuda.major >= 11 else supported >= need.cuda


def _floor(context: Context, cuda: DottedVersion) -> tuple[Row | None, str]:
    """Return the row and cell with the lowest driver; before CUDA 11 it is that of the release itself."""
    family = _family(context, cuda)
    if family is not None:
        is_windows = (context.value("os") or "").lower().startswith("windows")
        return family, "min_driver_windows" if is_windows else "min_driver"
    rows = context.matrix.candidates("cuda_toolkit", cuda.major_minor)
    return min(rows, key=lambda row: spans.dotted(row.version) or cuda, default=None), "min_driver"


def _too_old(context: Context, need: _Need, words: Words) -> Finding:
    supported = context.dotted("driver_cuda") if context.given("driver_cuda") else None
    if supported and supported.major >= need.cuda.major:
        return context.compatible(
            "TRC-DRV-001", need.component, words, severity=Severity.WARNING,
            detail=f"libcuda reports CUDA {supported}: a cuda-compat package lifts the older driver; see TRC-DRV-003",
        )  # fmt: skip
    bridged = _bridged(context) if context.fact(need.fact).how == IMPLIED else False
    if bridged:
        return context.compatible(
            "TRC-DRV-001", need.component, words, severity=Severity.WARNING,
            detail="the image's own cuda-compat package serves this driver branch on data centre GPUs",
        )  # fmt: skip
    if bridged is None:
        return context.unknown(
            "TRC-DRV-001", need.component, words,
            detail="the image's cuda-compat package serves this driver branch on data centre GPUs only, and the GPU "
            "is not known; nvidia-smi -L names it",
        )  # fmt: skip
    return context.incompatible("TRC-DRV-001", need.component, words, components=("driver",))


def _bridged(context: Context) -> bool | None:
    """Say whether the compat package in a Triton image takes this older driver; None when the GPU is not known."""
    tag, driver = context.value("triton_container") or context.value("trt_container"), context.value("driver")
    row = context.row("triton_container", tag) if tag else None
    accepted = (row.value("py3_datacenter_drivers") or ()) if row else ()
    if not any(spans.within(driver, str(span)) for span in accepted):
        return False
    kind = gpu_class(context)
    return kind == "datacenter" if kind else None


def gpu_class(context: Context) -> str:
    """Return the class of the GPU by its name, ``datacenter``; empty when the matrix does not know it."""
    name = context.value("gpu")
    row = context.match("gpu", name) if name else None
    return str(row.value("class")) if row else ""


def _forward_compatibility(context: Context) -> Iterator[Finding]:
    libcuda = context.fact("libcuda")
    lifted = _lifted(context)
    if not lifted and (not libcuda.is_found or not libcuda.details.get("compat")):
        return
    name = context.value("gpu")
    row = context.match("gpu", name) if name else None
    rules = context.row("forward_compat", "rule")
    if rules is None:
        return
    allowed = [str(kind) for kind in rules.value("gpu_classes") or ()]
    conditional = [str(kind) for kind in rules.value("gpu_classes_conditional") or ()]
    kind = str(row.value("class")) if row else ""
    words: Words = {
        "facts": ("libcuda", "gpu", "driver", "driver_cuda") if lifted else ("libcuda", "gpu"),
        "source": rules.source("gpu_classes"),
        "expected": f"a GPU of class {join(allowed)}",
        "found": f"{libcuda.details.get('path', 'a cuda-compat libcuda')} in use on {name or 'an unknown GPU'}{lifted}",
    }
    if lifted and (not kind or kind in conditional):
        return  # the numbers alone; whose library it is stays open
    if kind in allowed:
        yield context.compatible("TRC-DRV-003", "libcuda", words)
    elif kind and kind not in conditional:
        yield context.incompatible(
            "TRC-DRV-003", "libcuda", words, components=("driver", "libcuda") if lifted else ("libcuda", "driver")
        )
    else:
        why = f"only some GPUs of class {kind} qualify" if kind else "the GPU's class is not in the matrix"
        yield context.unknown("TRC-DRV-003", "libcuda", words, detail=why)


def _lifted(context: Context) -> str:
    """Say how the reported CUDA is newer than the driver's own, which takes a cuda-compat libcuda; else nothing."""
    driver, reported = context.dotted("driver"), context.dotted("driver_cuda")
    if not (context.is_described and driver and reported and context.given("driver_cuda")) or context.has("jetpack"):
        return ""
    if (context.value("os") or "").lower().startswith("windows") or context.has("wsl_kernel"):
        return ""
    known = driver_branch(context.matrix, driver.major)
    own = spans.dotted(known[0]) if known else None
    if own is None or len(reported.parts) < 2 or (reported.major, reported.minor) <= (own.major, own.minor):
        return ""
    return f": CUDA {reported} on driver {driver}, whose own is {own}"


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
        if newer and need.component in {"vllm", "torch"} and context.has("vllm") and _jit_for(context):
            yield context.unknown(
                "TRC-DRV-004", need.component, words,
                detail="its attention kernels come as machine code for 8.0 and as PTX for the other GPUs, and the "
                "driver cannot compile PTX of a newer CUDA; running one request tells",
            )  # fmt: skip
            continue
        yield context.compatible(
            "TRC-DRV-004", need.component, words, severity=Severity.WARNING if newer else Severity.INFO,
            detail="machine code runs, PTX of the newer release does not" if newer else "",
        )  # fmt: skip


def _jit_for(context: Context) -> bool:
    """Say whether vLLM's attention kernels are compiled from PTX on this GPU; asked of described stacks only."""
    return context.is_described and bool(context.capabilities()) and "8.0" not in context.capabilities()
