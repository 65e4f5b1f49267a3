"""Profiles are data; an unknown name lists the valid ones."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_trtcheck.errors import MatrixError, OptionError
from pytest_trtcheck.rules.catalogue import load_catalogue
from pytest_trtcheck.rules.profiles import PROFILES, load_profile

DATA = Path(str(files("pytest_trtcheck._matrix")))


def sound() -> dict[str, Any]:
    return {
        "schema_version": 1,
        "name": "site",
        "title": "Our image",
        "required_components": ["torch", "gpu"],
        "required_checks": ["TRC-IMP-001-torch"],
        "minimum_executed": {"stack": 3},
    }


@pytest.mark.parametrize("name", PROFILES)
def test_bundled_profiles_load_keep_the_schema_and_name_themselves(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.minimum_executed["stack"] >= 1
    schema = json.loads((DATA / "schema" / "profile.schema.json").read_text(encoding="utf-8"))
    document = json.loads((DATA / "profiles" / f"{name}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)


def test_every_bundled_profile_is_offered_and_asks_for_checks_that_exist() -> None:
    assert sorted(path.stem for path in (DATA / "profiles").glob("*.json")) == sorted(PROFILES)
    catalogue = load_catalogue()
    asked = [check for name in PROFILES for check in load_profile(name).required_checks]
    assert asked
    assert [check for check in asked if check[:11] not in catalogue] == []


def test_auto_asks_for_no_component_and_the_others_for_a_gpu_and_their_driver() -> None:
    assert load_profile("auto").required_components == ()
    for name in PROFILES[1:]:
        assert {"gpu", "driver", name} <= set(load_profile(name).required_components)
    assert "torch" in load_profile("tensorrt_llm").required_components


def test_an_unknown_name_lists_the_valid_ones() -> None:
    with pytest.raises(OptionError) as caught:
        load_profile("tensorrt-llm")
    assert str(caught.value) == (
        "profile 'tensorrt-llm': expected one of auto, tensorrt_llm, tensorrt, triton_server, torch, "
        "or a file ending in .json"
    )


def test_a_file_is_a_profile(tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    path.write_text(json.dumps(sound()), encoding="utf-8")
    profile = load_profile(str(path))
    assert (profile.name, profile.required_components) == ("site", ("torch", "gpu"))
    assert dict(profile.minimum_executed) == {"stack": 3}
    with pytest.raises(OptionError, match=r"there is no such file"):
        load_profile(str(tmp_path / "absent.json"))
    with pytest.raises(OptionError, match=r"there is no such file"):
        load_profile("a\0b.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"required_suites": []}, "found the unknown key 'required_suites'"),
        ({"required_components": ["tensorrt-llm"]}, "required_components[0]: expected a key of the stack vocabulary"),
        ({"required_components": "torch"}, "required_components: expected a list, found 'torch'"),
        ({"minimum_executed": {"stack": -1}}, "minimum_executed.stack: expected a whole number from 0, found -1"),
        ({"minimum_executed": {"stack": True}}, "minimum_executed.stack: expected a whole number from 0, found True"),
        ({"minimum_executed": {"Stack 1": 1}}, "expected a suite, or suite:provider, as the key"),
        ({"schema_version": "1"}, "schema_version: expected 1, found '1'"),
    ],
)
def test_a_malformed_profile_is_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "site.json"
    path.write_text(json.dumps({**sound(), **change}), encoding="utf-8")
    with pytest.raises(MatrixError) as caught:
        load_profile(str(path))
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"matrix {path} ")
