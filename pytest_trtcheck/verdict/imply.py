"""What the given facts imply: a GPU name its compute capability, an image tag its contents, a label its build.

Every implied fact says so (``how``) and names the row it follows from (``where``). None replaces a given one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_trtcheck.model.facts import Fact, State
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.base import IMPLIED
from pytest_trtcheck.verdict.boards import board

if TYPE_CHECKING:
    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.rules.load import Matrix
    from pytest_trtcheck.rules.rows import Row

Implied = tuple[str, str, str]
"""Key, value and where it follows from."""

_LABEL = re.compile(r"\+cu(\d{2})(\d)\d?(?![\d])")
_IMAGES = (
    (re.compile(r"(?:^|/)tritonserver:(\d\d\.\d\d[\w.-]*)$"), "triton_container"),
    (re.compile(r"(?:^|/)tensorrt-llm/(?:release|devel):v?(\d[\w.]*)$"), "tensorrt_llm"),
    (re.compile(r"(?:^|/)tensorrt:(\d\d\.\d\d[\w.-]*)$"), "trt_container"),
    (re.compile(r"(?:^|/)vllm-openai:v?(\d[\w.]*)$"), "vllm"),
)
_CUDA_IMAGE = re.compile(r"(?:^|/)cuda:(\d+\.\d+(?:\.\d+)?)-(?:[\w-]*-)?([a-z]+)([\d.]+)$")
_TORCH_IMAGE = re.compile(r"(?:^|/)pytorch/pytorch:(\d+\.\d+\.\d+)-cuda(\d+\.\d+)-cudnn(\d+)")
_NGC_IMAGE = re.compile(r"(?:^|/)pytorch:(\d\d\.\d\d)")


def imply(stack: Stack, matrix: Matrix) -> Stack:
    """Return the stack with what its facts imply; the stack itself when that is nothing."""
    facts = dict(stack.facts)
    for step in _STEPS:
        for key, value, where in step(facts, matrix):
            if key not in facts:
                facts[key] = Fact(key, State.FOUND, value, where, IMPLIED)
    return replace(stack, facts=facts) if len(facts) != len(stack.facts) else stack


@lru_cache(maxsize=20_000)
def _match(matrix: Matrix, product: str, text: str) -> Row | None:
    return matrix.match(product, text)


@lru_cache(maxsize=5000)
def _boards(matrix: Matrix, name: str) -> tuple[Row, ...]:
    return matrix.candidates("gpu", board(name))


def ngc_row(matrix: Matrix, image: str | None) -> Row | None:
    """Return the row of an NGC PyTorch image, by its name."""
    match = _NGC_IMAGE.search(image or "")
    return matrix.row("ngc_pytorch", match[1]) if match and is_ngc_pytorch(image) else None


def is_ngc_pytorch(image: str | None) -> bool:
    """Say whether an image is one of NVIDIA's monthly PyTorch images."""
    return bool(_NGC_IMAGE.search(image or "")) and not _TORCH_IMAGE.search(image or "")


@lru_cache(maxsize=1000)
def ships_tensorrt_llm(tag: str) -> bool:
    """Say whether a Triton tag is the TensorRT-LLM variant of the image."""
    return "trtllm" in tag


def _value(facts: dict[str, Fact], key: str) -> str | None:
    fact = facts.get(key)
    return fact.value if fact is not None and fact.is_found else None


def _image(facts: dict[str, Fact], matrix: Matrix) -> Iterator[Implied]:
    image = _value(facts, "container")
    if image is None:
        return
    for pattern, key in _IMAGES:
        match = pattern.search(image)
        if match:
            yield key, match[1], image
    match = _CUDA_IMAGE.search(image)
    if match:
        yield "cuda_toolkit", match[1], image
        yield "cuda_runtime", match[1], image
        yield "os", f"{match[2].capitalize()} {match[3]}", image
    match = _TORCH_IMAGE.search(image)
    if match:
        yield "torch", match[1], image
        yield "torch_cuda", match[2], image
        yield "cudnn", match[3], image
    row = ngc_row(matrix, image)
    if row is not None:
        yield from _cells(row, ("torch", "torch"), ("cuda", "cuda_runtime"), ("cudnn", "cudnn"), ("nccl", "nccl"))
        yield from _cells(row, ("python_version", "python"), ("tensorrt", "tensorrt"))
        if row.value("ubuntu"):
            yield "os", f"Ubuntu {row.value('ubuntu')}", row.id


def _cells(row: Row, *pairs: tuple[str, str]) -> Iterator[Implied]:
    for cell, key in pairs:
        value = row.value(cell)
        if value is not None:
            yield key, str(value), row.id


def _triton(facts: dict[str, Fact], matrix: Matrix) -> Iterator[Implied]:
    tag = _value(facts, "triton_container")
    row = matrix.row("triton_container", tag) if tag else None
    if tag is None or row is None:
        return
    yield from _cells(row, ("triton_server", "triton_server"))
    if ships_tensorrt_llm(tag):
        yield from _cells(row, ("tensorrt_llm", "tensorrt_llm"), ("cuda", "cuda_runtime"), ("python_version", "python"))
        # Another release put over the image's own brings its own partners.
        if not ("tensorrt_llm" in facts and _value(facts, "tensorrt_llm") != row.value("tensorrt_llm")):
            yield from _cells(row, ("torch", "torch"))
            release = matrix.row("tensorrt_llm", str(row.value("tensorrt_llm")))
            # Where the sources give two releases for one image, none follows from its tag.
            if release is None or spans.same_minor(row.value("tensorrt"), release.value("tensorrt")) is not False:
                yield from _cells(row, ("tensorrt", "tensorrt"))
    else:
        yield from _cells(row, ("py3_cuda", "cuda_runtime"), ("py3_tensorrt", "tensorrt"))
        yield from _of_month(matrix, row.version)


def _tensorrt_image(facts: dict[str, Fact], matrix: Matrix) -> Iterator[Implied]:
    """NVIDIA's TensorRT image of a month has the CUDA and TensorRT of the plain Triton image."""
    tag = _value(facts, "trt_container")
    row = matrix.row("triton_container", tag) if tag and "triton_container" not in facts else None
    if row is not None:
        yield from _cells(row, ("py3_cuda", "cuda_runtime"), ("py3_tensorrt", "tensorrt"))
        yield from _of_month(matrix, row.version)


def _of_month(matrix: Matrix, month: str) -> Iterator[Implied]:
    """Yield CUDA and TensorRT, major and minor, of the PyTorch image of the month: all images of a month share them."""
    row = matrix.row("ngc_pytorch", month)
    for cell, key in (("cuda", "cuda_runtime"), ("tensorrt", "tensorrt")):
        number = spans.dotted(row.value(cell)) if row else None
        if row is not None and number is not None and len(number.parts) > 1:
            yield key, number.major_minor, row.id


def _release(facts: dict[str, Fact], matrix: Matrix) -> Iterator[Implied]:
    """Inside NVIDIA's own TensorRT-LLM image the partners are those of the release."""
    image, version = _value(facts, "container"), _value(facts, "tensorrt_llm")
    if image is None or version is None or f"tensorrt-llm/release:{version}" not in image:
        return
    row = matrix.row("tensorrt_llm", version)
    if row is not None:
        yield from _cells(row, ("cuda", "cuda_runtime"), ("tensorrt", "tensorrt"), ("torch_ngc", "torch"))


@lru_cache(maxsize=1000)
def jetpack_row(matrix: Matrix, text: str | None) -> Row | None:
    """Return the row of a JetPack release, else the nearest older one of the same minor line, whose parts it keeps."""
    version = spans.dotted(text)
    if version is None:
        return None
    line = [(have, row) for row in matrix.rows("jetpack") if (have := spans.dotted(row.version))
            and have.parts[:2] == version.parts[:2] and have <= version]  # fmt: skip
    return max(line, key=lambda pair: pair[0])[1] if line else None


def _jetson(facts: dict[str, Fact], matrix: Matrix) -> Iterator[Implied]:
    row = jetpack_row(matrix, _value(facts, "jetpack"))
    if row is not None:
        yield from _cells(row, ("tensorrt", "tensorrt"), ("cuda", "cuda_toolkit"), ("cudnn", "cudnn"))


def _gpu(facts: dict[str, Fact], matrix: Matrix) -> Iterator[Implied]:
    fact = facts.get("gpu")
    if fact is None or "sm" in facts:
        return
    names = [str(name) for name in fact.details.get("all") or ()] or ([fact.value] if fact.value else [])
    rows = [row for name in names for row in _boards(matrix, name)]
    # Several models: the check of each needs all capabilities, which one fact of text cannot hold.
    found = dict.fromkeys(str(row.value("sm")) for row in rows if row.value("sm"))
    if len(found) == 1:
        yield "sm", next(iter(found)), rows[0].id


def _torch(facts: dict[str, Fact], matrix: Matrix) -> Iterator[Implied]:
    text = _value(facts, "torch")
    if text is None:
        return
    if spans.is_ngc_torch(text):
        yield "torch_cxx11_abi", "on", "NGC builds of torch use the C++11 ABI"
        return
    match = _LABEL.search(text)
    if match:
        yield "torch_cuda", f"{match[1]}.{match[2]}", f"label of torch {text}"
    elif text.endswith("+cpu"):
        yield "torch_cuda", "none", f"label of torch {text}"
    version = spans.package(text)
    row = _match(matrix, "torch", version.public) if version else None
    if row is None:
        return
    builds, build = row.value("cxx11_abi_by_cuda_build"), _value(facts, "torch_cuda")
    if builds is None:
        yield from _cells(row, ("cxx11_abi", "torch_cxx11_abi"))
    elif match and f"{match[1]}.{match[2]}" in builds:
        yield "torch_cxx11_abi", builds[f"{match[1]}.{match[2]}"], row.id
    elif build in builds:
        yield "torch_cxx11_abi", builds[build], row.id


def _vllm(facts: dict[str, Fact], matrix: Matrix) -> Iterator[Implied]:
    text = _value(facts, "vllm")
    version = spans.package(text)
    if text is None or version is None or "torch_cuda" in facts:
        return
    match = _LABEL.search(text)
    if match:
        yield "vllm_wheel_cuda", f"{match[1]}.{match[2]}", f"label of vllm {text}"
        return
    row = matrix.row("vllm", version.public)
    if row is not None and "torch" not in facts:
        yield from _cells(row, ("cuda", "vllm_wheel_cuda"))


def _system(facts: dict[str, Fact], matrix: Matrix) -> Iterator[Implied]:
    text = _value(facts, "os")
    # glibc inside an image is the image's, not the host's.
    if text is None or "triton_container" in facts:
        return
    row = _match(matrix, "os", text)
    if row is not None:
        yield from _cells(row, ("glibc", "glibc"))


def _driver(facts: dict[str, Fact], matrix: Matrix) -> Iterator[Implied]:
    """Yield the CUDA that the driver's branch was built for; Jetson numbers its drivers apart."""
    have = spans.dotted(_value(facts, "driver"))
    if have is None or "jetpack" in facts:
        return
    found = driver_branch(matrix, have.major)
    if found is not None:
        yield "driver_cuda", found[0], found[1]


def driver_branch(matrix: Matrix, branch: int) -> tuple[str, str] | None:
    """Return the newest CUDA of a driver branch, a bound for a branch without a toolkit, and the row."""
    cached = _BRANCHES.get(id(matrix))
    if cached is None or cached[0] is not matrix:
        cached = (matrix, _branches(matrix))
        _BRANCHES.clear()
        _BRANCHES[id(matrix)] = cached
    below = [known for known in cached[1] if known <= branch]
    if not below:
        return None
    cuda, row = cached[1][max(below)]
    if max(below) == branch:
        return cuda, row
    # A branch without a toolkit of its own stands between two that have one.
    above = [cached[1][known][0] for known in sorted(cached[1]) if known > branch]
    return f">={cuda},<{above[0]}" if above else f">={cuda}", row


_BRANCHES: dict[int, tuple[Matrix, dict[int, tuple[str, str]]]] = {}


def _branches(matrix: Matrix) -> dict[int, tuple[str, str]]:
    """Return CUDA (major.minor) and row by driver branch; rows before CUDA 11 have only their minimum driver."""
    branches: dict[int, tuple[str, str]] = {}
    for row in matrix.rows("cuda_toolkit"):
        version = spans.dotted(row.version)
        driver = spans.dotted(row.value("driver_bundled"))
        if driver is None and version is not None and version.major < 11:
            # From CUDA 11 on the minimum is that of the family, and says nothing of the release.
            driver = spans.dotted(str(row.value("min_driver") or "").lstrip(">="))
        if version is None or driver is None:
            continue
        known = branches.get(driver.major)
        if known is None or (spans.dotted(known[0]) or version) <= version:
            branches[driver.major] = (version.major_minor, row.id)
    return branches


_STEPS: tuple[Callable[[dict[str, Fact], Matrix], Iterator[Implied]], ...] = (
    _image,
    _triton,
    _tensorrt_image,
    _release,
    _jetson,
    _gpu,
    _torch,
    _vllm,
    _system,
    _driver,
)
