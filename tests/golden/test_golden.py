"""One report, every format, compared with the files that were looked at when they were made."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from pytest_trtcheck.model.report import Outcome, Reason, Result, RunReport
from pytest_trtcheck.report.formats import ALL, DEFAULT, Renderer
from pytest_trtcheck.report.json_report import from_json, to_json
from pytest_trtcheck.report.terminal import render_terminal
from tests.golden.sample import STARTED, sample_report

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "reports" / "report.schema.v3.json"
HERE = Path(__file__).parent

Golden = Callable[[str, str], None]


@pytest.mark.parametrize("renderer", ALL, ids=lambda renderer: renderer.name)
def test_written_format_is_as_looked_at(renderer: Renderer, golden: Golden) -> None:
    golden(renderer.file_name, renderer.render(sample_report()))


@pytest.mark.parametrize(
    ("width", "verbosity", "color"),
    [(80, 0, False), (120, 0, False), (120, 1, False), (80, -1, False), (100, 0, True)],
    ids=["80", "120", "120-verbose", "80-quiet", "100-color"],
)
def test_terminal_is_as_looked_at(
    width: int, verbosity: int, color: bool, golden: Golden, request: pytest.FixtureRequest
) -> None:
    files = [Path("/out/trtcheck-report") / renderer.file_name for renderer in DEFAULT]
    lines = render_terminal(sample_report(), width=width, color=color, verbosity=verbosity, files=files)
    variant = request.node.callspec.id
    golden(f"terminal-{variant}.txt", "\n".join([*lines, ""]))


def test_sample_holds_every_outcome_and_reason() -> None:
    report = sample_report()
    assert {result.outcome for result in report.results} == set(Outcome)
    assert {result.reason for result in report.results} == {*Reason, None}


def test_golden_json_validates_against_the_published_schema() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    document = json.loads((HERE / "expected" / "report.json").read_text(encoding="utf-8"))
    assert list(validator.iter_errors(document)) == []
    document["results"][0]["outcome"] = "green"
    assert [error.json_path for error in validator.iter_errors(document)] == ["$.results[0].outcome"]


def test_published_schema_is_what_the_model_says() -> None:
    command = [sys.executable, str(ROOT / "reports" / "make_schema.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_golden_json_reads_back_and_is_written_the_same() -> None:
    text = (HERE / "expected" / "report.json").read_bytes().decode()
    assert to_json(from_json(text)) == text


@pytest.mark.parametrize("version", [1, 2])
def test_older_schema_versions_keep_being_read(version: int) -> None:
    text = (HERE / f"report-schema-{version}.json").read_text(encoding="utf-8")
    schema = json.loads(SCHEMA.with_name(f"report.schema.v{version}.json").read_text(encoding="utf-8"))
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(json.loads(text))) == []
    report = from_json(text)
    assert (json.loads(text)["schema_version"], report.schema_version) == (version, 3)
    assert report.findings[0].key == "TRC-DRV-001-torch"
    assert Reason.NO_GPU in {result.reason for result in report.results}
    assert (report.waivers, report.difference, report.merged) == ((), None, ())


def test_all_files_of_a_large_report_are_rendered_within_seconds() -> None:
    """About a second on a machine that does nothing else; see ``python -m bench.reports``."""
    report = large_report(2000)
    started = time.perf_counter()
    for renderer in ALL:
        renderer.render(report)
    assert time.perf_counter() - started < 6


def large_report(count: int) -> RunReport:
    """Return a report with many ordinary results."""
    base = sample_report()
    results = tuple(
        Result(f"TRC-ATT-{index:03}-bf16", f"TRC-ATT-{index:03}", "attention", "node", Outcome.PASSED, started=STARTED)
        for index in range(count)
    )
    return replace(base, results=results, findings=base.findings[:5], verdict_reasons=base.verdict_reasons[:2])
