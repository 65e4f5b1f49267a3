"""A site adds rows and overrides cells with its own sources; what is malformed is refused in one line."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_trtcheck.errors import MatrixError
from pytest_trtcheck.rules import overlay, strict
from pytest_trtcheck.rules.load import load_matrix

SCHEMA = Path(str(files("pytest_trtcheck._matrix"))) / "schema" / "overlay.schema.json"


def cell(value: Any, source: str = "site wiki, page 7", **more: Any) -> dict[str, Any]:
    return {"value": value, "source": source, "confidence": "measured", **more}


def change(identity: str, date: Any = "2026-12-01", **cells: Any) -> dict[str, Any]:
    return {"id": identity, "date": date, "cells": cells}


def write(folder: Path, name: str = "site.json", **parts: Any) -> Path:
    folder.mkdir(exist_ok=True)
    document = {"schema_version": 1, **parts}
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(document)
    (folder / name).write_text(json.dumps(document), encoding="utf-8")
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(MatrixError) as caught:
        load_matrix([folder])
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_overlay_adds_a_row_with_its_own_source_and_date(tmp_path: Path) -> None:
    folder = write(tmp_path / "site", add=[change("tensorrt_llm/9.9.9", torch=cell("2.9.1"), cuda=cell("13.1.0"))])
    matrix = load_matrix([folder])
    row = matrix.row("tensorrt_llm", "9.9.9")
    assert row is not None
    assert row.value("torch") == "2.9.1"
    assert row.source("torch").document == "site wiki, page 7"
    assert (row.source("torch").date, row.source("torch").confidence) == ("2026-12-01", "measured")
    assert sorted(row.names()) == ["cuda", "torch"]
    assert matrix.identity.date == "2026-12-01"
    assert matrix.identity.rows == load_matrix().identity.rows + 1
    assert matrix.identity.overlays == (f"{folder}: added tensorrt_llm/9.9.9 (2 cells)",)
    assert load_matrix().row("tensorrt_llm", "9.9.9") is None


def test_an_overlay_overrides_a_cell_and_leaves_the_others(tmp_path: Path) -> None:
    folder = write(tmp_path / "site", override=[change("torch/v2.9.0", nccl=cell("2.28.9"))])
    matrix = load_matrix([folder])
    row = matrix.row("torch", "2.9.0")
    plain = load_matrix().row("torch", "2.9.0")
    assert row is not None
    assert plain is not None
    assert row.value("nccl") == "2.28.9"
    assert row.source("nccl").date == "2026-12-01"
    assert row.get("cudnn") == plain.get("cudnn")
    assert list(row.names()) == list(plain.names())
    assert matrix.identity.rows == load_matrix().identity.rows
    assert matrix.identity.digest != load_matrix().identity.digest
    assert matrix.identity.overlays == (f"{folder}: overrode torch/2.9.0 nccl ('2.27.5' to '2.28.9')",)


def test_a_later_folder_overrides_an_earlier_one_and_keeps_its_other_cells(tmp_path: Path) -> None:
    first = write(tmp_path / "a", override=[change("torch/2.9.0", nccl=cell("2.28.3"), cudnn=cell("9.14.0.64"))])
    second = write(tmp_path / "b", override=[change("torch/2.9.0", nccl=cell("2.28.9"))])
    row = load_matrix([first, second]).row("torch", "2.9.0")
    assert row is not None
    assert (row.value("nccl"), row.value("cudnn")) == ("2.28.9", "9.14.0.64")
    other = load_matrix([second, first]).row("torch", "2.9.0")
    assert other is not None
    assert other.value("nccl") == "2.28.3"


def test_what_a_site_says_against_other_rows_stands_in_the_identity(tmp_path: Path) -> None:
    folder = write(tmp_path / "site", override=[change("tensorrt_llm/1.2.1", tensorrt=cell("10.15.1.29"))])
    told = load_matrix([folder]).identity.overlays
    assert len(told) == 5
    assert told[1].startswith("after overlays: triton_container/26.04 and tensorrt_llm/1.2.1 disagree in tensorrt")


def test_what_cannot_be_right_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "site", add=[change("cudnn/9.99.0", soname_major=cell("8"))])
    assert refused(folder) == (
        f"matrix {folder} (top level): expected rows that agree with each other, "
        "found cudnn/9.99.0: soname_major is 8 and the version is 9.99.0"
    )


def test_a_version_that_no_look_up_finds_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "site", add=[change("torch/nightly", cudnn=cell("9.14.0.64"))])
    assert "add[0].id: expected an id like torch/VERSION, looked up by package, found 'torch/nightly'" in refused(
        folder
    )


def test_two_rows_of_one_version_are_refused(tmp_path: Path) -> None:
    rows = [change(f"nccl/{text}", wheel_cu13=cell(True)) for text in ("99.1", "99.1.0")]
    assert "nccl/99.1.0: there is another row of that version" in refused(write(tmp_path / "site", add=rows))


def test_a_version_is_written_in_its_normal_form(tmp_path: Path) -> None:
    rows = [change("tensorrt_llm/9.9.RC1", torch=cell("2.9.1")), change("sm/sm_130", architecture=cell("Next"))]
    matrix = load_matrix([write(tmp_path / "site", add=rows)])
    assert matrix.rows("tensorrt_llm")[-1].id == "tensorrt_llm/9.9rc1"
    assert matrix.rows("sm")[-1].id == "sm/13.0"


def test_two_files_of_one_folder_may_say_the_same_but_not_disagree(tmp_path: Path) -> None:
    folder = write(tmp_path / "site", "a.json", override=[change("torch/2.9.0", nccl=cell("2.28.9"))])
    write(folder, "b.json", override=[change("torch/2.9.0", nccl=cell("2.28.9", "ticket 4"))])
    row = load_matrix([folder]).row("torch", "2.9.0")
    assert row is not None
    assert row.value("nccl") == "2.28.9"
    write(folder, "b.json", override=[change("torch/2.9.0", nccl=cell("2.28.7"))])
    message = refused(folder)
    assert "b.json override[0].cells.nccl: expected one value for nccl of torch/2.9.0" in message
    assert "'2.28.7' here and '2.28.9' in" in message


def test_the_names_of_the_files_do_not_matter(tmp_path: Path) -> None:
    one = change("torch/2.9.0", nccl=cell("2.28.9"))
    two = change("tensorrt_llm/9.9.9", torch=cell("2.9.1"))
    first = write(tmp_path / "x", "a.json", override=[one])
    write(first, "b.json", add=[two])
    second = write(tmp_path / "y", "b.json", override=[one])
    write(second, "a.json", add=[two])
    digests = {load_matrix([folder]).identity.digest for folder in (first, second)}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "(top level): expected an object, found []"),
        ({}, "(top level): expected the key schema_version, found only no key"),
        ({"schema_version": 2}, "schema_version: expected 1, found 2"),
        ({"schema_version": 1, "rows": []}, "expected only the keys schema_version, title, add, override"),
        ({"schema_version": 1, "title": ""}, "title: expected a text, found ''"),
        ({"schema_version": 1, "add": {}}, "add: expected a list, found {}"),
        ({"schema_version": 1}, "expected at least one row under add or override, found none"),
        ({"schema_version": 1, "add": [{"id": "torch/9"}]}, "add[0]: expected the key date, found only 'id'"),
        (
            {"schema_version": 1, "add": [change("pytorch/9", x=1)]},
            "add[0].id: expected PRODUCT/VERSION with a product",
        ),
        ({"schema_version": 1, "add": [change("torch/ ", x=1)]}, "add[0].id: expected an id like torch/VERSION"),
        (
            {"schema_version": 1, "add": [change("torch/2.9.0+cu130")]},
            "add[0].id: expected a row that is not there yet",
        ),
        ({"schema_version": 1, "override": [change("torch/9")]}, "override[0].id: expected the id of a row"),
        ({"schema_version": 1, "add": [change("torch/9")]}, "add[0].cells: expected at least one cell, found {}"),
        (
            {"schema_version": 1, "add": [change("torch/9", "1.12.2026", nccl=cell("2"))]},
            "add[0].date: expected a day like 2026-11-20, found '1.12.2026'",
        ),
        (
            {"schema_version": 1, "add": [change("torch/9", nccll=cell("2"))]},
            "(did you mean nccl?), found the unknown cell 'nccll'",
        ),
        (
            {"schema_version": 1, "add": [change("torch/9", nccl=cell("two"))]},
            "add[0].cells.nccl.value: expected a dotted version like 12.9.1, found 'two'",
        ),
        (
            {"schema_version": 1, "add": [change("torch/9", nccl=cell("2", ""))]},
            "add[0].cells.nccl.source: expected a text, found ''",
        ),
        (
            {"schema_version": 1, "add": [change("torch/9", nccl={"value": "2", "source": 0, "confidence": "stated"})]},
            "add[0].cells.nccl.source: expected a text, found 0",
        ),
        (
            {"schema_version": 1, "add": [change("cudnn/10", min_driver=cell({"12.x": ">=13 <12"}))]},
            'add[0].cells.min_driver.value["12.x"]: expected a range like >=12.9,<13.1',
        ),
        (
            {"schema_version": 1, "add": [change("torch/9", **{"a\nb": cell("2")})]},
            r"found the unknown cell 'a\\nb'",
        ),
    ],
)
def test_a_malformed_overlay_names_file_path_wanted_and_found(tmp_path: Path, document: Any, message: str) -> None:
    (tmp_path / "site.json").write_text(json.dumps(document), encoding="utf-8")
    assert message in refused(tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "expected a JSON document, found Expecting property name"),
        (b"", "expected a JSON document, found Expecting value"),
        (b'{"schema_version": 1, "add": [], "add": []}', "expected each key once in an object, found 'add' twice"),
        (b'{"schema_version": NaN}', "expected a JSON document, found the constant NaN"),
        (b'{"title": "\xff"}', "expected UTF-8 text, found byte 11 that is not UTF-8"),
        (b'{"title": "\\ud800"}', "expected whole characters, found half of a surrogate pair"),
        (b"[" * 200_000, "expected a document of a few levels, found very deep nesting"),
        (b'{"schema_version": ' + b"9" * 5000 + b"}", "expected a JSON document, found Exceeds the limit"),
    ],
    ids=["cut", "empty", "twice", "nan", "latin", "surrogate", "deep", "digits"],
)
def test_bytes_that_are_no_strict_json_are_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "site.json").write_bytes(data)
    assert f"site.json (top level): {message}" in refused(tmp_path)


def test_a_file_that_is_too_large_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict, "MAX_BYTES", 1024 * 1024)
    (tmp_path / "site.json").write_bytes(b" " * (1024 * 1024 + 1))
    assert "expected at most 1 MB, found a larger file" in refused(tmp_path)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "MAX_FILES", 1)
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    assert "expected 1 to 1 files ending in .json, found 2" in refused(tmp_path)


def test_a_folder_that_adds_nothing_is_no_overlay(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("x", encoding="utf-8")
    assert "expected 1 to 1000 files ending in .json, found 0" in refused(tmp_path)
    assert "expected a readable folder, found No such file or directory" in refused(tmp_path / "absent")
    assert "expected a readable folder, found Not a directory" in refused(tmp_path / "readme.txt")


def test_a_pipe_is_not_waited_for_and_a_folder_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    assert "pipe.json (top level): expected a regular file" in refused(tmp_path)
    (tmp_path / "pipe.json").unlink()
    (tmp_path / "folder.json").mkdir()
    assert "folder.json (top level): expected a regular file" in refused(tmp_path)


def test_a_long_overlay_is_told_in_few_words(tmp_path: Path) -> None:
    rows = [change(f"gpu/Card {number}", sm=cell("9.0")) for number in range(25)]
    (told,) = load_matrix([write(tmp_path / "site", add=rows)]).identity.overlays
    assert told.count("added") == 20
    assert told.endswith("and 5 more rows")


def test_a_folder_name_with_a_line_break_stays_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "a\nb"
    folder.mkdir()
    assert "a\\nb" in refused(folder)
