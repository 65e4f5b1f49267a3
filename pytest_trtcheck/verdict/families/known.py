"""What is named and could not be judged: said once for each component, with what would tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.finding import Finding, Verdict
from pytest_trtcheck.verdict import spans

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_trtcheck.verdict.base import Context, Unasked

# Components with native GPU code, each with its product; the verdict about a stack rests on them.
_CARRIERS = {
    "tensorrt_llm": "tensorrt_llm", "tensorrt": "tensorrt", "torch": "torch", "vllm": "vllm", "backend": "",
    "triton_container": "triton_container", "flash_attn": "flash_attn", "torch_tensorrt": "torch_tensorrt",
    "onnxruntime": "onnxruntime", "trt_container": "triton_container", "flashinfer": "",
}  # fmt: skip
# Backends that come with every Triton image and go with it.
_OWN_BACKENDS = {
    "python", "onnxruntime", "tensorrt", "pytorch", "libtorch", "tensorflow", "dali", "ensemble", "fil", "vllm",
    "tensorrtllm", "tensorrt_llm", "openvino", "identity", "repeat", "square",
}  # fmt: skip
_HOW = {
    "tensorrt_llm": "python -c 'import tensorrt_llm' prints its version",
    "tensorrt": "python -c 'import tensorrt; print(tensorrt.__version__)' tells",
    "torch": "python -m torch.utils.collect_env tells version, CUDA and ABI",
    "vllm": "vllm collect-env tells",
    "backend": "the start of the server's log names the release of each backend",
    "triton_container": "the banner at the container's start names month and CUDA",
}


def known(context: Context, answers: Iterable[Finding | Unasked]) -> list[Finding]:
    """Return a finding for each carrier of GPU code that no answer judged, and for each newer than the matrix."""
    judged: set[str] = set()
    for answer in answers:
        if isinstance(answer, Finding) and answer.verdict is not Verdict.UNKNOWN:
            judged.update(answer.facts)
            judged.update(answer.components)
    found = []
    for key, product in _CARRIERS.items():
        if not context.given(key):
            continue
        text = context.value(key)
        newer = product and text and _is_newer(context, product, text)
        if newer:
            found.append(_newer(context, key, text or ""))
        elif key not in judged and not _goes_with_image(context, key, judged):
            found.append(_unjudged(context, key, text))
    return found


def _goes_with_image(context: Context, key: str, judged: set[str]) -> bool:
    return key == "backend" and "triton_container" in judged and (context.value(key) or "").lower() in _OWN_BACKENDS


def _unjudged(context: Context, key: str, text: str | None) -> Finding:
    return context.unknown(
        "TRC-KNW-001", key, facts=(key,), expected="something that the matrix can be asked about",
        found=f"{title_of(key)} {text or 'of unknown version'}",
        detail="nothing that is described decides whether it works here; its version, its CUDA, GPU and driver would",
        remedy=f"Say more of it: {_HOW.get(key, 'pip show names its version')}.",
    )  # fmt: skip


def _newer(context: Context, key: str, text: str) -> Finding:
    return context.unknown(
        "TRC-KNW-002", key, facts=(key,), expected="a release that the matrix knows", found=f"{title_of(key)} {text}",
        detail=f"newer than every row of the matrix of {context.matrix.identity.date}",
        remedy="Update pytest-trtcheck, or add a row of your own with --trtcheck-matrix.",
    )  # fmt: skip


def _is_newer(context: Context, product: str, text: str) -> bool:
    """Say whether a version is after the newest row of its product; a nightly of a known line is not."""
    if product in {"torch", "tensorrt_llm", "vllm", "flash_attn", "torch_tensorrt"}:
        version = spans.package(text)
        newest = spans.newest_package(context.matrix, product)
        return bool(version and newest and version.base > newest.base)
    if product in {"tensorrt", "onnxruntime"}:
        number, last = spans.dotted(text), spans.newest_dotted(context.matrix, product)
        return bool(number and last and number.parts[:2] > last.parts[:2])
    return False
