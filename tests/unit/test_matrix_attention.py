"""What the matrix expects of attention providers: known facts exclude, only stated ones promise, silence is unknown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.derive import attention as derive
from matrix.derive import reader
from matrix.derive.reader import ShapeError
from pytest_trtcheck.model.versions import Capability
from pytest_trtcheck.rules.attention import DTYPES, FEATURES, PRODUCT, Expectation, expected
from pytest_trtcheck.rules.load import Matrix, load_matrix
from pytest_trtcheck.rules.rows import Row
from pytest_trtcheck.rules.strict import Node

MATRIX = load_matrix()
PROVIDERS = {
    "torch_eager", "torch_math", "torch_flash", "torch_mem_efficient", "torch_cudnn", "torch_flex", "flash_attn",
    "flashinfer", "xformers", "tensorrt", "tensorrt_llm_engine", "tensorrt_llm_torch",
}  # fmt: skip
PLAIN = frozenset({"context", "causal", "dense"})
DECODE = frozenset({"generation", "causal", "paged", "page16"})


def ask(provider: str, version: str | None, matrix: Matrix = MATRIX, **case: Any) -> Expectation:
    """Ask for a plain case of fp16 on an H100, but for what is named."""
    component = next(
        (str(row.value("component")) for row in MATRIX.rows(PRODUCT) if row.value("provider") == provider), "nothing"
    )
    heads, kv_heads = case.pop("heads", (8, 8))
    usual = {"device": "cuda", "compute_capability": "9.0", "features": PLAIN, "dtype": "fp16", "kv_dtype": "same"}
    return expected(
        matrix,
        provider=provider,
        versions={} if version is None else {component: version},
        heads=heads,
        kv_heads=kv_heads,
        **{"head_size": 64, **usual, **case},
    )


def row_without(row: Row, cell: str) -> Row:
    left = {name: value for name, value in row._raw.value.items() if name != cell}
    return replace(row, _raw=Node(row._raw.file, left, row._raw.pointer), _cells={})


def with_rows(rows: list[Row]) -> Matrix:
    return Matrix({PRODUCT: MATRIX.table(PRODUCT).with_rows(rows)})


def test_every_provider_has_a_row_and_every_cell_a_source() -> None:
    rows = MATRIX.rows(PRODUCT)
    assert {row.value("provider") for row in rows} == PROVIDERS
    cells = [cell for row in rows for name in row.names() if (cell := row.get(name))]
    assert len(cells) > 300
    assert all(cell.source and cell.confidence in {"stated", "derived", "measured"} for cell in cells)


@pytest.mark.parametrize(
    ("provider", "version", "case", "verdict", "words"),
    [
        ("torch_flash", "2.9.1+cu128", {}, "works", "known to work"),
        ("torch_flash", "2.9.1", {"heads": (16, 2)}, "works", "known to work"),
        ("torch_flash", "2.4.1", {"heads": (16, 2)}, "unknown", "gqa"),
        ("torch_flash", "2.9.1", {"dtype": "fp32"}, "refuses", "fp32 is not among its types fp16, bf16"),
        ("torch_flash", "2.9.1", {"compute_capability": "7.5"}, "refuses", "wants compute capability 8.0"),
        ("torch_flash", "2.6.0", {"compute_capability": "12.0"}, "refuses", "up to 9.0, this GPU has 12.0"),
        ("torch_flash", "2.7.1", {"compute_capability": "12.0"}, "works", "known to work"),
        ("torch_flash", "2.1.2", {"head_size": 256}, "refuses", "head size 256 is above its limit of 128"),
        ("torch_flash", "2.9.1", {"features": PLAIN | {"soft_cap"}}, "refuses", "does not take soft_cap"),
        ("torch_flash", "2.9.1", {"compute_capability": None}, "unknown", "compute capability is not known"),
        ("torch_mem_efficient", "2.3.0", {"dtype": "bf16", "compute_capability": "7.0"}, "refuses", "bf16 wants"),
        ("torch_mem_efficient", "2.9.0", {"features": frozenset({"context", "full", "padded"})}, "works", "known"),
        ("torch_cudnn", "2.8.0", {"features": frozenset({"generation", "causal", "dense"})}, "refuses", "generation"),
        ("torch_cudnn", "2.13.0+cpu", {"device": "cpu", "compute_capability": None}, "refuses", "does not run on cpu"),
        ("torch_cudnn", "2.9.0", {}, "unknown", "no source tells"),
        ("torch_flex", "2.4.1", {}, "refuses", "it came with 2.5.0"),
        ("torch_flex", "2.5.0a0+b465a5843b.nv24.09", {}, "unknown", "no row speaks of this release"),
        ("flash_attn", "2.8.3.post1", {"features": PLAIN | {"soft_cap", "alibi"}}, "works", "known to work"),
        ("flash_attn", "2.5.9", {"features": PLAIN | {"soft_cap"}}, "refuses", "soft_cap"),
        ("flash_attn", "2.8.3", {"features": DECODE}, "refuses", "page16"),
        ("flash_attn", "2.8.3", {"device": "cpu", "compute_capability": None}, "refuses", "does not run on cpu"),
        ("flash_attn", "2.8.3", {"compute_capability": "10.0"}, "unknown", "compute capability 10.0"),
        ("flash_attn", "2.7.2", {"compute_capability": "10.0"}, "refuses", "up to 9.0"),
        ("flashinfer", "0.6.17", {"features": DECODE}, "works", "known"),
        ("flashinfer", "0.6.17", {"head_size": 80}, "unknown", "head size 80"),
        ("flashinfer", "0.6.17", {"dtype": "fp32"}, "refuses", "fp32"),
        ("tensorrt", "10.16.1.11", {"compute_capability": "7.0"}, "refuses", "wants compute capability 7.5"),
        ("tensorrt_llm_engine", "0.6.1", {"features": frozenset({"context", "full", "dense"})}, "works", "known"),
        ("tensorrt_llm_engine", "0.6.1", {"dtype": "bf16"}, "unknown", "head size 64"),
        ("tensorrt_llm_engine", "1.3.0rc22", {}, "refuses", "it left after 1.3.0rc20"),
        ("tensorrt_llm_engine", "1.3.0rc20", {}, "unknown", "no row speaks of this release"),
        ("torch_math", "3.0.0", {}, "unknown", "no row speaks of this release"),
        ("torch_math", None, {}, "unknown", "no version was found"),
        ("torch_math", "built by hand", {}, "unknown", "'built by hand' is not a version"),
        ("somebody's own", "1.0", {}, "unknown", "no row for the provider somebody's own"),
    ],
)  # fmt: skip
def test_a_case_is_judged_by_what_is_known_of_the_release(
    provider: str, version: str | None, case: dict[str, Any], verdict: str, words: str
) -> None:
    answer = ask(provider, version, **case)
    assert (answer.verdict, words in answer.words) == (verdict, True), answer
    assert "\n" not in answer.words
    assert bool(answer.source) == (verdict != "unknown")


def test_an_fp8_cache_works_only_where_it_is_stated() -> None:
    fp8: dict[str, Any] = {"features": DECODE, "kv_dtype": "fp8_e4m3", "head_size": 128}
    decode = ask("flashinfer", "0.6.17", **fp8)
    assert (decode.verdict, decode.row) == ("works", "attention/flashinfer fp8 decode since 0.2")
    # The row of the fp8 cache speaks of fp16 alone; the other way to call it leaves bf16 open.
    assert ask("flashinfer", "0.6.17", **fp8, dtype="bf16").verdict == "unknown"
    assert ask("flash_attn", "2.8.3", **fp8).verdict == "refuses"
    assert ask("flashinfer", "0.6.17", **{**fp8, "kv_dtype": "int8"}).verdict == "unknown"


def test_works_gives_the_row_and_where_it_comes_from() -> None:
    answer = ask("flash_attn", "2.6.3")
    assert answer.row == "attention/flash_attn since 2.6"
    assert "flash_attn_interface.py" in answer.source
    assert "README.md" in answer.source


def cases() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "features": st.frozensets(st.sampled_from(FEATURES), max_size=6),
            "compute_capability": st.sampled_from([None, "5.0", "7.5", "8.0", "9.0", "10.0", "12.0", "12.1"]),
            "dtype": st.sampled_from(DTYPES),
            "kv_dtype": st.sampled_from(["same", "", "fp8_e4m3", "int8"]),
            "head_size": st.sampled_from([20, 32, 64, 80, 128, 192, 256, 512]),
            "heads": st.sampled_from([(8, 8), (8, 2), (8, 1)]),
            "device": st.sampled_from(["cuda", "cpu"]),
        }
    )


def fitting(row: Row) -> dict[str, Any]:
    """Return a case that the row itself is about, as far as it says anything."""
    found = row.value("compute_capabilities")
    case: dict[str, Any] = {"device": row.value("device"), "compute_capability": found[-1] if found else None}
    case["dtype"] = (row.value("dtypes") or DTYPES)[-1]
    case["head_size"] = int((row.value("head_sizes") or ("64",))[0])
    case["features"] = frozenset(row.value("works") or ()) - {"mha", "gqa", "mqa", "fp8_kv"}
    return case


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_losing_knowledge_never_makes_a_promise(data: st.DataObject) -> None:
    rows = list(MATRIX.rows(PRODUCT))
    index = data.draw(st.integers(0, len(rows) - 1))
    row = rows[index]
    case = {**fitting(row), **data.draw(st.one_of(st.just({}), cases()))}
    version = row.value("until")
    before = ask(row.value("provider"), version, **case)
    lost = data.draw(st.sampled_from(sorted(row.names())))
    fewer = [row_without(row, lost) if one is row else one for one in rows]
    for matrix in (with_rows(fewer), with_rows([one for one in rows if one is not row])):
        after = ask(row.value("provider"), version, matrix, **case)
        assert not (after.verdict == "works" and before.verdict != "works"), (lost, before, after)


@given(cases(), st.sampled_from(FEATURES), st.sampled_from(MATRIX.rows(PRODUCT)))
@settings(max_examples=300, deadline=None)
def test_asking_more_never_turns_a_case_into_one_that_works(case: dict[str, Any], word: str, row: Row) -> None:
    less = ask(row.value("provider"), row.value("since"), **case)
    more = ask(row.value("provider"), row.value("since"), **{**case, "features": case["features"] | {word}})
    order = ("works", "unknown", "refuses")
    assert order.index(more.verdict) >= order.index(less.verdict)


@pytest.mark.parametrize("row", MATRIX.rows(PRODUCT), ids=lambda row: row.version)
def test_what_a_row_says_to_work_works_for_each_of_its_gpus_types_sizes_and_words(row: Row) -> None:
    case, alone = fitting(row), with_rows([row])
    whole = all(row.value(name) for name in ("dtypes", "head_sizes", "works"))
    if row.value("device") == "cuda" and not row.value("compute_capabilities"):
        whole = False
    words = [word for word in row.value("works") or ("context",) if word not in {"mha", "gqa", "mqa", "fp8_kv"}]
    for capability in row.value("compute_capabilities") or ("9.0",):
        for dtype in row.value("dtypes") or ("fp16",):
            for size in row.value("head_sizes") or ("64",):
                for word in words:
                    asked = {
                        **case, "features": frozenset({word}), "dtype": dtype, "head_size": int(size),
                        "compute_capability": capability if row.value("device") == "cuda" else None,
                    }  # fmt: skip
                    for version in (row.value("since"), row.value("until")):
                        answer = ask(row.value("provider"), version, alone, **asked)
                        assert (answer.verdict == "works") == whole, answer


def test_a_gpu_below_a_floor_is_refused_in_every_type() -> None:
    for row in MATRIX.rows(PRODUCT):
        least = row.value("min_compute_capability")
        if least and Capability.parse(least) > Capability.parse("5.0"):
            answer = ask(row.value("provider"), row.value("since"), compute_capability="5.0")
            assert answer.verdict in {"refuses", "unknown"}
            assert answer.verdict == "refuses" or row.value("provider") == "flashinfer"


def test_a_case_costs_no_import_of_torch_and_reads_one_row_file() -> None:
    code = (
        "import sys, json\n"
        "from pytest_trtcheck.rules.attention import expected\n"
        "from pytest_trtcheck.rules.load import load_matrix\n"
        "matrix = load_matrix()\n"
        "expected(matrix, provider='torch_math', versions={'torch': '2.9.0'}, device='cpu', compute_capability=None,\n"
        "         features=frozenset({'context'}), dtype='fp32', kv_dtype='', head_size=64, heads=1, kv_heads=1)\n"
        "print(json.dumps([sorted(matrix._tables), 'torch' in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[PRODUCT], False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"works": ["flying"]}, r"works: expected words out of .* found \['flying'\]"),
        ({"dtypes": ["fp12"]}, "dtypes: expected words out of fp32, fp16, bf16"),
        ({"refused": ["context"]}, r"found both of \['context'\]"),
        ({"head_size_max": 32}, "outside the row's own limits: .64"),
        ({"head_size_multiple": 48}, "outside the row's own limits: .64"),
        ({"min_compute_capability": "9.0"}, "outside the row's own limits"),
        ({"max_compute_capability": "7.5"}, "outside the row's own limits"),
        ({"dtype_min_compute_capability": {"bf16": "9.0"}}, "outside the row's own limits"),
        ({"device": "tpu"}, "a device of"),
        ({"provider": "other"}, "begins with its provider"),
        ({"since": None}, "without since"),
        ({"colour": "red"}, "cell colour is unknown"),
    ],
)
def test_a_row_that_contradicts_itself_stops_the_script(
    change: Mapping[str, Any], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    cells = {
        "provider": "one", "component": "torch", "device": "cuda", "since": "1.0", "until": "2.0", "works": ["context"],
        "compute_capabilities": ["8.0"], "head_sizes": ["64"], "dtypes": ["bf16"],
    }  # fmt: skip
    rows = [{"name": "one since 1", "source": "a page", "confidence": "stated", "cells": {**cells, **change}}]
    document = {"schema": "attention/1", "read_on": "2026-11-20", "shared": {}, "rows": rows}
    (tmp_path / derive.FILE).write_text(yaml.safe_dump(document), encoding="utf-8")
    monkeypatch.setattr(reader, "SOURCES", tmp_path)
    with pytest.raises(ShapeError, match=message):
        derive.derive()
    rows[0]["cells"] = cells
    (tmp_path / derive.FILE).write_text(yaml.safe_dump(document), encoding="utf-8")
    assert [row.id for row in derive.derive().rows] == ["attention/one since 1"]
