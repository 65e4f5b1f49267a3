"""cuDNN and NCCL releases."""

from __future__ import annotations

import re
from typing import Any

from matrix.derive.reader import Entry, Fact, ShapeError, load_source
from matrix.derive.values import BOOL, CAPABILITIES, DATE, FAMILY, PACKAGES, RANGE, listed, pattern
from matrix.derive.writer import ProductDraft, RowDraft

FILE = "cudnn_nccl.yaml"
_MAJOR = pattern(r"(\d+)")
_BLACKWELL = "12.x with Blackwell"


def derive() -> list[ProductDraft]:
    """Return products cudnn and nccl."""
    top = Entry(load_source(FILE), FILE)
    top.text("schema")
    date = top.text("read_on")
    cudnn, nccl = ProductDraft("cudnn", date, (FILE,)), ProductDraft("nccl", date, (FILE,))
    for entry in top.entries("cudnn", "cudnn"):
        _cudnn(entry, cudnn.row(entry.text("cudnn")))
    for entry in top.entries("nccl", "nccl"):
        _nccl(entry, nccl.row(entry.text("nccl")))
    for draft in (cudnn, nccl):
        for note in top.raw(f"{draft.product}_notes"):
            draft.note(note)
    top.done()
    return [cudnn, nccl]


def _family_majors(values: Any) -> list[str]:
    return [FAMILY(value).removesuffix(".x") for value in values]


def _cudnn(entry: Entry, row: RowDraft) -> None:
    row.take(entry, "wheel_versions_cu12", PACKAGES, "wheels_cu12")
    row.take(entry, "wheel_versions_cu13", PACKAGES, "wheels_cu13")
    row.take(entry, "cuda_majors", _family_majors)
    row.take(entry, "cuda11_build", BOOL)
    _cuda_versions(entry.fact("cuda_versions"), row)
    _min_driver(entry.fact("min_driver_linux"), row)
    _capabilities(entry.fact("compute_capability"), row)
    wheels = row.as_fact("wheels_cu12", "wheels_cu13")
    row.put("soname_major", row.version.split(".")[0], wheels, derived="first number of the version")
    entry.done()


def _cuda_versions(fact: Fact, row: RowDraft) -> None:
    if not fact.known:
        row.put("cuda_versions", None, fact)
        return
    families: dict[str, list[str]] = {}
    remarks = []
    for family, value in fact.value.items():
        versions = []
        for text in [value] if isinstance(value, str) else value:
            match = re.fullmatch(r"(\d+\.\d+)( .+)?|(\d+\.x), .+|older (\d+\.x) .+", text)
            if not match:
                raise ShapeError(f"{fact.path}.{family}: {text!r}")
            # "older 11.x (dynamic)" stands for the rest of the family.
            versions.append(match[1] or match[3] or match[4])
            if versions[-1] != text:
                remarks.append(text)
        families[family if family == _BLACKWELL else FAMILY(family)] = versions
    blackwell = families.pop(_BLACKWELL, None)
    noted = Fact(None, fact.source, fact.confidence, "; ".join(filter(None, (fact.note, *remarks))), fact.path)
    row.put("cuda_versions", families, noted)
    if blackwell:
        row.put("cuda_versions_blackwell", blackwell, fact)


def _min_driver(fact: Fact, row: RowDraft) -> None:
    floors = {family: RANGE(floor) for family, floor in fact.value.items()}
    blackwell = floors.pop(_BLACKWELL, None)
    row.put("min_driver", {FAMILY(family): floor for family, floor in floors.items()}, fact)
    if blackwell:
        row.put("min_driver_blackwell", blackwell, fact)


def _capabilities(fact: Fact, row: RowDraft) -> None:
    """Tell whole lists, lower bounds (``at least``) and lists by CUDA build apart."""
    if not fact.known:
        row.put("compute_capabilities", None, fact)
        row.put("compute_capabilities_complete", None, fact)
        return
    if isinstance(fact.value, list):
        row.put("compute_capabilities", CAPABILITIES(fact.value), fact)
        row.put("compute_capabilities_complete", True, fact)
        return
    spans = {key: value for key, value in fact.value.items() if isinstance(value, str)}
    lists = {key: CAPABILITIES(value) for key, value in fact.value.items() if isinstance(value, list)}
    complete = "at least" not in lists
    if not set(lists) <= {"at least"} and not set(lists) <= {"12.8-12.9 build", "other", "13.x", "12.x"}:
        raise ShapeError(f"{fact.path}: builds {sorted(lists)}")
    union = sorted({item for items in lists.values() for item in items}, key=_order, reverse=True)
    row.put("compute_capabilities", union, fact)
    row.put("compute_capabilities_complete", complete, fact)
    if complete:
        row.put(
            "compute_capabilities_by_cuda", {key.removesuffix(" build"): value for key, value in lists.items()}, fact
        )
    if spans:
        row.put("compute_capabilities_undecided", [f"{key}: {value}" for key, value in spans.items()], fact)


def _order(capability: str) -> tuple[int, ...]:
    return tuple(map(int, capability.split(".")))


def _nccl(entry: Entry, row: RowDraft) -> None:
    row.take(entry, "tag_date", DATE)
    builds = entry.fact("default_sm_by_build_cuda")
    row.parse("sm_by_cuda_build", builds, lambda value: _targets(value, "cubin"))
    row.parse("ptx_by_cuda_build", builds, lambda value: _targets(value, "ptx"))
    row.take(entry, "wheel_cu12", BOOL)
    row.take(entry, "wheel_cu13", BOOL)
    row.take(entry, "cuda_majors", listed(_MAJOR))
    entry.done()


def _targets(value: dict[str, Any], key: str) -> dict[str, list[str]]:
    for cuda, build in value.items():
        if set(build) != {"cubin", "ptx"}:
            raise ShapeError(f"expected cubin and ptx for CUDA {cuda}, found {sorted(build)}")
    return {cuda: CAPABILITIES(build[key]) for cuda, build in value.items()}
