"""Triton images: their backends, and what was put over their own contents."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.families.tensorrt_llm import container_tag
from pytest_trtcheck.verdict.imply import is_ngc_pytorch, ngc_row, ships_tensorrt_llm
from pytest_trtcheck.verdict.route import is_built_here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.model.versions import ContainerTag
    from pytest_trtcheck.rules.rows import Row
    from pytest_trtcheck.verdict.base import Context, Unasked, Words

_MONTH = re.compile(r"r?(\d\d\.\d\d)")
_TENSORRT_LLM = {"tensorrtllm", "tensorrt_llm", "trtllm", "tensorrt-llm"}
# Variants for one engine hold that engine and the Python backend only.
_ONLY_IN_PLAIN = {"onnxruntime", "pytorch", "libtorch", "tensorrt", "tensorflow"}


def containers(context: Context) -> Iterator[Finding | Unasked]:
    """Judge a Triton or NGC image by what its row says it ships."""
    yield from _backend_api(context)
    tag = container_tag(context.value("triton_container"))
    row = context.row("triton_container", tag.month) if tag else None
    yield from _backend_release(context, tag, row)
    yield from _backend_in_image(context, tag)
    yield from _server(context, tag, row)
    if tag is not None and row is not None:
        yield from _tensorrt(context, tag, row)
    yield from _torch(context, row)
    yield from _leftovers(context)


def base_of_image(context: Context) -> tuple[str, str]:
    """Return Ubuntu and Python of a Triton image; empty where they are not known."""
    tag = container_tag(context.value("triton_container"))
    row = context.row("triton_container", tag.month) if tag else None
    same = context.row("ngc_pytorch", tag.month) if tag else None
    ubuntu = (row.value("py3_ubuntu") if row else None) or (same.value("ubuntu") if same else None)
    python = (row.value("py3_python_version") if row else None) or (same.value("python_version") if same else None)
    return str(ubuntu or ""), str(python or "")


def _backend_release(context: Context, tag: ContainerTag | None, row: Row | None) -> Iterator[Finding]:
    text = context.value("backend_version")
    if text is None:
        return
    name = (context.value("backend") or "the backend").lower()
    subject, facts = "backend", ("backend_version", "backend", "triton_container", "tensorrt_llm")
    month = _MONTH.fullmatch(text.removesuffix("-py3"))
    if month:
        if tag is None:
            return
        words: Words = {"facts": facts, "expected": f"{name} of release {tag.month}", "found": f"release {month[1]}"}
        if month[1] == tag.month:
            yield context.compatible("TRC-TRI-001", subject, words)
        else:
            yield context.incompatible("TRC-TRI-001", subject, words, components=("backend", "triton_container"))
        return
    if name in _TENSORRT_LLM:
        yield from _tensorrt_llm_backend(context, text, row, facts)


def _tensorrt_llm_backend(context: Context, text: str, row: Row | None, facts: tuple[str, ...]) -> Iterator[Finding]:
    """Compare the backend's release number, which is that of the TensorRT-LLM it is made for."""
    shipped = row.value("tensorrt_llm") if row else None
    pairs = [(context.value("tensorrt_llm"), "tensorrt_llm"), (shipped, "triton_container")]
    for wanted, key in pairs:
        backend, other = spans.package(text.lstrip("v")), spans.package(str(wanted) if wanted else None)
        if backend is None or other is None:
            continue
        words: Words = {
            "facts": facts, "expected": f"backend {other.base} with TensorRT-LLM {other}", "found": f"backend {backend}"
        }  # fmt: skip
        if key == "triton_container" and row is not None:
            words["source"] = row.source("tensorrt_llm")
        if backend.base == other.base:
            yield context.compatible("TRC-TRI-001", f"backend-{key}", words)
        else:
            yield context.incompatible(
                "TRC-TRI-001", f"backend-{key}", words, components=("backend", key, "tensorrt_llm")
            )


def _backend_api(context: Context) -> Iterator[Finding]:
    server, backend = context.dotted("tritonbackend_api_server"), context.dotted("tritonbackend_api_backend")
    if server is None or backend is None:
        return
    words: Words = {
        "facts": ("tritonbackend_api_server", "tritonbackend_api_backend"),
        "expected": f"backend API {server.major}, at most {server}", "found": f"backend API {backend}",
        "remedy": "Build the backend with -DTRITON_CORE_REPO_TAG, -DTRITON_BACKEND_REPO_TAG and "
        "-DTRITON_COMMON_REPO_TAG of the server's release.",
    }  # fmt: skip
    if server.major == backend.major and backend.minor <= server.minor:
        yield context.compatible("TRC-TRI-002", "backend", words)
    else:
        yield context.incompatible("TRC-TRI-002", "backend", words, components=("backend", "triton_server"))


def _backend_in_image(context: Context, tag: ContainerTag | None) -> Iterator[Finding]:
    """Say whether the variant of the image has the backend; a backend that was added to it tells its version."""
    if tag is None or context.has("backend_version") or is_built_here(context):
        return
    for name in map(str.lower, context.values("backend")):
        if name in _TENSORRT_LLM:
            has = "trtllm" in tag.variant if tag.variant else None
        elif name in _ONLY_IN_PLAIN:
            has = not any(word in tag.variant for word in ("trtllm", "vllm", "pyt-"))
        else:
            continue
        if has is not None and name in {"pytorch", "libtorch"} and "pyt-" in tag.variant:
            has = True
        words: Words = {
            "facts": ("backend", "triton_container"), "expected": f"a variant of Triton {tag.month} with {name}",
            "found": f"{tag.text}",
            "remedy": f"Take {tag.month}-{'trtllm-python-py3' if name in _TENSORRT_LLM else 'py3'}.",
        }  # fmt: skip
        if has:
            yield context.compatible("TRC-TRI-007", name, words)
        elif has is False:
            yield context.incompatible("TRC-TRI-007", name, words, components=("triton_container", "backend"))


def _server(context: Context, tag: ContainerTag | None, row: Row | None) -> Iterator[Finding]:
    have, shipped = context.value("triton_server"), row.value("triton_server") if row else None
    if tag is None or row is None or not have or not shipped or not context.given("triton_server"):
        return
    words: Words = {
        "facts": ("triton_server", "triton_container"), "source": row.source("triton_server"),
        "expected": f"Triton server {shipped} in {tag.month}", "found": f"Triton server {have}",
    }  # fmt: skip
    if spans.same_numbers(have, str(shipped), 2):
        yield context.compatible("TRC-TRI-003", "triton_server", words)
    else:
        yield context.unknown("TRC-TRI-003", "triton_server", words, severity=Severity.INFO,
                              detail="the server is not the image's own, or the tag is not the image's")  # fmt: skip


def _tensorrt(context: Context, tag: ContainerTag, row: Row) -> Iterator[Finding]:
    """Hold a TensorRT that was named against the image's own; the sources give two for some TensorRT-LLM images."""
    have = context.value("tensorrt")
    if not have or not context.given("tensorrt"):
        return
    cell = "tensorrt" if ships_tensorrt_llm(tag.text) else "py3_tensorrt"
    release = context.row("tensorrt_llm", str(row.value("tensorrt_llm"))) if cell == "tensorrt" else None
    shipped = [str(value) for value in (row.value(cell), release.value("tensorrt") if release else None) if value]
    if not shipped:
        return
    words: Words = {
        "facts": ("tensorrt", "triton_container"), "source": row.source(cell),
        "expected": f"TensorRT {' or '.join(dict.fromkeys(shipped))} in Triton {tag.text}", "found": f"TensorRT {have}",
    }  # fmt: skip
    if any(spans.same_numbers(have, own, 2) for own in shipped):
        yield context.compatible("TRC-TRI-004", "tensorrt", words)
    elif all(spans.same_minor(have, own) is False for own in shipped):
        yield context.incompatible("TRC-TRI-004", "tensorrt", words, components=("tensorrt", "triton_container"))
    else:
        yield context.unknown("TRC-TRI-004", "tensorrt", words, detail="the patch releases differ or are not known")


def _torch(context: Context, triton: Row | None) -> Iterator[Finding]:
    """Compare with the image's own torch, with which its libraries are linked; an index build has another ABI."""
    have = context.value("torch")
    tag = context.value("triton_container") or ""
    ngc = ngc_row(context.matrix, context.value("container"))
    row = triton if triton is not None and ships_tensorrt_llm(tag) else ngc
    own = row.value("torch") if row else None
    if have and row is None and is_ngc_pytorch(context.value("container")) and context.given("torch"):
        yield from _index_torch_in_ngc(context, have)
    if row is None or not own or not have or not context.given("torch"):
        return
    words: Words = {
        "facts": ("torch", "triton_container", "container", "torch_cxx11_abi"), "source": row.source("torch"),
        "expected": f"the image's own torch {own}", "found": f"torch {have}",
        "remedy": "Use the image as it is, or install everything from the index in an image without torch.",
    }  # fmt: skip
    if have == own or have.startswith(f"{own}.") or own.startswith(f"{have}.nv"):
        yield context.compatible("TRC-TRI-005", "torch", words)
    elif not spans.is_ngc_torch(have):
        what = ("torch", "tensorrt_llm") if triton is not None else ("torch", "container")
        yield context.incompatible(
            "TRC-TRI-005", "torch", words, components=what,
            detail="the libraries of the image were built against its own torch, with the C++11 ABI",
        )  # fmt: skip


def _index_torch_in_ngc(context: Context, have: str) -> Iterator[Finding]:
    """Refuse a torch of the index: that of every NGC image is a pre-release build, and its libraries go with it."""
    if spans.is_ngc_torch(have) or "a0" in have:
        return
    yield context.incompatible(
        "TRC-TRI-005", "torch", facts=("torch", "container"), components=("torch", "container"),
        expected="the image's own torch, a pre-release build", found=f"torch {have}",
        detail="the libraries of the image were built against its own torch, with the C++11 ABI",
    )  # fmt: skip


def _leftovers(context: Context) -> Iterator[Finding]:
    """Package entries of a TensorRT that another one in the image replaced mislead only the reader."""
    listed, used = context.value("dpkg_tensorrt"), context.value("tensorrt")
    if listed is None or used is None:
        return
    differs = spans.same_minor(listed, used) is False
    yield context.compatible(
        "TRC-TRI-006", "tensorrt", facts=("dpkg_tensorrt", "tensorrt"), expected=f"dpkg lists TensorRT {used}",
        found=f"dpkg lists {listed}", severity=Severity.WARNING if differs else Severity.INFO,
        detail="the library that is loaded counts, not the package list" if differs else "",
    )  # fmt: skip
