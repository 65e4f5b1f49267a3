"""The vocabulary, and what describe() makes of single values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from matrix.derive.stack_schema import PAGE, PATH, texts
from pytest_trtcheck.described.describe import describe
from pytest_trtcheck.described.errors import DescribedError
from pytest_trtcheck.described.vocabulary import VOCABULARY, Kind
from pytest_trtcheck.model.components import COMPONENTS
from pytest_trtcheck.model.facts import Fact, State

MATRIX = Path(__file__).parents[2] / "matrix"


def fact(key: str, value: Any) -> Fact:
    return describe({key: value}, "a", "a.yaml").facts[key]


def refusal(mapping: dict[Any, Any]) -> str:
    with pytest.raises(DescribedError) as caught:
        describe(mapping, "a", "a.yaml: document 1")
    message = str(caught.value)
    assert message.startswith("a.yaml: document 1: expected ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("entry", VOCABULARY.values(), ids=VOCABULARY)
def test_every_key_takes_its_own_example(entry: Any) -> None:
    found = fact(entry.key, entry.example)
    assert found.is_found
    assert found.value == entry.example
    assert not found.details.get("free_text"), "the example is of the kind it stands for"


@pytest.mark.parametrize("entry", VOCABULARY.values(), ids=VOCABULARY)
def test_every_key_takes_unspecified_as_there_without_a_version(entry: Any) -> None:
    found = fact(entry.key, "unspecified")
    assert found.state is State.FOUND
    assert found.value is None


def test_the_vocabulary_covers_the_components_that_rules_judge_by_version() -> None:
    keys = {component.key for component in COMPONENTS}
    assert {"torch", "tensorrt", "tensorrt_llm", "cudnn", "nccl", "vllm", "transformers"} <= keys & VOCABULARY.keys()


@pytest.mark.parametrize("bound", ["<526", ">=12.1", ">=11.5.0", "==4.56.0", "~=4.51.1", "< 2", ">=1,<2"])
def test_a_bound_is_kept_as_text_and_marked(bound: str) -> None:
    found = fact("pynvml", bound)
    assert found.value == bound
    assert found.details == {"bound": True}


def test_a_text_that_is_no_version_is_kept_and_marked() -> None:
    assert fact("torch", "nightly").details == {"free_text": True}
    assert fact("torch", "2.4.0+cu121").details == {}
    assert fact("tensorrt", "9.3.0.post12.dev1").details == {}


def test_an_image_name_stands_for_its_tag() -> None:
    assert fact("triton_container", "nvcr.io/nvidia/tritonserver:24.05-py3").details == {}


@pytest.mark.parametrize(
    ("value", "kept"), [(True, "on"), ("off", "off"), ("TRUE", "on"), (False, "off"), ("no", "off")]
)
def test_a_flag_has_two_words(value: object, kept: str) -> None:
    assert fact("torch_cxx11_abi", value).value == kept


def test_mig_is_a_mode_or_a_profile() -> None:
    assert fact("mig", True).value == "enabled"
    assert fact("mig", "off").value == "disabled"
    assert fact("mig", "1g.10gb").value == "1g.10gb"


def test_two_gpus_keep_the_first_as_value_and_all_in_the_details() -> None:
    found = fact("gpu", ["NVIDIA L4", "NVIDIA T4"])
    assert found.value == "NVIDIA L4"
    assert found.details == {"all": ["NVIDIA L4", "NVIDIA T4"]}


@pytest.mark.parametrize(
    "value",
    ["sm_80 sm_90", "sm_80;sm_90", "sm_80, sm_90", ["sm_80", "sm_90"]],
    ids=["blank", "semicolon", "comma", "list"],
)
def test_a_list_may_be_written_in_several_ways(value: object) -> None:
    found = fact("torch_arch_list", value)
    assert found.value == "sm_80 sm_90"
    assert found.details == {"all": ["sm_80", "sm_90"]}


def test_wheels_may_be_a_mapping_of_names_to_versions() -> None:
    found = fact("nvidia_wheels", {"nvidia-cudnn-cu12": "9.10.2.21"})
    assert found.details == {"all": ["nvidia-cudnn-cu12==9.10.2.21"]}


def test_whole_numbers_are_taken_and_fractions_refused_because_they_lose_zeros() -> None:
    assert fact("driver", 550).value == "550"
    assert "put it in quotes" in refusal({"cuda_runtime": 12.10})


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"driver": None}, "found nothing; write unspecified"),
        ({"driver": ""}, "write unspecified"),
        ({"driver": ["550", "560"]}, "driver to be a dotted version such as 580.65.06, found a list of 2"),
        ({"driver": {"a": "1"}}, "found a mapping of 1"),
        ({"driver": True}, "found True"),
        ({"driver": "yes"}, "driver to be a dotted version such as 580.65.06, found 'yes'"),
        ({"gpu_count": "many"}, "gpu_count to be a whole number such as 8, found 'many'"),
        ({"gpu_count": "-1"}, "found '-1'"),
        ({"engine_serialization": "1" * 20}, "whole number"),
        ({"torch_cxx11_abi": "maybe"}, "torch_cxx11_abi to be on or off, found 'maybe'"),
        ({"gpu": []}, "gpu to have 1 to 1000 values, found a list of 0"),
        ({"gpu": ["L4", {"a": "b"}]}, "found a mapping of 1"),
        ({"os": "a" * 5000}, "found 'aaa"),
        ({"os": "a\x1b[31m"}, r"found 'a\x1b[31m'"),
        ({"extra": "text"}, "a mapping under extra, found 'text'"),
        ({3: "x"}, "found 3;"),
    ],
)
def test_a_value_of_the_wrong_kind_is_one_clear_line(mapping: dict[Any, Any], words: str) -> None:
    assert words in refusal(mapping)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("drvier", "driver"), ("tensorrt-llm", "tensorrt_llm"), ("Torch", "torch"), ("cuda_tolkit", "cuda_toolkit")],
)
def test_an_unknown_key_names_the_nearest_known_one(wrong: str, near: str) -> None:
    assert f"did you mean {near}?" in refusal({wrong: "1"})


def test_what_is_under_extra_is_kept_and_not_held_to_the_vocabulary() -> None:
    stack = describe({"driver": "550", "extra": {"rack": "7"}}, "a", "a.yaml")
    assert stack.facts["extra"].details == {"rack": "7"}


def test_each_fact_tells_where_it_was_read() -> None:
    stack = describe(
        {"driver": "550", "torch": "2.9.0"}, "a", "a.txt", lines={"driver": "a.txt, line 3"}, how="nvidia-smi"
    )
    assert stack.kind == "described"
    assert stack.facts["driver"].where == "a.txt, line 3"
    assert stack.facts["torch"].where == "a.txt"
    assert stack.facts["torch"].how == "nvidia-smi"


@pytest.mark.parametrize("path", [PATH, PAGE])
def test_the_published_schema_and_table_are_those_of_the_vocabulary(path: str) -> None:
    assert (MATRIX / path).read_text(encoding="utf-8") == texts()[path], "run python -m matrix.derive"


@pytest.mark.parametrize(
    ("document", "valid"),
    [
        ({"driver": "550", "gpu_count": 2, "gpu": ["L4", "T4"], "torch_cxx11_abi": False}, True),
        ({"name": "a", "environment": {"driver": "550"}, "symptom": "hangs"}, True),
        ([{"stack": {"driver": "550"}}, {"torch": "unspecified"}], True),
        ({"drvier": "550"}, False),
        ({"environment": {"drvier": "550"}}, False),
        ({"gpu_count": "many"}, False),
        ({"driver": ["550"]}, False),
        ({}, False),
    ],
)
def test_the_schema_admits_what_the_reader_takes(document: object, valid: bool) -> None:
    schema = json.loads((MATRIX / PATH).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(document) is valid


def test_kinds_that_may_be_bounds_are_the_versions() -> None:
    assert {kind for kind in Kind if kind.is_version} == {Kind.DOTTED, Kind.PACKAGE}
