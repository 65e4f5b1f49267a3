"""The row files are what the sourced facts give, nothing of the facts is lost, and a new shape stops the script."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from matrix.derive import __main__ as derive
from matrix.derive import all_products, cuda, documents, reader, stack_schema, torch, values, writer
from matrix.derive.reader import Entry, ShapeError, read_fact
from pytest_trtcheck.rules.products import load_products

MATRIX = Path(derive.__file__).parent.parent
ROW_FILES = sorted((MATRIX / "rows").glob("*.json"))


@pytest.fixture(scope="module")
def drafts() -> dict[str, writer.ProductDraft]:
    return {draft.product: draft for draft in all_products.drafts()}


@pytest.fixture
def copied_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "sources"
    folder.mkdir()
    monkeypatch.setattr(reader, "SOURCES", folder)
    return folder


def edited(folder: Path, name: str, change: Any) -> None:
    document = yaml.load((MATRIX / "sources" / name).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    change(document)
    (folder / name).write_text(yaml.safe_dump(document), encoding="utf-8")


def test_check_passes_on_the_committed_files() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "matrix.derive", "--check"], cwd=MATRIX.parent, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_check_names_a_row_file_that_was_edited_by_hand_and_one_that_nothing_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "torch.json").write_text("{}", encoding="utf-8")
    (tmp_path / "rows" / "stray.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(derive, "_MATRIX", tmp_path)
    monkeypatch.setattr(all_products, "texts", lambda: {"rows/torch.json": "{ }\n"})
    monkeypatch.setattr(documents, "texts", dict)
    monkeypatch.setattr(stack_schema, "texts", dict)
    assert derive.main(["--check"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in told] == ["matrix/rows/torch.json", "matrix/rows/stray.json"]
    assert derive.main([]) == 0
    assert derive.main(["--check"]) == 0
    assert [path.name for path in (tmp_path / "rows").iterdir()] == ["torch.json"]


def test_wrong_arguments_and_an_unknown_shape_end_with_status_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert derive.main(["--chek"]) == 2
    assert "usage: python -m matrix.derive [--check]" in capsys.readouterr().err

    def fail() -> dict[str, str]:
        raise ShapeError("torch_releases.yaml.releases[2.9.0].nccl_pin: expected ==")

    monkeypatch.setattr(all_products, "texts", fail)
    assert derive.main([]) == 2
    assert "releases[2.9.0].nccl_pin" in capsys.readouterr().err


@pytest.mark.parametrize("path", ROW_FILES, ids=lambda path: path.stem)
def test_every_row_file_keeps_the_published_schema(path: Path) -> None:
    schema = json.loads((MATRIX / "schema" / "rows.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(path.read_text(encoding="utf-8")))


def test_the_schema_refuses_an_unknown_cell_and_a_value_of_another_kind() -> None:
    schema = json.loads((MATRIX / "schema" / "rows.schema.json").read_text(encoding="utf-8"))
    document = json.loads((MATRIX / "rows" / "nccl.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    cells = document["rows"][0]["cells"]
    cells["cuda_majors"]["value"] = ["12.x"]
    assert not validator.is_valid(document)
    cells["cuda_majors"]["value"] = ["12"]
    assert validator.is_valid(document)
    cells["cuda_major"] = cells.pop("cuda_majors")
    assert not validator.is_valid(document)


def test_every_cell_of_products_json_is_used_by_some_row(drafts: dict[str, writer.ProductDraft]) -> None:
    unused = [
        f"{name}.{cell}"
        for name, product in load_products().items()
        for cell in product.kinds
        if not any(cell in row.cells for row in drafts[name].rows)
    ]
    assert unused == []


def test_every_source_named_in_the_facts_is_named_in_the_rows(drafts: dict[str, writer.ProductDraft]) -> None:
    used = {
        part
        for draft in drafts.values()
        for source in [
            *(cell["source"] for row in draft.rows for cell in row.cells.values()),
            *(note.source for note in draft.notes),
            *(claim.get("source", "") for entry in draft.contradictions for claim in entry["claims"]),
        ]
        for part in source.split("; ")
    }
    files = {file for draft in drafts.values() for file in draft.derived_from}
    named: set[str] = set()
    for file in files:
        _collect_sources(reader.load_source(file), named)
    assert len(named) > 200
    # The CUDA of a GPU's capability is taken once, from cuda_driver.yaml, where both files agree.
    assert named - used <= {fact["first_cuda"]["source"] for fact in reader.load_source("gpus.yaml")["gpus"]}


def _collect_sources(value: Any, found: set[str]) -> None:
    if isinstance(value, dict):
        if "value" in value and "source" in value:
            source = value["source"]
            parts = source if isinstance(source, list) else [source]
            found.update(part for text in parts for part in text.split("; "))
        for item in value.values():
            _collect_sources(item, found)
    elif isinstance(value, list):
        for item in value:
            _collect_sources(item, found)


def test_every_contradiction_of_the_facts_is_kept(drafts: dict[str, writer.ProductDraft]) -> None:
    files = {file for draft in drafts.values() for file in draft.derived_from}
    wanted = sum(len(reader.load_source(file).get("contradictions", ())) for file in files)
    kept = [entry for draft in drafts.values() for entry in draft.contradictions]
    assert len(kept) == wanted > 60
    python = next(entry for entry in kept if entry["topic"].startswith("C25"))
    assert python["used"] == "3.10"


def test_a_key_that_the_script_does_not_know_stops_it(copied_sources: Path) -> None:
    edited(copied_sources, torch.FILE, lambda document: document["releases"][0].update(magma_pin="2.9"))
    with pytest.raises(ShapeError, match=r"releases\[2\.0\.0\]: keys that the script does not know: \['magma_pin'\]"):
        torch.derive()


def test_a_value_of_a_new_shape_stops_it_and_is_named(copied_sources: Path) -> None:
    def change(document: Any) -> None:
        document["releases"][3]["nccl_pin"]["value"] = "about 2.18"

    edited(copied_sources, torch.FILE, change)
    with pytest.raises(ShapeError, match=r"releases\[2\.1\.1\]\.nccl_pin: expected .*found 'about 2\.18'"):
        torch.derive()


def test_a_contradiction_that_is_attached_to_no_row_stops_it(copied_sources: Path) -> None:
    def change(document: Any) -> None:
        document["contradictions"][0]["topic"] = "a new one"

    edited(copied_sources, cuda.FILE, change)
    with pytest.raises(ShapeError, match="contradiction 'a new one' is attached to no row"):
        cuda.derive()


def test_two_rows_of_one_version_stop_it(copied_sources: Path) -> None:
    edited(copied_sources, torch.FILE, lambda document: document["releases"].append(document["releases"][0]))
    with pytest.raises(ShapeError, match=r"torch/2\.0\.0: two rows"):
        torch.derive()


@pytest.mark.parametrize(
    "raw",
    [
        {"value": "unknown", "source": "x", "confidence": "stated"},
        {"value": "1", "source": "x", "confidence": "unknown"},
        {"value": "1", "source": "x", "confidence": "sure"},
        {"value": "1", "source": "", "confidence": "stated"},
        {"value": "1", "source": "x", "confidence": "stated", "page": 3},
        {"value": "1", "confidence": "stated"},
    ],
)
def test_a_fact_that_is_not_whole_stops_it(raw: dict[str, Any]) -> None:
    with pytest.raises(ShapeError, match=r"file\.key"):
        read_fact(raw, "file.key")


def test_a_list_of_sources_is_joined() -> None:
    fact = read_fact({"value": "1", "source": ["a", "b"], "confidence": "derived"}, "x")
    assert (fact.source, fact.confidence, fact.note) == ("a; b", "derived", "")


def test_a_missing_key_is_named_with_the_keys_that_are_there() -> None:
    with pytest.raises(ShapeError, match=r"x: expected the key cuda, found \['cudnn'\]"):
        Entry({"cudnn": 1}, "x").text("cuda")


@pytest.mark.parametrize(
    ("parser", "text", "value", "note"),
    [
        (values.DPKG, "9.8.0.87-1+cuda12.8", "9.8.0.87", "source text: 9.8.0.87-1+cuda12.8"),
        (values.DPKG, "2.27.5", "2.27.5", ""),
        (values.EXACT, "==9.1.0.70", "9.1.0.70", ""),
        (values.capability, 90, "9.0", ""),
        (values.capability, "sm_121", "12.1", ""),
        (values.capability_remark, "100 (B200)", "10.0", "source text: 100 (B200)"),
        (values.toolkit, "12.1u1", "12.1.1", ""),
        (values.toolkit, "13.x", "13.x", ""),
        (values.branch_range, "R470>=470.57", ">=470.57,<471", ""),
        (values.branch_range, "535.86", ">=535.86,<536", ""),
        (values.compatible_release, "~=3.8.0", ">=3.8.0,==3.8.*", ""),
    ],
)
def test_prose_becomes_a_typed_value(parser: reader.Parser, text: Any, value: str, note: str) -> None:
    result = parser(text)
    found = (result.value, result.note) if isinstance(result, values.Parsed) else (result, "")
    assert found == (value, note)


@pytest.mark.parametrize(
    ("parser", "text"),
    [
        (values.DPKG, "9.8.0.87 or later"),
        (values.capability, 9.0),
        (values.capability, "sm_90a"),
        (values.toolkit, "12.1 update 1"),
        (values.branch_range, "R470>=535.1"),
        (values.RANGE, ">= 12"),
        (values.listed(values.VERSION), "12.1"),
    ],
)
def test_a_shape_that_a_parser_does_not_know_is_refused(parser: reader.Parser, text: Any) -> None:
    with pytest.raises(ShapeError):
        parser(text)


@pytest.mark.parametrize(
    ("row", "cell", "value"),
    [
        ("cuda_driver_family/12.x", "min_driver", ">=525.60.13"),
        ("cuda_toolkit/12.9.1", "driver_bundled", "575.57.08"),
        ("forward_compat/rule", "gpu_classes", ["datacenter", "jetson"]),
        ("forward_compat/R535", "max_cuda_major", "12"),
        ("sm/7.0", "cuda_range", ">=9.0,<13.0"),
        ("sm/10.1", "renamed_to", "11.0"),
        ("gpu/NVIDIA H100", "class", "datacenter"),
        ("torch/2.6.0", "cxx11_abi_by_cuda_build", {"12.4": "off", "12.6": "on"}),
        ("torch/2.9.0", "ptx_by_cuda_build", {"13.0": ["12.0"]}),
        ("tensorrt/8.6.1", "cudnn_soname_major", "8"),
        ("tensorrt/10.5.0", "dropped_compute_capabilities", ["7.0"]),
        ("tensorrt/11.4.0", "min_driver", {"12.x": ">=535", "13.x": ">=580"}),
        ("tensorrt_llm/1.3.0rc29", "uses_tensorrt", False),
        ("tensorrt_llm/0.15.0", "sm_dropped", ["7.0", "7.5"]),
        ("tensorrt_llm/0.8.0", "pin_nvidia_modelopt", False),
        ("triton_container/26.04", "tensorrt_llm", "1.2.1"),
        ("ngc_pytorch/25.10", "tensorrt", "10.13.3.9"),
        ("cudnn/9.10.2", "min_driver_blackwell", ">=570.26"),
        ("nccl/2.27.5", "ptx_by_cuda_build", {"11.8": ["9.0"], "12.4": ["9.0"], "12.8": ["12.0"], "13.0": ["12.0"]}),
    ],
)
def test_cells_carry_the_facts(drafts: dict[str, writer.ProductDraft], row: str, cell: str, value: object) -> None:
    product, _, version = row.partition("/")
    assert drafts[product].find(version).value(cell) == value
