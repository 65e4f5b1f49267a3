"""GPU architecture of what else carries kernels: vLLM, FlashAttention, Triton images, cuDNN."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.families.architecture import runs_on
from pytest_trtcheck.verdict.imply import ships_tensorrt_llm
from pytest_trtcheck.verdict.neighbours import agreed
from pytest_trtcheck.verdict.route import is_built_here, is_for_cpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.model.versions import DottedVersion
    from pytest_trtcheck.rules.load import Matrix
    from pytest_trtcheck.rules.rows import Row
    from pytest_trtcheck.verdict.base import Context, Unasked, Words


def kernels(context: Context) -> Iterator[Finding | Unasked]:
    """Judge each distinct capability of the GPUs."""
    for capability in context.capabilities():
        for check, key in (("TRC-ARC-005", "vllm"), ("TRC-ARC-006", "flash_attn")):
            if context.has(key) and not is_for_cpus(context, key):
                yield from _lowest(context, check, key, capability)
        if context.has("vllm") and not context.has("torch"):
            yield from _through_torch(context, capability)
        if context.has("triton_container"):
            yield from _container(context, capability)
        if context.has("cudnn"):
            yield from _cudnn(context, capability)


def _words(key: str, row: Row, cell: str, expected: str, capability: str) -> Words:
    return {
        "facts": ("sm", "gpu", key), "source": row.source(cell), "expected": expected,
        "found": f"compute capability {capability}",
    }  # fmt: skip


def _lowest(context: Context, check: str, key: str, capability: str) -> Iterator[Finding]:
    """Compare with the lowest capability; of an unknown version, with the lowest of any release."""
    text = context.value(key)
    cell = "min_compute_capability"
    row, lowest = (
        agreed(context.matrix, key, text, cell) or (None, None) if text else _lowest_of_any(context.matrix, key)
    )
    if row is None or lowest is None:
        return
    words = _words(key, row, cell, f"{lowest} or higher for {title_of(key)} {text or 'of any release'}", capability)
    if spans.parsed(capability) >= spans.parsed(str(lowest)):
        yield from _compiled(context, check, key, capability, words)
    elif is_built_here(context):
        yield context.unknown(check, key, words, detail="below what the wheels support; a build for it may still run")
    else:
        yield context.incompatible(check, key, words, components=("gpu", key))


def _lowest_of_any(matrix: Matrix, key: str) -> tuple[Row | None, str | None]:
    known = [(str(row.value("min_compute_capability")), row) for row in matrix.rows(key)
             if row.value("min_compute_capability")]  # fmt: skip
    if not known:
        return None, None
    lowest, row = min(known, key=lambda pair: spans.parsed(pair[0]))
    return row, lowest


def _compiled(context: Context, check: str, key: str, capability: str, words: Words) -> Iterator[Finding]:
    """Judge by the compiler: no library holds kernels for a GPU it did not know, except code for an older minor."""
    text = context.value(key)
    known = agreed(context.matrix, key, text, "cuda_builds") if text and key == "flash_attn" else None
    builds = [cuda for cuda in (spans.dotted(str(one)) for one in (known[1] if known else ())) if cuda]  # type: ignore[attr-defined]
    if known and builds and not is_built_here(context) and not _knows(context.matrix, max(builds), capability):
        words = {
            **words,
            "source": known[0].source("cuda_builds"),
            "expected": f"wheels compiled with a CUDA that knows {capability}; these are compiled with {max(builds)}",
        }
        yield context.incompatible(check, key, words, components=(key, "gpu"))
    elif text:
        yield context.compatible(check, key, words)


@lru_cache(maxsize=5000)
def _knows(matrix: Matrix, cuda: DottedVersion, capability: str) -> bool:
    """Say whether code of this CUDA can run on the GPU: for its capability, or for a lower minor of the same major."""
    major = capability.partition(".")[0]
    for row in matrix.rows("sm"):
        first = spans.dotted(row.value("first_cuda"))
        same = row.version.partition(".")[0] == major
        if same and first and first <= cuda and spans.parsed(row.version) <= spans.parsed(capability):
            return True
    return False


def _through_torch(context: Context, capability: str) -> Iterator[Finding]:
    """Judge a vLLM wheel by the torch it pins: a GPU that no build of that torch knows cannot work."""
    text = context.value("vllm")
    known = agreed(context.matrix, "vllm", text, "pin_torch") if text else None
    pin = str(known[1]) if known else ""
    torch = context.row("torch", pin.removeprefix("==")) if pin.startswith("==") else None
    builds = torch.value("sm_by_cuda_build") if torch else None
    if torch is None or not builds:
        return
    expected = f"a capability of torch {torch.version}, which vLLM {text} pins"
    words = _words("vllm", torch, "sm_by_cuda_build", expected, capability)
    good = [cuda for cuda, compiled in builds.items() if runs_on(compiled, capability)]
    if not good:
        yield context.incompatible("TRC-ARC-005", "vllm-torch", words, components=("vllm", "torch", "gpu"))
    elif len(good) < len(builds) and torch.value("index_cuda") not in good:
        yield context.unknown(
            "TRC-ARC-005", "vllm-torch", words,
            detail=f"the torch build for CUDA {', '.join(good)} has kernels for it, the one of the package index has "
            "not; torch.version.cuda tells which is installed",
        )  # fmt: skip


def _container(context: Context, capability: str) -> Iterator[Finding]:
    tag = context.value("triton_container")
    row = context.row("triton_container", tag) if tag else None
    if tag is None or row is None:
        return
    lowest = row.value("py3_min_compute_capability")
    subject, at_fault = "triton_container", ("gpu", "triton_container")
    have = spans.parsed(capability)
    if lowest and have < spans.parsed(str(lowest)):
        words = _words(
            subject, row, "py3_min_compute_capability", f"{lowest} or higher in Triton {row.version}", capability
        )
        yield context.incompatible("TRC-ARC-007", subject, words, components=at_fault)
        return
    cell = "cuda" if ships_tensorrt_llm(tag) and row.value("cuda") else "py3_cuda"
    sm, cuda = context.row("sm", capability), row.value(cell)
    first = sm.value("first_cuda") if sm else None
    number = spans.dotted(str(cuda)) if cuda else None
    if number is not None and sm is not None and not _knows(context.matrix, number, capability):
        expected = f"CUDA {first} or newer for compute capability {capability}, and Triton {row.version} has {cuda}"
        words = _words(subject, row, cell, expected, capability)
        yield context.incompatible("TRC-ARC-007", subject, words, components=("triton_container", "gpu"))
    elif lowest or (first and cuda):
        older = bool(first and cuda) and spans.within(str(cuda), f">={first}") is False
        words = _words(subject, row, "py3_min_compute_capability" if lowest else cell,
                       f"a GPU that Triton {row.version} supports", capability)  # fmt: skip
        yield context.compatible(
            "TRC-ARC-007", subject, words, severity=Severity.WARNING if older else Severity.INFO,
            detail="newer than the image's CUDA: it runs code of an older GPU of its major" if older else "",
        )  # fmt: skip


def _cudnn(context: Context, capability: str) -> Iterator[Finding]:
    text = context.value("cudnn")
    row = context.match("cudnn", text) if text and not spans.is_bound(text) else None
    listed = row.value("compute_capabilities") if row else None
    if row is None or not listed or not row.value("compute_capabilities_complete"):
        return
    words = _words("cudnn", row, "compute_capabilities", f"one of {', '.join(listed)} (cuDNN {text})", capability)
    if capability in listed or runs_on(listed, capability):
        yield context.compatible("TRC-ARC-008", "cudnn", words)
    elif spans.parsed(capability) < min(map(spans.parsed, listed)):
        yield context.incompatible("TRC-ARC-008", "cudnn", words, components=("cudnn", "gpu"))
