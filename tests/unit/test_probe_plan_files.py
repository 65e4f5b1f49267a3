"""Engine files by their headers: the release that built them where it is known, and never a guess."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_trtcheck.probe.plan_files import parse_header, read_engine_folder, read_plan
from tests.fakeroot import FakeRoot
from tests.images import plan_bytes


@pytest.fixture
def tree(tmp_path: Path) -> FakeRoot:
    return FakeRoot(tmp_path)


def test_the_header_tells_the_release_that_built_the_plan(tree: FakeRoot) -> None:
    tree.file("/model.plan", plan_bytes(10, 9, 0, 34))
    plan = read_plan(tree.root, "/model.plan")
    assert (plan.tensorrt, plan.size_bytes, plan.note, plan.prefix_bytes) == ("10.9.0.34", 128, "", 0)


def test_metadata_before_the_plan_is_passed_over(tree: FakeRoot) -> None:
    text = json.dumps({"task": "detect"}).encode()
    tree.file("/model.engine", len(text).to_bytes(4, "little") + text + plan_bytes(8, 6, 1, 6))
    plan = read_plan(tree.root, "/model.engine")
    assert (plan.tensorrt, plan.prefix_bytes) == ("8.6.1.6", 4 + len(text))


def test_a_prefix_that_would_reach_beyond_the_file_is_none(tmp_path: Path) -> None:
    tree = FakeRoot(tmp_path)
    tree.file("/m.engine", (5000).to_bytes(4, "little") + b"{" + bytes(200))
    plan = read_plan(tree.root, "/m.engine")
    assert plan.prefix_bytes == 0
    assert plan.note.startswith("no TensorRT plan")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "cut short: 0 bytes"),
        (b"ftrt" + bytes(10), "cut short: 14 bytes"),
        (b"PK\x03\x04" + bytes(100), "no TensorRT plan: it begins with 504b0304"),
        (b"ftrt\x01" + bytes(100), "header format 1"),
        (plan_bytes(0, 0, 0, 0), "names TensorRT 0, which is no release"),
        (plan_bytes(200, 1, 1, 1), "names TensorRT 200"),
        (b"\x08\x00\x00\x00{}      " + bytes(3), "cut short: 3 bytes"),
    ],
)
def test_what_the_header_does_not_tell_is_left_open_with_the_reason(tree: FakeRoot, data: bytes, words: str) -> None:
    tree.file("/model.plan", data)
    plan = read_plan(tree.root, "/model.plan")
    assert plan.tensorrt is None
    assert words in plan.note


def test_any_bytes_give_a_release_or_a_reason() -> None:
    @given(st.binary(max_size=40), st.booleans())
    def check(data: bytes, tagged: bool) -> None:
        version, note = parse_header((b"ftrt" + data) if tagged else data)
        assert bool(version) != bool(note)

    check()


def test_a_missing_file_is_told(tree: FakeRoot) -> None:
    assert read_plan(tree.root, "/none.plan").note == "does not exist"


def test_an_engine_folder_of_tensorrt_llm_tells_how_it_was_built(tree: FakeRoot) -> None:
    config = {
        "version": "1.2.1",
        "pretrained_config": {
            "architecture": "LlamaForCausalLM",
            "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": None},
            "mapping": {"world_size": 2, "tp_size": 2},
        },
        "build_config": {"max_batch_size": 8, "plugin_config": {"x": 1}},
    }
    tree.file("/llm/config.json", json.dumps(config))
    for rank in range(2):
        tree.file(f"/llm/rank{rank}.engine", plan_bytes(10, 14, 1, 48))
    found = read_engine_folder(tree.root, "/llm")
    assert found is not None
    assert (found.tensorrt_llm, found.ranks) == ("1.2.1", 2)
    assert found.fields == {
        "architecture": "LlamaForCausalLM", "quant_algo": "FP8", "world_size": 2, "tp_size": 2, "max_batch_size": 8,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "no JSON document"), ("[1]", "names no version"), ("{}", "names no version"), ("[" * 99_999, "no JSON")],
)
def test_a_config_that_tells_nothing_is_told(tree: FakeRoot, text: str, words: str) -> None:
    tree.file("/llm/config.json", text)
    tree.file("/llm/rank0.engine")
    found = read_engine_folder(tree.root, "/llm")
    assert found is not None
    assert found.tensorrt_llm is None
    assert words in found.note


def test_a_folder_without_ranks_is_none_of_tensorrt_llm(tree: FakeRoot) -> None:
    tree.file("/hf/config.json", '{"version": "1"}')
    tree.file("/hf/model.engine")
    assert read_engine_folder(tree.root, "/hf") is None
    assert read_engine_folder(tree.root, "/none") is None
