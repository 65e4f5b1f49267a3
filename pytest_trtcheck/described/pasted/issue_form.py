"""The environment part of a TensorRT-LLM issue: labelled lines in free text, filled in by people."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_trtcheck.described.pasted.notes import Line, Notes

_MARK = r"\s{0,12}(?:(?:[-*+•]|\d{1,2}[.)])\s{1,4})?(?:\[[ xX]\]\s{1,3})?[*_`]{0,3}"
_IS = r"[*_`]{0,3}\s*(?:\([^)]{0,60}\))?\s*[:=]{0,2}\s*[*_`]{0,3}\s*"
_V = r"[vV]?(\d[\w.+]{0,40})"
_TIMES = "x\u00d7*"
_GPU = r"(?:nvidia|geforce|tesla|quadro|rtx|gtx|titan|jetson|[ABHLTPV]\d|GH?B?\d)"
_IMAGE = r"(?:[\w.-]+/){0,6}[\w.-]+:\w[\w.-]{1,60}"
_TRTLLM = r"tensorrt[-_ ]?llm"
# Labels in the order of trial; a line answers the first one that fits it.
_LABELS = tuple(
    (key, re.compile(_MARK + pattern, re.IGNORECASE))
    for key, pattern in (
        ("arch", rf"(?:cpu )?arch(?:itecture)?{_IS}(x86_64|x86-64|amd64|aarch64|arm64)\b"),
        ("gpu_count", rf"(?:gpu count|number of gpus|gpus used){_IS}(\d{{1,3}})\b"),
        ("gpu", rf"gpus?(?: name| type| model)?{_IS}(?:\d{{1,2}}\s?[{_TIMES}]\s?)?({_GPU}[\w /().-]{{0,60}})"),
        ("driver_cuda", rf"(?:driver cuda|cuda driver)(?: version)?{_IS}{_V}"),
        ("driver", rf"(?:nvidia |nvida |gpu |graphics )?drivers?(?: version)?{_IS}{_V}"),
        ("tensorrt_llm", rf"{_TRTLLM}(?:[ -]backend)?(?: (?:version|branch|tag|release|branch or tag))?{_IS}{_V}"),
        ("tensorrt", rf"(?:tensorrt|trt)(?: version)?{_IS}{_V}"),
        ("container", rf"(?:triton )?(?:docker|container|image)(?: image| used)?{_IS}({_IMAGE})"),
        ("cudnn", rf"cudnn(?: version)?{_IS}{_V}"),
        ("nccl", rf"nccl(?: version)?{_IS}{_V}"),
        ("cuda_toolkit", rf"(?:cuda toolkit|nvcc)(?: version)?{_IS}{_V}"),
        ("torch", rf"(?:pytorch|torch)(?: version)?{_IS}{_V}"),
        ("transformers", rf"transformers(?: version)?{_IS}{_V}"),
        ("python", rf"python(?: version)?{_IS}(\d\.\d{{1,2}}(?:\.\d{{1,2}})?)\b"),
        ("os", rf"(?:os|operating system)(?: version)?{_IS}(\w[\w .()-]{{1,60}})"),
        ("model", rf"model(?: name)?{_IS}(\w[\w./-]{{1,80}})"),
    )
)  # fmt: skip
_PLAIN_CUDA = re.compile(rf"{_MARK}cuda(?: version)?{_IS}{_V}", re.IGNORECASE)
_ANSWER_MISSING = re.compile(r"\s*(?:\(?e\.g\.|\(if known|$)", re.IGNORECASE)
_SIGNS = re.compile(
    rf"^{_MARK}(?:cpu architecture|gpu (?:name|properties|memory size)|{_TRTLLM} (?:branch|version|commit|v\d)"
    rf"|container used|nvidia driver version|host memory size|cpu/host memory)",
    re.IGNORECASE | re.MULTILINE,
)
_CUT = re.compile(r"\s*(?:[,;|]|\s-\s|\s\(|\bwith\b|\bx\s?\d+\b).*$", re.IGNORECASE)
_COUNT = re.compile(rf"\b(\d{{1,2}})\s?[{_TIMES}]\s?(?=[A-Z])|\s[{_TIMES}]\s?(\d{{1,2}})\b")
_TRITON_IMAGE = re.compile(r"tritonserver:(\d\d\.\d\d[\w.-]{0,40})")
_MAX_ANSWER = 200


def recognises(text: str) -> bool:
    """Tell whether the text has at least two questions of the form in it."""
    return len({match[0].strip().lower() for match in _SIGNS.finditer(text[:200_000])}) >= 2


def read(lines: Sequence[Line]) -> Notes:
    """Return what labelled lines state. ``CUDA: 12.4`` alone is left out: toolkit, runtime or what the driver shows?"""
    notes = Notes()
    for line in lines:
        if len(line.text) <= _MAX_ANSWER:
            _read_line(notes, line)
    return notes


def _read_line(notes: Notes, line: Line) -> None:
    for key, pattern in _LABELS:
        match = pattern.match(line.text)
        if match:
            _note(notes, key, match[1], line)
            return
    match = _PLAIN_CUDA.match(line.text)
    if match:
        notes.leave_out(line, f"CUDA {match[1]}: of the toolkit, the runtime or the driver?")


def _note(notes: Notes, key: str, answer: str, line: Line) -> None:
    if key == "gpu":
        count = _COUNT.search(line.text)
        if count:
            notes.note("gpu_count", count[1] or count[2], line)
    if key in {"gpu", "os"}:
        answer = _CUT.sub("", answer).strip(" .")
    if key == "arch":
        answer = {"x86-64": "x86_64", "amd64": "x86_64", "arm64": "aarch64"}.get(answer.lower(), answer.lower())
    if key == "container" and (image := _TRITON_IMAGE.search(answer)):
        key, answer = "triton_container", image[1]
    if not _ANSWER_MISSING.match(answer):
        notes.note(key, answer.rstrip("."), line)
