"""Rows are found by every spelling of their version and by no other; broken data is one clear line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_trtcheck.errors import MatrixError
from pytest_trtcheck.model.versions import DottedVersion, VersionRange
from pytest_trtcheck.rules import crosscheck
from pytest_trtcheck.rules.kinds import is_empty, problem
from pytest_trtcheck.rules.load import Matrix, load_matrix
from pytest_trtcheck.rules.products import load_products
from pytest_trtcheck.rules.rows import Row
from pytest_trtcheck.rules.strict import Node
from pytest_trtcheck.rules.tables import Table, build_table

DATA = Path(str(files("pytest_trtcheck._matrix")))


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return load_matrix()


def document(product: str) -> dict[str, Any]:
    """A sound row file with one row and one cell."""
    cell = {"value": "2.7.0", "source": 0, "confidence": "stated"}
    row = {"id": f"{product}/1.0.0", "version": "1.0.0", "date": "2026-11-20", "cells": {"torch": cell}}
    return {
        "schema_version": 1,
        "product": product,
        "read_on": "2026-11-20",
        "derived_from": ["x.yaml"],
        "sources": ["release notes"],
        "notes": [],
        "contradictions": [],
        "rows": [row],
    }


def table_of(raw: Mapping[str, Any]) -> Table:
    return build_table(load_products()["tensorrt_llm"], Node("rows/tensorrt_llm.json", raw))


def version(row: Row | None) -> str | None:
    return row.version if row else None


@pytest.mark.parametrize(
    ("product", "text", "found"),
    [
        ("tensorrt", "10.14.1", "10.14.1"),
        ("tensorrt", "10.14.1.48", None),
        ("cuda_toolkit", "12.9", "12.9.0"),
        ("cuda_toolkit", "12", None),
        ("cuda_driver_family", "12.x", "12.x"),
        ("cuda_driver_family", "12", "12.x"),
        ("cuda_driver_family", "12.0", None),
        ("torch", "2.7.0", "2.7.0"),
        ("torch", "2.7.0+cu128", "2.7.0"),
        ("torch", "2.7", None),
        ("torch", "2.10.0a0+b4e4ee81d3.nv25.12", None),
        ("tensorrt_llm", "1.3.0.RC9", "1.3.0rc9"),
        ("tensorrt_llm", "0.17.0.post1", "0.17.0.post1"),
        ("sm", "sm_90a", "9.0"),
        ("sm", "12.1", "12.1"),
        ("triton_container", "nvcr.io/nvidia/tritonserver:25.08-trtllm-python-py3", "25.08"),
        ("ngc_pytorch", "25.08-py3", "25.08"),
        ("ngc_pytorch", "25.8", None),
        ("gpu", "h100", "NVIDIA H100"),
        ("gpu", "NVIDIA H100 80GB HBM3", None),
        ("forward_compat", "R535", "R535"),
        ("cudnn", "not a version", None),
    ],
)
def test_row_finds_the_same_version_in_any_spelling(matrix: Matrix, product: str, text: str, found: str | None) -> None:
    assert version(matrix.row(product, text)) == found


@pytest.mark.parametrize(
    ("product", "text", "found"),
    [
        ("tensorrt", "10.14.1.48", "10.14.1"),
        ("tensorrt", "10.14.1.48.post1", "10.14.1"),
        ("tensorrt", "10.0.0b6", "10.0.0"),
        ("tensorrt", "10.14", "10.14.1"),
        ("tensorrt", "10.14.2", None),
        ("tensorrt", "10.0.5", None),
        ("tensorrt", "10", None),
        ("cudnn", "9.1.0.70-1+cuda12.4", "9.1.0"),
        ("nccl", "2.27.5-1+cuda12.9", "2.27.5"),
        ("cuda_toolkit", "12.8.1.012", "12.8.1"),
        ("cuda_driver_family", "12.9.1", "12.x"),
        ("cuda_driver_family", "9.2", None),
        ("gpu", "NVIDIA H100 80GB HBM3", "NVIDIA H100"),
        ("gpu", "Tesla V100-SXM2-32GB", "NVIDIA V100"),
        ("gpu", "RTX 4090", "GeForce RTX 4090"),
        ("gpu", "NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("gpu", "Quadro RTX 6000", "Quadro RTX 6000"),
        ("gpu", "NVIDIA A100-SXM4-80GB", "NVIDIA A100"),
        ("gpu", "NVIDIA A10M", None),
        ("gpu", "NVIDIA L40S", "NVIDIA L40S"),
        ("gpu", "NVIDIA", None),
        ("torch", "2.10.0a0+b4e4ee81d3.nv25.12", None),
    ],
)
def test_match_finds_the_same_release_and_never_another(
    matrix: Matrix, product: str, text: str, found: str | None
) -> None:
    assert version(matrix.match(product, text)) == found


def test_a_short_text_has_several_candidates(matrix: Matrix) -> None:
    assert [row.version for row in matrix.candidates("tensorrt", "10.13")] == ["10.13.0", "10.13.2", "10.13.3"]
    names = [row.version for row in matrix.candidates("gpu", "RTX PRO 6000")]
    assert len(names) == 2
    assert {row.value("sm") for row in matrix.candidates("gpu", "RTX PRO 6000")} == {"12.0"}
    assert matrix.match("gpu", "RTX PRO 6000") is None
    assert [row.version for row in matrix.candidates("tensorrt", "10.14.1.48")] == ["10.14.1"]
    assert matrix.candidates("tensorrt", "99.1") == ()
    assert matrix.candidates("tensorrt", "latest") == ()
    assert [row.version for row in matrix.candidates("torch", "2.7.0")] == ["2.7.0"]
    assert matrix.candidates("torch", "2.7") == ()


def test_a_cell_carries_value_source_confidence_note_and_date(matrix: Matrix) -> None:
    row = matrix.row("tensorrt_llm", "1.2.1")
    assert row is not None
    cell = row.get("nccl")
    assert cell is not None
    assert (cell.value, cell.confidence, cell.date) == ("2.28.9", "derived", "2026-11-20")
    assert "2.28.9-1+cuda13.0" in cell.note
    source = row.source("nccl")
    assert (source.document, source.row, source.date) == (cell.source, "tensorrt_llm/1.2.1", "2026-11-20")
    assert row.get("nccl") is cell


def test_lists_and_objects_come_frozen(matrix: Matrix) -> None:
    row = matrix.row("torch", "2.9.0")
    assert row is not None
    builds = row.value("sm_by_cuda_build")
    assert builds["13.0"] == ("7.5", "8.0", "8.6", "9.0", "10.0", "12.0")
    with pytest.raises(TypeError):
        builds["13.0"] = ()
    with pytest.raises(FrozenInstanceError):
        row.id = "torch/9"  # type: ignore[misc]


def test_unknown_is_none_and_keeps_its_reason(matrix: Matrix) -> None:
    row = matrix.row("tensorrt_llm", "1.2.1")
    assert row is not None
    cell = row.get("min_driver")
    assert cell is not None
    assert (cell.value, cell.confidence) == (None, "unknown")
    assert "no minimum driver stated" in cell.note
    assert row.value("wheel_supports_blackwell") is None
    assert row.get("wheel_supports_blackwell") is None
    with pytest.raises(KeyError, match="has no cell 'wheel_supports_blackwell'"):
        row.source("wheel_supports_blackwell")


def test_a_cell_name_that_no_product_has_is_a_mistake_of_the_rule(matrix: Matrix) -> None:
    row = matrix.row("torch", "2.9.0")
    assert row is not None
    with pytest.raises(KeyError, match="product torch has no cell 'cuddn'"):
        row.value("cuddn")
    with pytest.raises(KeyError):
        matrix.rows("pytorch")


def test_contradictions_stand_at_the_rows_they_concern(matrix: Matrix) -> None:
    row = matrix.row("triton_container", "24.05")
    assert row is not None
    (entry,) = row.contradictions
    assert entry.topic == "T02: 24.05 TensorRT"
    assert {claim.by: claim.value for claim in entry.claims}["tensorrt_llm_0_9_0_pin"] == "9.3.0.post12.dev1"
    assert entry in matrix.contradictions("triton_container")
    assert any("12.7" in note.text for note in matrix.notes("cuda_toolkit"))


def test_a_product_is_read_when_it_is_first_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_trtcheck.rules import load, tables

    read: list[str] = []

    def spy(product: Any) -> Table:
        read.append(product.name)
        return tables.read_table(product)

    monkeypatch.setattr(load, "read_table", spy)
    matrix = load_matrix()
    assert read == []
    assert matrix.row("torch", "2.9.0") is matrix.row("torch", "2.9.0")
    assert read == ["torch"]


def test_loading_brings_in_no_development_tool() -> None:
    code = (
        "import sys; from pytest_trtcheck.rules.load import load_matrix; m = load_matrix();"
        "m.row('torch', '2.9.0').value('cudnn'); m.match('cuda_driver_family', '12.9').value('min_driver');"
        "print([n for n in ('jsonschema', 'yaml', 'packaging', 'pytest') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_identity_names_the_data(matrix: Matrix) -> None:
    identity = matrix.identity
    assert identity.date == "2026-11-20"
    assert identity.rows == sum(len(matrix.rows(name)) for name in matrix.products) > 500
    assert len(identity.digest) == 12
    assert identity.overlays == ()
    assert load_matrix().identity == identity


def test_built_in_rows_agree_with_each_other(matrix: Matrix) -> None:
    assert crosscheck.cross_check(matrix) == []
    assert crosscheck.stale_gaps(matrix) == []


def test_gap_list_products_and_rows_keep_their_schemas() -> None:
    for name in ("gaps", "products"):
        schema = json.loads((DATA / "schema" / f"{name}.schema.json").read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(schema).validate(
            json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
        )


def test_a_gap_that_was_filled_is_reported(matrix: Matrix, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crosscheck, "known_gaps", lambda: {("torch/2.9.0", "cudnn"): "made up"})
    assert crosscheck.stale_gaps(matrix) == ["gaps.json: torch/2.9.0 cudnn is no gap any more"]
    assert "torch/2.0.0: cudnn is '8.5.0.96', and product cudnn has no such row" in crosscheck.cross_check(matrix)


def test_a_container_and_a_release_that_disagree_need_a_contradiction(matrix: Matrix) -> None:
    without = Table(load_products()["triton_container"], tuple(
        Row(row.id, row.product, row.version, row.date, (), row._raw, row._kinds, row._sources)
        for row in matrix.rows("triton_container")
    ))  # fmt: skip
    problems = crosscheck.cross_check(Matrix({"triton_container": without}))
    assert [text.partition(":")[0] for text in problems] == [
        "triton_container/24.05 and tensorrt_llm/0.9.0 disagree in tensorrt",
        "triton_container/24.11 and tensorrt_llm/0.15.0 disagree in cuda",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("notes"), "(top level): expected the key notes, found only"),
        (lambda d: d.update(comment="x"), "found the unknown key 'comment'"),
        (lambda d: d.update(schema_version=2), "schema_version: expected 1, found 2"),
        (lambda d: d.update(schema_version=True), "schema_version: expected 1, found True"),
        (lambda d: d.update(product="torch"), "product: expected 'tensorrt_llm', found 'torch'"),
        (lambda d: d.update(rows={}), "rows: expected a list, found {}"),
        (lambda d: d["rows"].append("x"), "rows[1]: expected an object, found 'x'"),
        (lambda d: d["rows"].append(d["rows"][0]), "rows[1].id: expected each row once"),
        (lambda d: d["rows"][0].update(date="yesterday"), "rows[0].date: expected a day like 2026-11-20"),
        (lambda d: d["rows"][0].update(id="torch/1.0.0"), "rows[0].id: expected an id like tensorrt_llm/VERSION"),
        (lambda d: d["rows"][0].update(version="1.0.1"), "rows[0].version: expected '1.0.0', found '1.0.1'"),
        (lambda d: d["rows"][0]["cells"].update(torhc=1), "rows[0].cells: expected cells of product tensorrt_llm"),
        (
            lambda d: d["contradictions"].append({"topic": "t", "claims": [], "rows": ["tensorrt_llm/2"]}),
            "contradictions: expected ids of rows of this file, found tensorrt_llm/2",
        ),
        (
            lambda d: d["notes"].append({"text": "x", "source": 7, "confidence": "stated"}),
            "notes[0].source: expected an index from 0 below 1, found 7",
        ),
    ],
)
def test_a_broken_row_file_is_one_line_with_file_path_wanted_and_found(change: Any, message: str) -> None:
    raw = document("tensorrt_llm")
    table_of(raw)
    change(raw)
    with pytest.raises(MatrixError) as caught:
        table_of(raw)
    assert message in str(caught.value)
    assert str(caught.value).startswith("matrix rows/tensorrt_llm.json ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"value": "latest", "source": 0, "confidence": "stated"}, "cells.torch.value: expected a dotted version"),
        ({"value": "2.7.0", "source": 1, "confidence": "stated"}, "cells.torch.source: expected an index below 1"),
        ({"value": "2.7.0", "source": True, "confidence": "stated"}, "cells.torch.source: expected a text"),
        ({"value": "2.7.0", "source": 0, "confidence": "sure"}, "cells.torch.confidence: expected one of stated"),
        ({"value": "2.7.0", "source": 0, "confidence": "unknown"}, "cells.torch.value: expected null"),
        ({"value": None, "source": 0, "confidence": "stated"}, "cells.torch: expected a note that says why"),
        ({"value": "2.7.0", "source": 0, "confidence": "stated", "by": 1}, "the unknown key 'by'"),
        ({"value": "2.7.0", "source": 0}, "cells.torch: expected the key confidence"),
        (None, "cells.torch: expected an object, found None"),
    ],
)
def test_a_broken_cell_is_told_when_it_is_asked_for(cell: object, message: str) -> None:
    raw = document("tensorrt_llm")
    raw["rows"][0]["cells"]["torch"] = cell
    row = table_of(raw).rows[0]
    with pytest.raises(MatrixError) as caught:
        row.value("torch")
    assert "rows[0]." in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "value", "where"),
    [
        ("range", ">=12.9 <13.1", ""),
        ("range", ">=13,<12", ""),
        ("ranges", [">=1", "about 2"], "[1]"),
        ("versions", ["12.4", "12.4"], "[1]"),
        ("versions", "12.4", ""),
        ("map:capabilities", {"12.8": ["9.0", "sm_90"]}, '["12.8"][1]'),
        ("map:range", [], ""),
        ("pythons", ["3"], "[0]"),
        ("capability", "09.0", ""),
        ("month", "25.13", ""),
        ("date", "2026-13-01", ""),
        ("abi", True, ""),
        ("int", True, ""),
        ("pin", True, ""),
        ("pin", "10.9", ""),
        ("support", "maybe", ""),
        ("class", "server", ""),
        ("package", "25.08-py3", ""),
    ],
)
def test_a_value_of_another_kind_is_refused_where_it_lies(kind: str, value: object, where: str) -> None:
    fault = problem(kind, value)
    assert fault is not None
    assert fault[0] == where


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("range", "==9.*"),
        ("range", ">=12.9,<13.1"),
        ("pin", ""),
        ("pin", False),
        ("pin", "~=10.9.0"),
        ("families", ["12.1.1", "13.x"]),
        ("map:abi", {"12.6": "on"}),
        ("support", "partial"),
        ("optional_text", False),
        ("number", 16.2),
    ],
)
def test_a_value_of_its_kind_is_taken(kind: str, value: object) -> None:
    assert problem(kind, value) is None


@pytest.mark.parametrize(
    ("text", "empty"),
    [
        (">=12,<12", True),
        (">12,<=12", True),
        (">=12,<=12", False),
        ("==12.1,<12", True),
        ("==12.*,>=13", True),
        ("==12.*,>=12.5", False),
        (">=12,!=12.1", False),
        ("==12.1,==12.2", True),
    ],
)
def test_an_empty_range_is_known(text: str, empty: bool) -> None:
    assert is_empty(VersionRange.parse(text)) is empty


def test_every_cuda_range_and_driver_range_decides(matrix: Matrix) -> None:
    volta = matrix.row("sm", "sm_70")
    assert volta is not None
    cuda = VersionRange.parse(volta.value("cuda_range"))
    assert [cuda.admits(DottedVersion.parse(text)) for text in ("8.0", "9.0", "12.9.1", "13.0")] == [
        False,
        True,
        True,
        False,
    ]
    driver = VersionRange.parse(volta.value("driver_range"))
    assert driver.admits(DottedVersion.parse("580.95.05")) is True
    assert driver.admits(DottedVersion.parse("590.44.01")) is False
