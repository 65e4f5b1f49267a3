"""Rows about quantization: what an algorithm is, where it should work, what it costs; sources that cannot be right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from matrix.derive import quantization as derive
from matrix.derive import reader
from matrix.derive.reader import ShapeError
from pytest_trtcheck.model.versions import PackageVersion
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.rules.quantization import ACCURACY, ALGORITHMS, algorithms, expected, figures

MATRIX = load_matrix()
SOURCES = Path(__file__).parents[2] / "matrix" / "sources"


def ask(algorithm: str, kv_cache: str = "", version: str | None = "1.1.0", capability: str = "9.0") -> tuple[str, str]:
    versions = {} if version is None else {"tensorrt_llm": version}
    return expected(MATRIX, algorithm, kv_cache, versions, capability)


@pytest.mark.parametrize(
    ("asked", "verdict", "words"),
    [
        ({"algorithm": "fp8"}, "works", "fp8 is said to work on compute capability 9.0"),
        ({"algorithm": "fp8", "kv_cache": "fp8_e4m3"}, "works", "fp8_e4m3_kv is said to work"),
        ({"algorithm": "fp8", "capability": "8.0"}, "refuses", "fp8 is for compute capabilities 8.9, 9.0"),
        ({"algorithm": "nvfp4"}, "refuses", "nvfp4 is for compute capabilities 10.0, 10.3, 12.0"),
        ({"algorithm": "nvfp4", "capability": "10.0"}, "works", "nvfp4 is said to work"),
        ({"algorithm": "w4a8_awq", "capability": "10.0"}, "refuses", "w4a8_awq is for compute capabilities 8.9, 9.0"),
        ({"algorithm": "int8_weight_only"}, "unknown", "no source tells on which GPUs"),
        ({"algorithm": "fp8", "version": None}, "unknown", "no release of TensorRT-LLM"),
        ({"algorithm": "fp8", "capability": ""}, "unknown", "no GPU"),
        ({"algorithm": "nvfp4", "version": "0.15.0", "capability": "10.0"}, "unknown", "known of TensorRT-LLM 0.20.0"),
        ({"algorithm": "", "kv_cache": "fp8_e4m3", "capability": "8.0"}, "refuses", "fp8_e4m3_kv is for"),
    ],
)
def test_what_tensorrt_llm_should_take_is_told_with_its_reason(asked: dict[str, Any], verdict: str, words: str) -> None:
    found, reason = ask(**asked)
    assert found == verdict
    assert words in reason


def test_every_cell_has_a_source_and_every_figure_is_of_a_known_algorithm() -> None:
    for product in (ALGORITHMS, ACCURACY):
        cells = [cell for row in MATRIX.rows(product) for name in row.names() if (cell := row.get(name))]
        assert all(cell.source for cell in cells)
    known = algorithms(MATRIX)
    assert all(row.value("algorithm") in {None, *known} for row in MATRIX.rows(ACCURACY))
    found = figures(MATRIX, "int8_weight_only", "", "fp32")
    assert found is not None
    assert found.source.startswith("python -m training.quantization, torch ")


def test_names_of_modelopt_are_those_of_its_wheels_since_the_release_that_is_told() -> None:
    table = yaml.load((SOURCES / "api_contracts.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)["modelopt"]
    named = {row.value("modelopt_config"): row.value("modelopt_since") for row in MATRIX.rows(ALGORITHMS)}
    named.pop(None, None)
    assert len(named) == 9
    for name, since in named.items():
        entry = table[f"modelopt.torch.quantization.{name}"]
        assert PackageVersion.parse(since) == PackageVersion.parse(str(entry["since"]))
        assert entry["until"] == "current (0.47.0)"


def test_names_of_tensorrt_llm_are_members_of_its_enumeration() -> None:
    text = (SOURCES / "api_contracts.yaml").read_text(encoding="utf-8")
    entry = yaml.load(text, Loader=yaml.CSafeLoader)
    by_version = next(
        part["tensorrt_llm.llmapi.QuantAlgo"]["by_version"]
        for part in entry.values()
        if isinstance(part, dict) and "tensorrt_llm.llmapi.QuantAlgo" in part
    )
    members = {name for step in by_version for name in (*step.get("members", ()), *step.get("adds", ()))}
    named = {row.value("tensorrt_llm_algo") for row in MATRIX.rows(ALGORITHMS)} - {None}
    assert named <= members
    assert len(named) == 8


def changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str, pattern: str, text: str) -> None:
    for name in derive.FILES.values():
        source = (SOURCES / name).read_text(encoding="utf-8")
        after = re.sub(pattern, text, source, count=1) if name == file else source
        assert name != file or after != source
        (tmp_path / name).write_text(after, encoding="utf-8")
    monkeypatch.setattr(reader, "SOURCES", tmp_path)


@pytest.mark.parametrize(
    ("file", "pattern", "text", "words"),
    [
        (
            "quantization.yaml",
            "weights: int8",
            "weights: int9",
            "expected one of int8, int4, fp8_e4m3, e2m1, found 'int9'",
        ),
        ("quantization.yaml", "    group_size: 128\n", "", "expected a group size exactly where"),
        ("quantization.yaml", "    scale: fp32\n", "    scael: fp32\n", "cell scael is unknown"),
        ("quantized_accuracy.yaml", "algorithm: fp8,", "algorithm: fp9,", "has no row fp9"),
        ("quantized_accuracy.yaml", r"hard_right: \d+", "hard_right: 0", "0 of 512 right in the hard sets"),
        ("quantized_accuracy.yaml", r"easy_right: \d+", "easy_right: 999", "999 of 288 right in the easy sets"),
        ("quantized_accuracy.yaml", r"calibrations: [1-9]\d*", "calibrations: 1", "expected two calibrations at least"),
    ],
)
def test_a_source_that_cannot_be_right_stops_the_script(
    file: str, pattern: str, text: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changed(monkeypatch, tmp_path, file, pattern, text)
    with pytest.raises(ShapeError, match=words):
        derive.derive()
