"""GPU names, and the precisions of each compute capability."""

from __future__ import annotations

import re
from typing import Any

from matrix.derive.reader import Entry, Fact, ShapeError, joined, load_source
from matrix.derive.values import BOOL, TEXT, TEXTS, VERSION, Parsed, either, kept, table
from matrix.derive.writer import ProductDraft, RowDraft
from pytest_trtcheck.rules.kinds import GPU_CLASSES

FILE = "gpus.yaml"
_TYPES = (
    "fp16",
    "bf16",
    "tf32",
    "int8",
    "int4",
    "fp8_e4m3",
    "fp8_e5m2",
    "fp4_e2m1",
    "nvfp4",
    "mxfp4",
    "mxfp6",
    "mxfp8",
)
_SUPPORT = either(BOOL, table({"partial": "partial"}))
_LIBRARIES = {"Transformer Engine": "transformer_engine", "TensorRT-RTX 1.5": "tensorrt_rtx"}
# Names that carry more than a name: the names people look up, and the remark to keep.
_NAMES = {
    "NVIDIA GB10 (DGX Spark)": ["NVIDIA GB10", "DGX Spark"],
    "NVIDIA Thor (DRIVE); same part is 11.0 from CUDA 13.0": ["NVIDIA DRIVE Thor"],
}
_RENAMED = "sm_101 in CUDA 12.8-12.9, sm_110 from CUDA 13.0"


def derive(sm: ProductDraft) -> ProductDraft:
    """Return product gpu, and add the precisions to product sm."""
    top = Entry(load_source(FILE), FILE)
    top.text("schema")
    gpus = ProductDraft("gpu", top.text("read_on"), (FILE,))
    sm.derived_from = (*sm.derived_from, FILE)
    for entry in top.entries("gpus", "sm"):
        _architecture(entry, gpus, sm)
    for entry in top.entries("library_level_precision_support", "compute_capability"):
        prefix = _LIBRARIES[entry.text("library")]
        _library(entry, prefix, entry.text("compute_capability").split(", "), sm)
    for entry in top.entries("tensorrt_drive_precision", "compute_capability"):
        version, remark = re.fullmatch(r"([\d.]+) \((.+)\)", entry.text("compute_capability")).groups()  # type: ignore[union-attr]
        _library(entry, "tensorrt_drive", [version], sm, remark)
    renamed = top.fact("thor_rename")
    sm.find("10.1").put("renamed_to", table({_RENAMED: "11.0"})(renamed.value), renamed)
    sm.note(top.raw("blackwell_not_binary_compatible"))
    top.done()
    return gpus


def _architecture(entry: Entry, gpus: ProductDraft, sm: ProductDraft) -> None:
    version = entry.text("compute_capability")
    if entry.text("sm") != f"sm_{version.replace('.', '')}":
        raise ShapeError(f"{entry.path}: {version} is not {entry.text('sm')}")
    row = sm.find(version)
    architecture = entry.fact("architecture")
    known = row.cells.pop("architecture")
    if architecture.known and architecture.value != known["value"]:
        raise ShapeError(
            f"{entry.path}: architecture {architecture.value!r} here, {known['value']!r} in cuda_driver.yaml"
        )
    row.parse("architecture", architecture, TEXT)
    _first_cuda(entry, row)
    tensor = entry.group("tensor_core")
    for name in _TYPES:
        row.take(tensor, name, BOOL, f"tensor_core_{name}")
    tensor.done()
    fact = row.as_fact(*(f"tensor_core_{name}" for name in _TYPES))
    for name, wanted in (("native_precisions", True), ("absent_precisions", False)):
        types = [kind for kind in _TYPES if row.value(f"tensor_core_{kind}") is wanted]
        row.put(name, types, Fact(None, fact.source, "derived", "", fact.path), derived="the tensor_core cells")
    _names(entry, architecture, gpus, row)
    entry.done()


def _first_cuda(entry: Entry, row: RowDraft) -> None:
    first = entry.fact("first_cuda")
    if first.known and VERSION(first.value) != row.value("first_cuda"):
        raise ShapeError(f"{entry.path}: first CUDA {first.value} here, {row.value('first_cuda')} in cuda_driver.yaml")


def _names(entry: Entry, architecture: Fact, gpus: ProductDraft, row: RowDraft) -> None:
    raw = entry.raw("gpus")
    if raw.get("value") == "unknown":
        row.put("gpu_classes", None, Fact(None, raw["source"], "unknown", raw.get("note", ""), entry.path))
        return
    group = Entry(raw, f"{entry.path}.gpus")
    classes, facts = [], []
    for name in GPU_CLASSES:
        fact = group.fact(name)
        facts.append(fact)
        TEXTS(fact.value)
        if fact.value:
            classes.append(name)
        for text in fact.value:
            for title in _NAMES.get(text, [text]):
                _gpu(gpus.row(title), row.version, name, fact, text if title != text else "", architecture)
    group.done()
    row.put("gpu_classes", classes, joined(facts))


def _gpu(gpu: RowDraft, sm: str, kind: str, fact: Fact, text: str, architecture: Fact) -> None:
    if not text and re.search(r"[();]", gpu.version):
        raise ShapeError(f"{fact.path}: {gpu.version!r} is more than a name; say in _NAMES what it is called")
    gpu.put("sm", kept(sm, text) if text else sm, fact)
    gpu.put("class", kind, fact)
    gpu.parse("architecture", architecture, TEXT)


def _library(entry: Entry, prefix: str, versions: list[str], sm: ProductDraft, remark: str = "") -> None:
    names = [key for key in entry.keys() if key not in {"library", "compute_capability"}]  # noqa: SIM118
    for name in names:
        fact = entry.fact(name)
        value: Any = _SUPPORT(fact.value)
        for version in versions:
            sm.find(version).put(f"{prefix}_{name}", Parsed(value, remark) if remark else value, fact)
    entry.done()
