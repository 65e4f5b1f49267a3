"""PyTorch releases."""

from __future__ import annotations

import re
from typing import Any

from matrix.derive.reader import Entry, Fact, ShapeError, joined, load_source
from matrix.derive.values import (
    EXACT,
    PYTHONS,
    RANGE,
    TEXT,
    TEXTS,
    VERSION,
    VERSIONS,
    Parsed,
    compatible_release,
    kept,
    pattern,
    table,
)
from matrix.derive.writer import ProductDraft, RowDraft

FILE = "torch_releases.yaml"
_CONTRADICTIONS = {
    "index default of 2.14": ["2.14.0", "2.14.1"],
    "builds of 2.12 and 2.13": ["2.12.0", "2.12.1", "2.13.0"],
    "2.8 on CUDA 12.8": ["2.8.0"],
}
_ABI_NOTE = (
    "2.6.0: the CUDA 12.6 build on the project index is CXX11_ABI=1 on manylinux 2.28, "
    "the package-index build (12.4) is ABI 0"
)
_PACKAGE = pattern(r"(nvidia-[a-z]+(?:-[a-z]+)*-cu\d+|cuda-toolkit)")
_ABI = {0: "off", 1: "on"}


def derive() -> ProductDraft:
    """Return product torch."""
    top = Entry(load_source(FILE), FILE)
    top.text("schema")
    draft = ProductDraft("torch", top.text("read_on"), (FILE,))
    newest = top.fact("index_newest")
    draft.note(f"newest release on the index when it was read: {newest.value}", newest.source, newest.confidence)
    for entry in top.entries("releases", "torch"):
        _release(entry, draft.row(entry.text("torch")))
    for note in top.raw("notes"):
        _note(note, draft)
    for raw in top.raw("contradictions"):
        if raw["topic"] not in _CONTRADICTIONS:
            raise ShapeError(f"{FILE}: contradiction {raw['topic']!r} is attached to no row")
        draft.contradict(raw, _CONTRADICTIONS[raw["topic"]])
    top.done()
    return draft


def _release(entry: Entry, row: RowDraft) -> None:
    index = row.take(entry, "index_default_cuda", VERSION, "index_cuda")
    for name in ("cuda_runtime", "cudnn", "nccl"):
        fact = row.take(entry, f"{name}_pin", EXACT, name, drop_note=True)
        row.put(f"{name}_package", _PACKAGE(fact.note), _plain(fact))
    row.put(
        "cudnn_soname_major", row.value("cudnn").split(".")[0], row.as_fact("cudnn"), derived="first number of cudnn"
    )
    row.take(entry, "cublas_pin", _cublas, "cublas_range")
    for name in ("triton", "nvshmem", "cusparselt", "cuda_bindings"):
        row.take(entry, f"{name}_pin", _range, f"{name}_range")
    row.take(entry, "requires_python", RANGE)
    row.take(entry, "python_wheels_linux_x86_64", PYTHONS, "python")
    row.take(entry, "linux_x86_64_tag", TEXTS, "wheel_platforms")
    row.take(entry, "cuda_builds_advertised", VERSIONS, "cuda_builds")
    abi = entry.fact("cxx11_abi")
    row.put("cxx11_abi", table(_ABI)(abi.value).value, abi)
    _compiled(entry.group("sm_by_cuda_build"), row, index.value)
    entry.done()


def _plain(fact: Fact) -> Fact:
    return Fact(fact.value, fact.source, fact.confidence, "", fact.path)


def _range(text: str) -> Any:
    plain = compatible_release(text)
    return RANGE(plain) if plain == text else kept(_checked(plain), text)


def _checked(text: str) -> str:
    from pytest_trtcheck.model.versions import VersionRange

    return VersionRange.parse(text).text


def _cublas(text: str) -> Any:
    return Parsed(None, text) if re.fullmatch(r"through the cuda-toolkit extra ==[\d.]+", text) else RANGE(text)


def _compiled(group: Entry, row: RowDraft, index_cuda: str) -> None:
    """Join the lists of all builds into one cell, and what they say of PTX into another."""
    compiled: dict[str, list[str]] = {}
    ptx: dict[str, list[str]] = {}
    facts, ptx_facts = [], []
    for key in group.keys():  # noqa: SIM118
        match = re.fullmatch(r"(\d+\.\d+)( \(index\))?", key)
        if not match or (match[2] and match[1] != index_cuda):
            raise ShapeError(f"{group.path}.{key}: expected a CUDA build, the index build being {index_cuda}")
        fact = group.fact(key)
        note = f"{match[1]}: {fact.confidence}{', ' + fact.note if fact.note else ''}"
        facts.append(Fact(None, fact.source, fact.confidence, note, fact.path))
        cuda = match[1]
        compiled[cuda] = []
        for item in fact.value:
            target = re.fullmatch(r"(\d+\.\d)(\+PTX)?( \(Linux\))?", item)
            if not target:
                raise ShapeError(f"{fact.path}: {item!r}")
            if target[2]:
                ptx.setdefault(cuda, []).append(target[1])
                ptx_facts.append(Fact(None, fact.source, fact.confidence, f"{cuda}: {item}", fact.path))
            else:
                compiled[cuda].append(target[1])
    group.done()
    row.put("sm_by_cuda_build", dict(sorted(compiled.items())), joined(facts))
    if ptx:
        row.put("ptx_by_cuda_build", ptx, joined(ptx_facts))


def _note(raw: dict[str, Any], draft: ProductDraft) -> None:
    """Keep a note; two of them also say something of single rows."""
    draft.note(raw)
    fact = Fact(raw["value"], raw["source"], raw["confidence"], raw.get("note", ""), f"{FILE}.notes")
    if fact.value == _ABI_NOTE:
        draft.find("2.6.0").put("cxx11_abi_by_cuda_build", {"12.4": "off", "12.6": "on"}, fact)
    elif isinstance(fact.value, dict):
        for version, cuda in fact.value.items():
            draft.find(version).put("cuda_compiled", TEXT(cuda), fact)
    elif "CXX11_ABI" in fact.value:
        raise ShapeError(f"{fact.path}: a new note on the ABI: {fact.value!r}")
