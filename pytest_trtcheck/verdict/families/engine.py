"""Engines (plans) built elsewhere: TensorRT and TensorRT-LLM release, serialization number, GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.families.tensorrt_llm import container_tag
from pytest_trtcheck.verdict.imply import ships_tensorrt_llm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.model.versions import PackageVersion
    from pytest_trtcheck.verdict.base import Context, Unasked, Words


def engine(context: Context) -> Iterator[Finding | Unasked]:
    """Judge an engine by what is known of its build and of the runtime that loads it."""
    yield from _tensorrt(context)
    yield from _serialization(context)
    yield from _tensorrt_llm(context)
    yield from _capability(context)
    yield from _images(context)


def _says(context: Context, *words: str) -> bool:
    """Say whether a feature is named by all of these words, as in ``version compatible``."""
    return any(all(word in text.lower() for word in words) for text in context.values("feature"))


def _at_fault(context: Context, *more: str) -> tuple[str, ...]:
    image = ("triton_container",) if context.has("triton_container") else ()
    return ("engine", *more, *image)


def _tensorrt(context: Context) -> Iterator[Finding]:
    builds, runtime = context.values("engine_built_with_tensorrt"), context.value("tensorrt")
    for built in builds if runtime else ():
        yield _built_with(context, built, runtime or "", "tensorrt" if len(builds) == 1 else f"tensorrt_{built}")


def _built_with(context: Context, built: str, runtime: str, subject: str) -> Finding:
    rule = context.row("tensorrt_engine", "default_engine")
    words: Words = {
        "facts": ("engine_built_with_tensorrt", "tensorrt"),
        "expected": f"TensorRT {built}, which built the engine", "found": f"TensorRT {runtime}",
        "remedy": f"Build the engine again with TensorRT {runtime}, or run it with {built}; use one image for both.",
    }  # fmt: skip
    if rule is not None:
        words["source"] = rule.source("rule")
    same = spans.same_numbers(built, runtime, 3)
    if same:
        return context.compatible("TRC-ENG-001", subject, words)
    if same is None:
        return context.unknown("TRC-ENG-001", subject, words, detail="the full build number of both is needed")
    if _says(context, "version", "compat"):
        return _version_compatible(context, built, runtime, words)
    if not context.is_described and _is_in_reach(context, built, runtime):
        return context.unknown(
            "TRC-ENG-001", subject, words,
            detail="it loads if it was built version-compatible, which its header does not tell; deserializing it does",
        )  # fmt: skip
    return context.incompatible("TRC-ENG-001", subject, words, components=_at_fault(context, "tensorrt"))


def _is_in_reach(context: Context, built: str, runtime: str) -> bool:
    """Say whether a version-compatible engine of this build loads in this runtime."""
    row = context.row("tensorrt_engine", "version_compatible")
    reach = (row.value("reach") or {}).get(spans.major_of(built), ()) if row else ()
    a, b, since = spans.dotted(built), spans.dotted(runtime), spans.dotted(row.value("since")) if row else None
    return bool(spans.major_of(runtime) in reach and a and b and since and b >= a >= since)


def _version_compatible(context: Context, built: str, runtime: str, words: Words) -> Finding:
    row = context.row("tensorrt_engine", "version_compatible")
    if row is not None:
        words["source"] = row.source("reach")
    if _is_in_reach(context, built, runtime):
        return context.compatible(
            "TRC-ENG-001", "tensorrt", words, severity=Severity.WARNING,
            detail="a version-compatible engine; the runtime must allow engine host code",
        )  # fmt: skip
    return context.incompatible(
        "TRC-ENG-001", "tensorrt", words, components=_at_fault(context, "tensorrt"),
        detail="a version-compatible engine loads in newer runtimes only",
    )  # fmt: skip


def _serialization(context: Context) -> Iterator[Finding]:
    built, runtime = context.value("engine_serialization"), context.value("runtime_serialization")
    if not built or not runtime:
        return
    words: Words = {
        "facts": ("engine_serialization", "runtime_serialization"),
        "expected": f"serialization number {built} of the engine", "found": f"{runtime} in the runtime",
    }  # fmt: skip
    if built == runtime:
        yield context.compatible("TRC-ENG-002", "serialization", words)
    else:
        yield context.incompatible("TRC-ENG-002", "serialization", words, components=_at_fault(context, "tensorrt"))


def _tensorrt_llm(context: Context) -> Iterator[Finding]:
    texts, runtime = context.values("engine_built_with_tensorrt_llm"), context.package("tensorrt_llm")
    builds = [built for text in texts if (built := spans.package(text)) is not None]
    if runtime is None:
        return
    for built in builds:
        yield _built_with_llm(context, built, runtime, "tensorrt_llm" if len(texts) == 1 else f"tensorrt_llm_{built}")


def _built_with_llm(context: Context, built: PackageVersion, runtime: PackageVersion, subject: str) -> Finding:
    words: Words = {
        "facts": ("engine_built_with_tensorrt_llm", "tensorrt_llm"),
        "expected": f"TensorRT-LLM {built}, which built the engine", "found": f"TensorRT-LLM {runtime}",
        "remedy": f"Run trtllm-build again with TensorRT-LLM {runtime}.",
    }  # fmt: skip
    if built.public == runtime.public:
        return context.compatible("TRC-ENG-003", subject, words)
    return context.incompatible("TRC-ENG-003", subject, words, components=_at_fault(context, "tensorrt_llm"))


def _capability(context: Context) -> Iterator[Finding]:
    built = spans.capability(context.value("engine_built_on_sm"))
    targets = [text for text in context.values("runtime_sm") or context.capabilities() if spans.capability(text)]
    for target in dict.fromkeys(targets) if built else ():
        have = spans.parsed(target)
        assert built
        words: Words = {
            "facts": ("engine_built_on_sm", "runtime_sm", "sm"),
            "expected": f"compute capability {built.dotted}, on which the engine was built",
            "found": f"compute capability {have.dotted}",
            "remedy": "Build the engine on the GPU that serves it, or with a hardware compatibility level.",
        }
        ampere = spans.parsed("8.0")
        if built == have:
            yield context.compatible("TRC-ENG-004", f"sm_{target}", words)
        elif _says(context, "hardware", "compat") and built >= ampere and have >= ampere:
            yield context.compatible("TRC-ENG-004", f"sm_{target}", words, severity=Severity.WARNING,
                                     detail="hardware-compatible, slower than one for this GPU")  # fmt: skip
        else:
            yield context.incompatible("TRC-ENG-004", f"sm_{target}", words, components=("engine", "gpu"))


def _images(context: Context) -> Iterator[Finding]:
    """Compare months: an engine built in NVIDIA's TensorRT image loads in the Triton image of the same month."""
    build, serve = context.value("trt_container"), context.value("triton_container")
    months = [tag.month for tag in map(container_tag, (build, serve)) if tag]
    if not build or not serve or len(months) < 2:
        return
    words: Words = {
        "facts": ("trt_container", "triton_container"),
        "expected": f"the TensorRT of the image that builds, {build}", "found": f"Triton {serve}",
    }  # fmt: skip
    one, other = (_plain_tensorrt(context, text) for text in (build, serve))
    same = spans.same_numbers(one, other, 3) if one and other else None
    if same or (months[0] == months[1] and not ships_tensorrt_llm(serve)):
        yield context.compatible("TRC-ENG-005", "images", words)
    elif same is False:
        words["found"] = f"Triton {serve} with TensorRT {other}"
        words["expected"] = f"TensorRT {one} of image {build}"
        yield context.incompatible("TRC-ENG-005", "images", words, components=_at_fault(context, "tensorrt"))
    else:
        yield context.unknown(
            "TRC-ENG-005", "images", words,
            detail="images of two months mostly hold two TensorRT releases; trtexec in both tells",
        )  # fmt: skip


def _plain_tensorrt(context: Context, tag: str) -> str:
    row = context.row("triton_container", tag)
    if row is None:
        return ""
    return str(row.value("tensorrt" if ships_tensorrt_llm(tag) else "py3_tensorrt") or "")
