"""What a schema cannot say: rows that repeat a fact of another row must agree with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_trtcheck.model.versions import DottedVersion
from pytest_trtcheck.rules.products import data_file
from pytest_trtcheck.rules.rows import Row
from pytest_trtcheck.rules.strict import read_document, shown

if TYPE_CHECKING:
    from pytest_trtcheck.rules.load import Matrix

_SONAMES = (
    ("tensorrt", "soname_major", None),
    ("cudnn", "soname_major", None),
    ("tensorrt", "cudnn_soname_major", "cudnn"),
    ("torch", "cudnn_soname_major", "cudnn"),
)
_REFERENCES = (
    ("tensorrt_llm", "tensorrt", "tensorrt"),
    ("tensorrt_llm", "torch", "torch"),
    ("tensorrt_llm", "cuda", "cuda_toolkit"),
    ("tensorrt_llm", "cudnn", "cudnn"),
    ("tensorrt_llm", "nccl", "nccl"),
    ("triton_container", "tensorrt_llm", "tensorrt_llm"),
    ("triton_container", "tensorrt", "tensorrt"),
    ("triton_container", "cuda", "cuda_toolkit"),
    ("ngc_pytorch", "cuda", "cuda_toolkit"),
    ("ngc_pytorch", "cudnn", "cudnn"),
    ("ngc_pytorch", "nccl", "nccl"),
    ("ngc_pytorch", "tensorrt", "tensorrt"),
    ("torch", "cudnn", "cudnn"),
    ("torch", "nccl", "nccl"),
    ("gpu", "sm", "sm"),
)
# Cells that a container and its release share.
_PAIRED = ("tensorrt", "cuda")
_VERSION = re.compile(r"\d+(?:\.\d+)+")


def cross_check(matrix: Matrix) -> list[str]:
    """Return every problem in words; none for a sound matrix. Reads all rows, and so every cell against its kind."""
    return [*faults(matrix), *loose_ends(matrix)]


def faults(matrix: Matrix) -> list[str]:
    """Return what cannot be right, whoever says it."""
    return [*_cells(matrix), *_one_row_per_version(matrix), *_sonames(matrix)]


def loose_ends(matrix: Matrix) -> list[str]:
    """Return disagreements and references to missing rows that neither a contradiction nor gaps.json explains."""
    known = known_gaps()
    missing = [text for key, text in _references(matrix) if key not in known]
    return [*_pairs(matrix), *missing]


def stale_gaps(matrix: Matrix) -> list[str]:
    """Return the entries of gaps.json that explain nothing any more."""
    missing = dict(_references(matrix))
    return [f"gaps.json: {row} {cell} is no gap any more" for row, cell in known_gaps() if (row, cell) not in missing]


def _cells(matrix: Matrix) -> Iterator[str]:
    """Build every cell: one that breaks its kind raises MatrixError. Yield the rows that say nothing."""
    for product in matrix.products:
        for row in matrix.rows(product):
            if not [row.get(name) for name in row.names()]:
                yield f"{row.id}: a row without cells"


def _one_row_per_version(matrix: Matrix) -> Iterator[str]:
    """Two spellings of one version are two rows of one product, and a look-up finds only one of them."""
    for product in matrix.products:
        seen: dict[object, Row] = {}
        dotted = matrix.product(product).key == "dotted"
        for row in matrix.rows(product):
            found = matrix.row(product, row.version)
            if found is not row:
                yield f"{row.id}: a look-up of its own version finds {found.id if found else 'nothing'}"
            elif dotted and seen.setdefault(DottedVersion.leading(row.version), row) is not row:
                yield f"{row.id}: there is another row of that version"


def _sonames(matrix: Matrix) -> Iterator[str]:
    for product, cell, of in _SONAMES:
        for row in matrix.rows(product):
            major, version = row.value(cell), row.value(of) if of else row.version
            if major is not None and version is not None and version.split(".")[0] != major:
                yield f"{row.id}: {cell} is {major} and {of or 'the version'} is {version}"


def _references(matrix: Matrix) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield the cells that name a version of which the other product has no row."""
    for product, cell, other in _REFERENCES:
        for row in matrix.rows(product):
            value = row.value(cell)
            if value is not None and not matrix.candidates(other, value):
                yield (row.id, cell), f"{row.id}: {cell} is {shown(value)}, and product {other} has no such row"


def known_gaps() -> dict[tuple[str, str], str]:
    """Return the references known to lead nowhere, with the reason."""
    top = read_document(data_file("gaps.json"), "gaps.json").expect(("schema_version", "gaps"))
    top.child("schema_version").exactly(1)
    gaps = {}
    for node in top.child("gaps").items():
        node.expect(("row", "cell", "why"))
        gaps[node.child("row").text(), node.child("cell").text()] = node.child("why").text()
    return gaps


def _pairs(matrix: Matrix) -> Iterator[str]:
    """Hold each Triton month against its TensorRT-LLM release: they agree, or a contradiction names both values."""
    for container in matrix.rows("triton_container"):
        release = container.value("tensorrt_llm")
        row = matrix.row("tensorrt_llm", release) if release else None
        if row is None:
            continue
        months = row.value("triton_containers")
        if months is not None and container.version not in months:
            yield f"{container.id} ships {row.id}, whose triton_containers lists {', '.join(months)}"
        for cell in _PAIRED:
            yield from _disagreement(container, row, cell)
    for row in matrix.rows("tensorrt_llm"):
        for month in row.value("triton_containers") or ():
            other = matrix.row("triton_container", month)
            shipped = other.value("tensorrt_llm") if other else "no row"
            if shipped is not None and shipped != row.version:
                yield f"{row.id}: triton_containers names {month}, which has {shipped}"


def _disagreement(container: Row, row: Row, cell: str) -> Iterator[str]:
    one, other = container.value(cell), row.value(cell)
    if one is None or other is None or _same_release(one, other):
        return
    for entry in (*container.contradictions, *row.contradictions):
        named = _VERSION.findall(" ".join(str(claim.value) for claim in entry.claims))
        if all(any(_same_release(value, text) for text in named) for value in (one, other)):
            return
    yield f"{container.id} and {row.id} disagree in {cell}: {one} and {other}, and no contradiction says so"


def _same_release(one: str, other: str) -> bool:
    """Say whether two texts may name one release: 10.4.0 and 10.4.0.26, 12.5.1.007 and 12.5.1."""
    a, b = DottedVersion.leading(one), DottedVersion.leading(other)
    if a is None or b is None:
        return one == other
    length = min(len(a.parts), len(b.parts))
    return a.parts[:length] == b.parts[:length]
