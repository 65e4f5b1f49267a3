"""The command ``matrix``: list, show, search."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_trtcheck.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["matrix", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(run(capsys, *arguments, "--format", "json")[1])


def test_list_counts_rows_and_tells_the_day(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "list")
    products = {entry["product"]: entry for entry in found["products"]}
    assert products["tensorrt_llm"]["rows"] == len(as_json(capsys, "show", "tensorrt_llm"))
    status, out, _ = run(capsys, "list")
    assert status == 0
    assert out.startswith(f"matrix of {found['date']}, {found['digest']}, ")
    assert f" tensorrt_llm {products['tensorrt_llm']['rows']} rows, read 20" in " ".join(out.split())


def test_show_prints_each_known_cell_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "show", "tensorrt_llm", "1.2.1")
    assert status == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0].startswith("tensorrt_llm/1.2.1 (read 20")
    assert any(line.startswith("tensorrt 10.14.1.48") and line.endswith("]") for line in lines)
    assert any(line.startswith("pin_mpi4py any version") for line in lines)
    assert any(line.startswith("[1] ") for line in lines)
    row = as_json(capsys, "show", "tensorrt-llm", "1.2.1")
    assert row["cells"]["tensorrt"]["value"] == "10.14.1.48"
    assert row["cells"]["tensorrt"]["source"]


def test_show_takes_a_version_in_any_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    assert as_json(capsys, "show", "torch", "2.9.0+cu128")["id"] == "torch/2.9.0"
    assert as_json(capsys, "show", "gpu", "NVIDIA H100 80GB HBM3")["cells"]["sm"]["value"] == "9.0"
    assert as_json(capsys, "show", "triton_container", "25.08-py3")["id"] == "triton_container/25.08"


def test_search_finds_cells_by_their_leading_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    found = [row["id"] for row in as_json(capsys, "search", "cuda=12.9")]
    assert "tensorrt_llm/0.20.0" in found
    assert "tensorrt_llm/1.2.1" not in found
    narrow = [
        row["id"] for row in as_json(capsys, "search", "cuda=12.9", "tensorrt=10.10", "--product", "tensorrt_llm")
    ]
    assert narrow == ["tensorrt_llm/0.20.0"]
    assert "tensorrt_llm/0.20.0" in run(capsys, "search", "sm_supported=12.0")[1]


def test_search_without_a_hit_is_status_10(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "search", "cuda=99.9")
    assert status == 10
    assert out.startswith("no row with cuda=99.9 in the matrix of ")
    assert as_json(capsys, "search", "cuda=99.9") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "tensorrt_lm", "1.2.1"], "did you mean tensorrt_llm?"),
        (["show", "tensorrt_llm", "1.2.9"], "no row tensorrt_llm/1.2.9 in the matrix of"),
        (["show", "tensorrt_llm", "1.2.9"], "near it: 1.2"),
        (["search", "cuda"], "expected CELL=VALUE such as cuda=12.9, found 'cuda'"),
        (["search", "cudaa=12.9"], "no product has the cell 'cudaa'; did you mean cuda?"),
        (["search", "cuda=12.9", "sm=9.0"], "no product has all of cuda, sm"),
        (["search", "cuda=12.9", "--product", "x"], "no product 'x'"),
        ([], "ACTION"),
    ],
)
def test_wrong_usage_is_one_line_with_status_4(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (4, "")
    assert words in err
