"""The catalogue of checks: whole, strict, and in words that explain."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_trtcheck.errors import MatrixError
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.rules.catalogue import load_catalogue, read_catalogue

DATA = Path(str(files("pytest_trtcheck._matrix")))


def entry(**change: Any) -> dict[str, Any]:
    return {
        "id": "TRC-DRV-001",
        "family": "driver",
        "title": "Driver runs this CUDA runtime",
        "severity": "error",
        "question": "Is it?",
        "remedy": "Update it.",
        "source": "The guide",
        **change,
    }


def read(tmp_path: Path, *entries: Any) -> Any:
    path = tmp_path / "checks.json"
    path.write_text(json.dumps({"schema_version": 1, "checks": entries}), encoding="utf-8")
    return read_catalogue(path, "checks.json")


def test_the_bundled_catalogue_keeps_its_schema() -> None:
    schema = json.loads((DATA / "schema" / "checks.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads((DATA / "checks.json").read_text(encoding="utf-8")))


def test_the_bundled_catalogue_has_the_driver_check_with_all_its_words() -> None:
    check = load_catalogue()["TRC-DRV-001"]
    assert (check.family, check.severity) == ("driver", Severity.ERROR)
    assert check.question.endswith("?")
    assert check.remedy
    assert check.source


def test_checks_keep_their_order_and_cannot_be_changed(tmp_path: Path) -> None:
    checks = read(tmp_path, entry(id="TRC-ZZZ-002"), entry(since="0.2"))
    assert list(checks) == ["TRC-ZZZ-002", "TRC-DRV-001"]
    assert [check.since for check in checks.values()] == ["", "0.2"]
    with pytest.raises(TypeError):
        checks["TRC-ZZZ-003"] = checks["TRC-ZZZ-002"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry(), entry()], "checks[1].id: expected each id once, found 'TRC-DRV-001'"),
        ([entry(id="DRV-1")], "checks[0].id: expected an id like TRC-DRV-001, found 'DRV-1'"),
        ([entry(severity="fatal")], "checks[0].severity: expected one of error, warning, info, found 'fatal'"),
        ([entry(severity=["error"])], "checks[0].severity: expected one of error, warning, info, found ['error']"),
        ([entry(remedy="")], "checks[0].remedy: expected a text, found ''"),
        ([entry(cost=1)], "checks[0]: expected only the keys"),
        (["x"], "checks[0]: expected an object, found 'x'"),
    ],
)
def test_a_malformed_catalogue_is_one_line(tmp_path: Path, entries: list[Any], message: str) -> None:
    with pytest.raises(MatrixError) as caught:
        read(tmp_path, *entries)
    assert message in str(caught.value)
