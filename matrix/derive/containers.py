"""Triton Inference Server and NGC PyTorch containers."""

from __future__ import annotations

import re
from typing import Any

from matrix.derive.reader import Entry, Fact, ShapeError, load_source
from matrix.derive.values import (
    DATE,
    DPKG,
    MONTH,
    PACKAGE,
    RANGE,
    TEXT,
    VERSION,
    Parsed,
    branch_range,
    capability,
    either,
    listed,
    pattern,
    table,
)
from matrix.derive.writer import ProductDraft, RowDraft

TRITON = "triton_containers.yaml"
NGC = "ngc_pytorch.yaml"
_LOOSE = either(
    VERSION, pattern(r"(\d+(?:\.\d+)+)\.(?:post\d+\.dev\d+|x|stable\.\d+)"), pattern(r"(\d[\d.]+) \(cuda\d+\.\d\)")
)
_TORCH = either(PACKAGE, pattern(r"(\d+\.\d+\.\d+a0) \([0-9a-f]+\)"))
_FLOOR = either(
    pattern(r"(\d+)\+", ">={0}", note=False),
    table({"not stated (page points to CUDA compatibility)": Parsed(None, "not stated")}),
)
_SIZE = re.compile(r"([\d.]+) ?(?:G|GB)")
_MONTHS = ["25.08", "25.09", "25.10", "25.11", "25.12", "26.01", "26.02", "26.03", "26.04"]
_TRITON_CONTRADICTIONS: dict[str, list[str]] = {
    "T01": ["24.04"],
    "T02": ["24.05"],
    "T03": ["24.06"],
    "T04": ["24.07"],
    "T05": ["24.09"],
    "T06": ["24.11"],
    "T07": ["24.12"],
    "T08": ["25.02"],
    "T09": ["25.04"],
    "T10": ["25.06", "25.07"],
    "T11": ["25.10"],
    "T12": ["25.11"],
    "T13": ["25.12"],
    "T14": ["26.03"],
    "T15": ["25.11", "25.12", "26.01", "26.02"],
    "T16": _MONTHS,
    "T17": ["25.01"],
    "T18": ["26.05", "26.06"],
    "T19": ["25.06", "25.07", "25.08", "25.09"],
    "T20": ["24.04"],
}
_NGC_CONTRADICTIONS: dict[str, list[str]] = {
    "NCCL in 24.01": ["24.01"],
    "CUDA in 26.07": ["26.07"],
    "CUDA in 25.06": ["25.06"],
    "CUDA in 25.08": ["25.08"],
    "minimum driver text for CUDA 13 containers (25.08-26.02)": _MONTHS[:7],
    "R545 in 24.10-26.02 notes": [
        "24.10",
        "24.11",
        "24.12",
        *(f"25.{month:02}" for month in range(1, 13)),
        "26.01",
        "26.02",
    ],
}


def derive(families: ProductDraft) -> tuple[ProductDraft, ProductDraft]:
    """Return products triton_container and ngc_pytorch."""
    return _triton(families), _ngc()


def _contradictions(top: Entry, draft: ProductDraft, key: str, known: dict[str, list[str]]) -> None:
    for raw in top.raw("contradictions"):
        if raw[key] not in known:
            raise ShapeError(f"{top.path}: contradiction {raw[key]!r} is attached to no row")
        draft.contradict(raw, known[raw[key]])


def _full_python(fact: Fact, row: RowDraft) -> None:
    row.parse("python_version", fact, VERSION)
    version = row.value("python_version")
    row.put("python", [".".join(version.split(".")[:2])] if version else None, fact)


def _triton(families: ProductDraft) -> ProductDraft:
    top = Entry(load_source(TRITON), TRITON)
    top.text("schema")
    draft = ProductDraft("triton_container", top.text("read_on"), (TRITON,))
    for note in top.raw("notes"):
        draft.note(note)
    for entry in top.entries("containers", "container"):
        row = draft.row(entry.text("container"))
        _trtllm_image(entry, row, families)
        _backend(entry, row)
        _py3_image(entry, row)
        entry.done()
    _contradictions(top, draft, "id", _TRITON_CONTRADICTIONS)
    top.done()
    return draft


def _trtllm_image(entry: Entry, row: RowDraft, families: ProductDraft) -> None:
    row.take(entry, "release_date", DATE)
    row.take(entry, "triton_server_version", VERSION, "triton_server")
    row.take(entry, "upstream_container_in_build_py", MONTH, "upstream_month")
    row.take(entry, "image", TEXT)
    row.take(entry, "tensorrt_llm", PACKAGE)
    row.take(entry, "tensorrt", _LOOSE)
    cuda = row.take(entry, "cuda", VERSION)
    if cuda.known:
        family = families.find(f"{cuda.value.split('.')[0]}.x")
        floor = family.as_fact("min_driver")
        row.put("min_driver_family", family.value("min_driver"), floor, derived=f"{family.id}, by cuda")
    row.take(entry, "driver_listed", VERSION)
    _full_python(entry.fact("python"), row)
    row.take(entry, "torch", _TORCH)
    row.take(entry, "image_size", _size, "image_size_gb")


def _size(text: str) -> Any:
    match = _SIZE.fullmatch(text)
    if not match:
        raise ShapeError(f"expected a size like 16.2 GB, found {text!r}")
    return float(match[1])


def _backend(entry: Entry, row: RowDraft) -> None:
    raw = entry.raw("backend_branch")
    if raw.get("value") == "unknown":
        row.put("backend_branch", None, Fact(None, raw["source"], "unknown", raw.get("note", ""), entry.path))
        return
    group = Entry(raw, f"{entry.path}.backend_branch")
    commit = row.take(group, "submodule_commit", TEXT, "backend_submodule_commit")
    row.put("backend_branch", True, commit, derived="the branch was read")
    row.take(group, "min_image", TEXT, "backend_min_image")
    row.take(group, "pytorch_image", TEXT, "backend_pytorch_image")
    row.take(group, "tensorrt", VERSION, "backend_tensorrt")
    row.take(group, "nvrtc", DPKG, "backend_nvrtc")
    row.take(group, "nccl", DPKG, "backend_nccl")
    row.take(group, "tensorrt_llm_wheel", PACKAGE, "backend_tensorrt_llm")
    row.take(group, "tensorrt_llm_repo_tag", TEXT, "backend_tensorrt_llm_tag")
    group.done()


def _py3_image(entry: Entry, row: RowDraft) -> None:
    row.take(entry, "py3_image_cuda", VERSION, "py3_cuda")
    row.take(entry, "py3_image_driver_floor", _FLOOR, "py3_min_driver")
    branches = listed(branch_range)
    row.take(entry, "py3_image_datacenter_driver_branches", branches, "py3_datacenter_drivers")
    row.take(entry, "py3_image_min_compute_capability", capability, "py3_min_compute_capability")


def _ngc() -> ProductDraft:
    top = Entry(load_source(NGC), NGC)
    top.text("schema")
    draft = ProductDraft("ngc_pytorch", top.text("read_on"), (NGC,))
    for entry in top.entries("containers", "tag"):
        tag = entry.text("tag")
        row = draft.row(MONTH(tag.removesuffix("-py3")))
        _ngc_image(entry, row, tag)
        entry.done()
    for note in top.raw("notes"):
        draft.note(note)
    _contradictions(top, draft, "topic", _NGC_CONTRADICTIONS)
    top.done()
    return draft


def _ngc_image(entry: Entry, row: RowDraft, tag: str) -> None:
    cuda = entry.fact("cuda")
    row.put("tag", tag, Fact(None, f"matrix/sources/{NGC}", "stated", "", entry.path))
    row.take(entry, "ubuntu", VERSION)
    _full_python(entry.fact("python"), row)
    row.parse("cuda", cuda, VERSION)
    for name in ("cudnn", "nccl", "cublas", "tensorrt"):
        row.take(entry, name, _LOOSE)
    row.take(entry, "torch", _TORCH)
    row.take(entry, "container_driver_build", VERSION, "driver_bundled")
    row.take(entry, "min_driver_stated", RANGE, "min_driver")
    row.take(entry, "min_driver_by_cuda_family", RANGE, "min_driver_family")
    row.take(entry, "min_compute_capability", capability)
    if "torch_arch_list" in entry:
        _arch_list(entry.fact("torch_arch_list"), row)


def _arch_list(fact: Fact, row: RowDraft) -> None:
    """``12.0+PTX`` is code for 12.0 and PTX beside it, as in TORCH_CUDA_ARCH_LIST."""
    row.parse("torch_sm", fact, listed(lambda text: capability(text.removesuffix("+PTX"))))
    ptx = [capability(text.removesuffix("+PTX")) for text in fact.value if text.endswith("+PTX")]
    if ptx:
        row.put("torch_ptx", ptx, fact)
