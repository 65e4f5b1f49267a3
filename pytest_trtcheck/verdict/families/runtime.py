"""CUDA, cuDNN and NCCL libraries by their versions, where the files themselves are not there to be read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.base import join
from pytest_trtcheck.verdict.route import is_built_here, is_from_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.rules.rows import Row
    from pytest_trtcheck.verdict.base import Context, Unasked, Words

_NCCL_WHEEL = re.compile(r"nvidia[-_]nccl[-_]cu(\d{2})(?:==([\d.]+))?")
# Who else may be the one that TensorRT is there for.
_OTHER_USERS = frozenset({"tensorrt_llm", "torch_tensorrt", "engine_built_with_tensorrt", "torch", "jetpack"})
_WHEEL_CUDA = re.compile(r"-cu(\d{2})(?:==|\b)")


def runtime(context: Context) -> Iterator[Finding | Unasked]:
    """Judge the runtime libraries against what was built with them; where there are files, they tell it better."""
    if not context.is_described:
        return
    yield from _tensorrt_cuda(context)
    yield from _one_major(context)
    yield from _compiles_for_torch(context)
    yield from _onnxruntime(context)
    yield from _onnxruntime_tensorrt(context)
    yield from _expected_by_torch(context)
    yield from _cudnn_major(context)
    yield from _nccl(context)


def _system_cuda(context: Context) -> tuple[str, str] | None:
    """Return the key and version of the CUDA that programs outside torch's wheels load."""
    for key in ("cuda_runtime", "cuda_toolkit"):
        value = context.value(key)
        if value and not spans.is_bound(value):
            return key, value
    return None


def _tensorrt_cuda(context: Context) -> Iterator[Finding]:
    """TensorRT before 8 loads the libraries of one CUDA minor release; from 8 on, those of one major."""
    system, text = _system_cuda(context), context.value("tensorrt")
    built = context.value("tensorrt_package_cuda")
    if system is None or (text is None and built is None):
        return
    key, have = system
    if not (context.given(key) or context.given("tensorrt") or context.given("tensorrt_package_cuda")):
        return  # both are an image's own
    words: Words = {"facts": (key, "tensorrt", "tensorrt_package_cuda"), "found": f"CUDA {have} ({title_of(key)})"}
    if built:
        words["expected"] = f"CUDA {spans.major_of(built)}, for which the TensorRT package is built"
        good: bool | None = spans.major_of(built) == spans.major_of(have)
    else:
        row = context.match("tensorrt", text or "")
        majors = row.value("cuda_majors") if row else None
        if row is None or not majors:
            return
        words["source"] = row.source("cuda_majors")
        words["expected"] = f"CUDA {' or '.join(majors)} for TensorRT {text}"
        good = spans.major_of(have) in majors
        if row.value("cuda_builds") and int(spans.major_of(row.version)) < 8 and good:
            words["expected"] = f"CUDA {join(row.value('cuda_builds'))} exactly, for TensorRT {text}"
            matches = [spans.same_minor(have, build) for build in row.value("cuda_builds")]
            good = True if True in matches else None if None in matches else False
    if good:
        yield context.compatible("TRC-CUD-001", "tensorrt", words)
    elif good is False and not is_from_index(context):
        yield context.incompatible("TRC-CUD-001", "tensorrt", words, components=(key, "tensorrt"))
    else:
        yield context.unknown(
            "TRC-CUD-001", "tensorrt", words, severity=Severity.INFO,
            detail="TensorRT from the package index brings its own CUDA libraries" if good is False else
            "the minor release is needed to decide",
        )  # fmt: skip


def _majors(context: Context) -> tuple[dict[str, list[str]], str]:
    """Return who is for which CUDA major, and the major of the process: torch's, else that of a runtime named alone."""
    majors: dict[str, list[str]] = {}
    named = [("torch_cuda", "torch"), ("vllm_wheel_cuda", "vllm"), ("tensorrt_package_cuda", "tensorrt")]
    asks = context.has("vllm_flash_attn") or context.given("vllm_wheel_cuda")
    if asks and context.given("cuda_runtime") and not context.has("torch_cuda"):
        named.append(("cuda_runtime", "cuda_runtime"))
    found = [(spans.major_of(context.value(key)), who) for key, who in named]
    flash = context.value("vllm_flash_attn")
    if flash and "+cu" not in flash:
        found.append(("12", "vllm_flash_attn"))  # the package index has it for CUDA 12 only
    if context.has("tensorrt_cu12") or context.has("tensorrt_cu12_bindings"):
        found.append(("12", "tensorrt"))
    wheels = {match[1] for text in context.values("nvidia_wheels") if (match := _WHEEL_CUDA.search(text))}
    found += [(major, "nvidia_wheels") for major in wheels]
    for major, who in found:
        if major:
            majors.setdefault(major, []).append(who)
    own = spans.major_of(context.value("torch_cuda"))
    return majors, own or next((major for major, names in majors.items() if "cuda_runtime" in names), "")


def _one_major(context: Context) -> Iterator[Finding]:
    """Compare what lives in one Python process: it is to be of one CUDA major."""
    majors, mine = _majors(context)
    named = [name for names in majors.values() for name in names]
    if len(named) < 2:
        return
    words: Words = {
        "facts": ("torch_cuda", "vllm_wheel_cuda", "vllm_flash_attn", "tensorrt_package_cuda", "nvidia_wheels"),
        "expected": "one CUDA major in one process",
        "found": "; ".join(f"CUDA {major}: {join(dict.fromkeys(names))}" for major, names in sorted(majors.items())),
    }
    beside = [name for name in ("torch", "cuda_runtime") if name in majors.get(mine, ())]
    strangers = [name for name in ("vllm_flash_attn", "vllm") if name in named and name not in majors.get(mine, ())]
    wheels = [major for major, names in majors.items() if "nvidia_wheels" in names]
    if len(majors) == 1:
        yield context.compatible("TRC-CUD-002", "process", words)
    elif beside and strangers:
        at_fault = dict.fromkeys((*strangers, *beside, "cuda_runtime"))
        yield context.incompatible("TRC-CUD-002", "process", words, components=tuple(at_fault))
    elif wheels and "torch" in beside and mine not in wheels:
        yield context.incompatible(
            "TRC-CUD-002", "process", words, components=("nvidia_wheels", "torch", "cuda_runtime")
        )
    else:
        yield context.compatible("TRC-CUD-002", "process", words, severity=Severity.WARNING)


def _compiles_for_torch(context: Context) -> Iterator[Finding]:
    """torch.utils.cpp_extension refuses to compile with a toolkit of another major than torch's CUDA."""
    toolkit, torch = context.value("cuda_toolkit"), context.value("torch_cuda")
    if not toolkit or not torch or torch == "none" or not is_built_here(context):
        return
    words: Words = {
        "facts": ("cuda_toolkit", "torch_cuda", "torch", "install"),
        "expected": f"a toolkit of CUDA {spans.major_of(torch)}, with which torch was built",
        "found": f"CUDA {toolkit}",
    }
    if spans.major_of(toolkit) == spans.major_of(torch):
        yield context.compatible("TRC-CUD-004", "cuda_toolkit", words)
    elif spans.major_of(toolkit) and spans.major_of(torch):
        yield context.incompatible("TRC-CUD-004", "cuda_toolkit", words, components=("cuda_toolkit", "torch"))


def _onnxruntime(context: Context) -> Iterator[Finding]:
    text = context.value("onnxruntime")
    row = context.match("onnxruntime", text) if text and not spans.is_bound(text) else None
    major = row.value("cuda_major") if row else None
    if row is None or not major or context.has("triton_container"):
        return
    have = context.value("torch_cuda") or next((value for _, value in [_system_cuda(context) or ("", "")]), "")
    if spans.major_of(have):
        words: Words = {
            "facts": ("onnxruntime", "cuda_runtime", "cuda_toolkit", "torch_cuda"), "source": row.source("cuda_major"),
            "expected": f"CUDA {major} for ONNX Runtime {text} of the package index", "found": f"CUDA {have}",
        }  # fmt: skip
        if spans.major_of(have) == major:
            yield context.compatible("TRC-CUD-003", "onnxruntime", words)
        else:
            yield context.incompatible(
                "TRC-CUD-003", "onnxruntime", words, components=("onnxruntime", "cuda_runtime", "cuda_toolkit")
            )


def _onnxruntime_tensorrt(context: Context) -> Iterator[Finding]:
    """Compare with the TensorRT whose libnvinfer the TensorRT provider asks for; the CUDA provider works without."""
    text, have = context.value("onnxruntime"), context.value("tensorrt")
    row = context.match("onnxruntime", text) if text and not spans.is_bound(text) else None
    wanted = row.value("tensorrt") if row else None
    if row is None or not wanted or not have or not context.given("tensorrt") or context.has("triton_container"):
        return
    words: Words = {
        "facts": ("onnxruntime", "tensorrt"), "source": row.source("tensorrt"),
        "expected": f"TensorRT {wanted} for the TensorRT provider of ONNX Runtime {text}", "found": f"TensorRT {have}",
    }  # fmt: skip
    older = spans.within(have, f"<{wanted}")
    if spans.major_of(have) != spans.major_of(str(wanted)):
        uses_it = any("tensorrt" in word.lower() for key in ("backend", "feature") for word in context.values(key))
        if uses_it or not context.has_any(_OTHER_USERS):
            at_fault = ("onnxruntime", "tensorrt")
            yield context.incompatible("TRC-CUD-005", "onnxruntime", words, components=at_fault)
        else:
            yield context.unknown(
                "TRC-CUD-005", "onnxruntime", words,
                detail="its TensorRT provider does not load; its CUDA provider may be what is used",
            )  # fmt: skip
    elif older and is_built_here(context):
        yield context.unknown("TRC-CUD-005", "onnxruntime", words, detail="older than what its source was written for")
    else:
        yield context.compatible("TRC-CUD-005", "onnxruntime", words)


def _expected_by_torch(context: Context) -> Iterator[Finding]:
    """torch/backends/cudnn refuses another major and an older minor, and takes any patch."""
    want, have = context.dotted("cudnn_expected_by_torch"), context.value("cudnn")
    if want is None or have is None:
        return
    words: Words = {
        "facts": ("cudnn", "cudnn_expected_by_torch", "torch"),
        "expected": f"cuDNN {want.major}, at least {want.major_minor}, with which torch was compiled",
        "found": f"cuDNN {have}",
    }
    good = spans.within(have, f">={want.major_minor},<{want.major + 1}")
    if good:
        yield context.compatible("TRC-DNN-003", "torch", words)
    elif good is False:
        yield context.incompatible("TRC-DNN-003", "torch", words, components=("cudnn", "torch"))
    else:
        yield context.unknown("TRC-DNN-003", "torch", words, detail="the minor release of cuDNN is needed to decide")


def _cudnn_major(context: Context) -> Iterator[Finding]:
    """Compare majors of cuDNN: the major is in its SONAME, so another one is another library."""
    have = context.value("cudnn")
    major = spans.major_of(have.lstrip("<>=~ ")) if have else ""
    if not major or context.has("jetpack"):
        return
    for key, cell in (("tensorrt", "cudnn_soname_major"), ("onnxruntime", "cudnn_major")):
        text = context.value(key)
        row = context.match(key, text) if text and not spans.is_bound(text) else None
        wanted = row.value(cell) if row else None
        if row is None or not wanted:
            continue
        words: Words = {
            "facts": ("cudnn", key), "source": row.source(cell),
            "expected": f"cuDNN {wanted} for {title_of(key)} {text}", "found": f"cuDNN {have}",
        }  # fmt: skip
        if wanted == major:
            yield context.compatible("TRC-DNN-004", key, words)
        else:
            yield context.incompatible("TRC-DNN-004", key, words, components=("cudnn", key))
    yield from _cudnn_of_release(context, major)


def _cudnn_of_release(context: Context, major: str) -> Iterator[Finding]:
    version = context.package("tensorrt_llm")
    row: Row | None = context.match("tensorrt_llm", version.public) if version else None
    wanted = spans.major_of(row.value("cudnn")) if row and row.value("cudnn") else ""
    if row is None or not wanted:
        return
    words: Words = {
        "facts": ("cudnn", "tensorrt_llm"), "source": row.source("cudnn"),
        "expected": f"cuDNN {wanted} for TensorRT-LLM {version}", "found": f"cuDNN {context.value('cudnn')}",
    }  # fmt: skip
    if wanted == major:
        yield context.compatible("TRC-DNN-004", "tensorrt_llm", words)
    else:
        yield context.incompatible("TRC-DNN-004", "tensorrt_llm", words, components=("cudnn", "tensorrt_llm"))


def _nccl(context: Context) -> Iterator[Finding]:
    have, built = context.value("nccl"), context.dotted("nccl_built_against")
    if have and built:
        words: Words = {
            "facts": ("nccl", "nccl_built_against"),
            "expected": f"NCCL {built.major_minor} or newer, against which it was compiled", "found": f"NCCL {have}",
        }  # fmt: skip
        good = spans.within(have, f">={built.major_minor}")
        if good:
            yield context.compatible("TRC-NCL-001", "nccl", words)
        elif good is False:
            yield context.incompatible("TRC-NCL-001", "nccl", words, components=("nccl",))
    yield from _two_nccl(context)
    yield from _nccl_of_torch(context)


def _two_nccl(context: Context) -> Iterator[Finding]:
    """Find packages of two CUDA majors that write one file."""
    found = {major: context.value(f"nvidia_nccl_cu{major}") or "" for major in ("11", "12")
             if context.has(f"nvidia_nccl_cu{major}")}  # fmt: skip
    for text in context.values("nvidia_wheels"):
        found |= dict(_NCCL_WHEEL.findall(text))
    if len(found) < 2:
        return
    words: Words = {
        "facts": ("nvidia_nccl_cu11", "nvidia_nccl_cu12", "nvidia_wheels"), "expected": "one NCCL package",
        "found": join(f"nvidia-nccl-cu{major} {version}".strip() for major, version in sorted(found.items())),
        "detail": "both write nvidia/nccl/lib/libnccl.so.2, and the one installed last stays",
    }  # fmt: skip
    at_fault = ("nccl", "nvidia_nccl_cu11", "nvidia_nccl_cu12", "nvidia_wheels")
    yield context.incompatible("TRC-NCL-003", "packages", words, components=at_fault)


def _nccl_of_torch(context: Context) -> Iterator[Finding]:
    """Torch calls functions of the NCCL it pins; an older one lacks them."""
    torch = context.package("torch")
    key = next((key for key in ("nvidia_nccl_cu12", "nvidia_nccl_cu11", "nccl") if context.given(key)), "")
    row = context.match("torch", torch.public) if torch else None
    wanted, have = spans.dotted(row.value("nccl")) if row else None, context.value(key)
    if row is None or wanted is None or not have:
        return
    words: Words = {
        "facts": (key, "torch"), "source": row.source("nccl"),
        "expected": f"NCCL {wanted.major_minor} or newer for torch {torch}", "found": f"NCCL {have}",
    }  # fmt: skip
    good = spans.within(have, f">={wanted.major_minor}")
    release = context.package("tensorrt_llm")
    own = context.match("tensorrt_llm", release.public) if release else None
    if good is False and own is not None and spans.same_minor(have, own.value("nccl")):
        # The release was built in an NGC image, whose torch goes with that image's NCCL.
        good = True
    if good:
        yield context.compatible("TRC-NCL-002", "torch", words)
    elif good is False and not context.has("vllm"):
        yield context.incompatible("TRC-NCL-002", "torch", words, components=("nccl", "torch"))
    elif good is False:
        yield context.compatible("TRC-NCL-002", "torch", words, severity=Severity.WARNING,
                                 detail="older vLLM loads an NCCL of its own beside torch's")  # fmt: skip
