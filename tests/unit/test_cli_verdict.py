"""The command ``verdict``: output, exit status, and what it does with input that cannot be read."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_trtcheck.cli import main
from pytest_trtcheck.model.codec import decode, encode
from pytest_trtcheck.model.finding import Finding

BROKEN = "name: broken\ndriver: 450.80.02\ncuda_runtime: 13.0\ngpu: NVIDIA H100\n"
FINE = "name: fine\ndriver: 580.65.06\ncuda_runtime: 12.9\ngpu: NVIDIA H100\n"
OPEN = "name: open\nextra: {note: nothing is known}\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def write_file(name: str, text: str | bytes) -> str:
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return name

    return write_file


def judged(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    status = main(["verdict", "--format", "json", *arguments])
    out, err = capsys.readouterr()
    return status, json.loads(out), err


def test_a_broken_stack_is_incompatible_with_component_source_and_remedy(
    write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    status, (found,), err = judged(capsys, write("a.yaml", BROKEN))
    assert status == 1
    assert err == ""
    assert found["stack"] == "broken"
    assert found["verdict"] == "incompatible"
    faults = [finding for finding in found["findings"] if finding["verdict"] == "incompatible"]
    assert any("driver" in fault["components"] for fault in faults)
    fault = faults[0]
    wanted = {"id", "verdict", "severity", "components", "title", "expected", "found", "source", "remedy", "detail"}
    assert wanted <= fault.keys()
    assert fault["severity"] == "error"
    assert fault["source"]["document"]
    assert fault["remedy"]


def test_findings_are_written_as_the_codec_of_the_reports_writes_them(
    write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _, (found,), _ = judged(capsys, write("a.yaml", BROKEN))
    assert [encode(decode(Finding, finding)) for finding in found["findings"]] == found["findings"]


def test_implied_facts_that_were_used_name_their_row(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file = write("a.yaml", "gpu: NVIDIA H100 80GB HBM3\ntensorrt_llm: 1.2.1\ndriver: 580.65.06\n")
    _, (found,), _ = judged(capsys, file)
    assert found["implied"]["sm"]["value"] == "9.0"
    assert "gpu/" in found["implied"]["sm"]["from"]
    used = {key for finding in found["findings"] for key in finding["facts"]}
    assert found["implied"].keys() <= used
    assert "driver" not in found["implied"], "what was given is not implied"
    main(["verdict", file])
    assert "implied: " in capsys.readouterr().out


def test_a_fine_stack_is_compatible_with_status_0(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, (found,), _ = judged(capsys, write("a.yaml", FINE))
    assert found["verdict"] == "compatible"
    assert status == 0


def test_nothing_judged_is_unknown_with_status_10(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, (found,), _ = judged(capsys, write("a.yaml", OPEN))
    assert found["verdict"] == "unknown"
    assert status == 10


def test_many_files_and_documents_are_one_list_in_their_order(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    first = write("a.yaml", f"{FINE}---\n{OPEN}")
    status, found, _ = judged(capsys, first, write("b.json", '{"driver": "450.80.02", "cuda_runtime": "13.0"}'))
    assert [entry["stack"] for entry in found] == ["fine", "open", "b.json"]
    assert [entry["verdict"] for entry in found] == ["compatible", "unknown", "incompatible"]
    assert status == 1, "one incompatible stack counts more than an unknown one"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: [1,\n", "bad.yaml: expected YAML or JSON"),
        (b"drvier: 550\n", "did you mean driver?"),
        (b"driver: [550]\n", "driver to be a dotted version"),
        (b"", "no document"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"a: &a [1]\nb: *a\n", "every value written out"),
        (b"[" * 100_000, "levels of nesting"),
        (b"!!python/object:os.x {}", "without tags"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_status_4_and_costs_no_other_file(
    content: bytes, words: str, write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    status, found, err = judged(capsys, write("bad.yaml", content), write("a.yaml", BROKEN))
    assert status == 4
    assert [entry["stack"] for entry in found] == ["broken"]
    assert words in err
    assert err.startswith("pytest-trtcheck: bad.yaml")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_a_file_that_is_none_is_told(name: str, write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, found, err = judged(capsys, name)
    assert (status, found) == (4, [])
    assert err.startswith(f"pytest-trtcheck: {name}: expected a file")


def test_standard_input_is_read_for_a_dash(
    write: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(BROKEN.encode())))
    status, (found,), _ = judged(capsys, "-")
    assert (status, found["stack"]) == (1, "broken")


def test_pasted_text_is_recognised_or_named(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    frozen = write("req.txt", "numpy==1.26.4\ntorch==2.9.0\n")
    status, (found,), _ = judged(capsys, frozen)
    assert status != 4
    assert found["stack"] == "req.txt"
    status, found, err = judged(capsys, "--from", "nvidia-smi", frozen)
    assert (status, found) == (4, [])
    assert "expected output of nvidia-smi" in err


def test_text_gives_the_verdict_then_what_matters(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verdict", write("a.yaml", f"{BROKEN}---\n{OPEN}")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "broken: incompatible"
    assert any(line.startswith("  TRC-") and "at fault: driver" in line and "next: " in line for line in lines)
    assert "open: unknown" in lines
    assert lines[-1].startswith("2 stacks judged with the matrix of 20")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verdict"], "FILE"),
        (["verdict", "--from", "csv", "a"], "--from"),
        (["verdict", "--matrix", "absent", "a.yaml"], "found no folder at absent"),
    ],
)
def test_wrong_usage_ends_with_4(
    arguments: list[str], words: str, write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 4
    assert words in capsys.readouterr().err


def test_a_site_overlay_takes_part(write: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    row = {
        "id": "cuda_driver_family/14.x",
        "date": "2026-12-01",
        "cells": {"min_driver": {"value": ">=700", "source": "site", "confidence": "measured"}},
    }
    (folder / "a.json").write_text(json.dumps({"schema_version": 1, "title": "Ours", "add": [row]}))
    future = write("a.yaml", "driver: 650.10\ncuda_runtime: 14.0\n")
    _, (without,), _ = judged(capsys, future)
    _, (with_row,), _ = judged(capsys, "--matrix", str(folder), future)
    assert without["verdict"] == "unknown"
    assert with_row["verdict"] == "incompatible"
