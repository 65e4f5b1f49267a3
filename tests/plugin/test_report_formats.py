"""Formats, masking and deliveries of whole runs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_trtcheck.model.report import RunReport
from pytest_trtcheck.report.formats import ALL
from pytest_trtcheck.report.github import SUMMARY_BYTES
from pytest_trtcheck.session.deliver import annotation_lines, deliver
from tests.docs.example import rejected_stack
from tests.golden.sample import sample_report
from tests.plugin.conftest import Trtcheck
from tests.stacks import gpu

STATIC = "--trtcheck-level=static"
UUID = "GPU-b3433350-8343-68b7-4124-9b6586e1307a"
DOCKERFILE = """\
# torch is chosen below
FROM nvcr.io/nvidia/cuda:13.0.0-devel AS build
RUN pip install \\
    torch==2.9.0 \\
    tensorrt-llm==1.1.0
FROM build
"""


def rejected(trtcheck: Trtcheck) -> Trtcheck:
    """Let the next runs judge a stack that is rejected, on a machine with a name and a secret."""
    base = rejected_stack()
    driver = replace(
        base.facts["driver"], where="/home/carol/driver on node-77.example", reason="NGC_API_KEY=hush-hush"
    )
    trtcheck.judge(replace(base, facts={**base.facts, "driver": driver}, gpus=(gpu(uuid=UUID),)))
    return trtcheck


def told(trtcheck: Trtcheck) -> str:
    """Return all that a run left in its folder."""
    return "\n".join(path.read_text() for path in sorted(trtcheck.report_folder.iterdir()))


def test_default_formats_are_written_and_all_on_request(trtcheck: Trtcheck) -> None:
    rejected(trtcheck).run(STATIC)
    names = {path.name for path in trtcheck.report_folder.iterdir()}
    assert names == {"journal.jsonl", "report.json", "report.md", "report.html", "TEST-trtcheck.xml"}
    trtcheck.run(STATIC, "--trtcheck-format=all")
    names = {path.name for path in trtcheck.report_folder.iterdir()}
    assert names == {"journal.jsonl", *(renderer.file_name for renderer in ALL)}
    trtcheck.run(STATIC, "--trtcheck-format=sarif")
    names = {path.name for path in trtcheck.report_folder.iterdir()}
    assert names == {"journal.jsonl", "report.json", "report.sarif"}, "files of an earlier run stay"


def test_names_and_secrets_are_masked_in_every_file_and_on_the_screen(
    trtcheck: Trtcheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOSTNAME", "node-77")
    monkeypatch.setenv("USER", "carol")
    result = rejected(trtcheck).run(STATIC, "--trtcheck-format=all", "-vv")
    for name in ("carol", "node-77", "hush-hush", "b3433350"):
        assert name not in told(trtcheck)
        assert name not in result.stdout.str()
    assert "/home/<user>/driver on <host>" in told(trtcheck)
    assert trtcheck.report["redacted"] is True


def test_no_redact_without_trtcheck_is_refused(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--trtcheck-no-redact")
    assert result.ret == 4
    assert "--trtcheck-no-redact has no effect without --trtcheck" in result.stderr.str()


def test_no_redact_leaves_names_in_and_masking_changes_no_verdict_and_no_finding(trtcheck: Trtcheck) -> None:
    rejected(trtcheck).run(STATIC, "--trtcheck-no-redact")
    plain = trtcheck.report
    for name in ("carol", "node-77", "hush-hush", "b3433350"):
        assert name in told(trtcheck)
    assert plain["redacted"] is False
    trtcheck.run(STATIC)
    masked = trtcheck.report
    assert (plain["verdict"], plain["verdict_reasons"]) == (masked["verdict"], masked["verdict_reasons"])
    assert [entry["id"] for entry in plain["findings"]] == [entry["id"] for entry in masked["findings"]]
    # The report of a killed run is made from a masked journal.
    (trtcheck.report_folder / "report.json").unlink()
    render(trtcheck)
    assert [entry["id"] for entry in trtcheck.report["findings"]] == [entry["id"] for entry in masked["findings"]]


def render(trtcheck: Trtcheck, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest_trtcheck", "render", str(trtcheck.report_folder), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_source_gives_problems_their_lines(trtcheck: Trtcheck) -> None:
    repository = trtcheck.pytester.path
    (repository / ".git").mkdir()
    (repository / "docker").mkdir()
    (repository / "docker" / "Dockerfile").write_text(DOCKERFILE)
    rejected(trtcheck).run(STATIC, "--trtcheck-format=sarif", "--trtcheck-source=docker/Dockerfile")
    lines = {place["component"]: place["line"] for place in trtcheck.report["locations"]}
    assert lines == {"": 6, "torch": 4, "tensorrt_llm": 5}
    sarif = json.loads((trtcheck.report_folder / "report.sarif").read_text())
    (place,) = sarif["runs"][0]["results"][0]["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "docker/Dockerfile"


def test_render_prints_one_format_and_nagios_has_its_own_status(trtcheck: Trtcheck) -> None:
    rejected(trtcheck).run(STATIC)
    before = {path.name for path in trtcheck.report_folder.iterdir()}
    done = render(trtcheck, "--print", "nagios")
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("TRTCHECK CRITICAL - rejected: ")
    done = render(trtcheck, "--print", "ctrf")
    assert done.returncode == 1
    assert json.loads(done.stdout)["reportFormat"] == "CTRF"
    assert {path.name for path in trtcheck.report_folder.iterdir()} == before


def test_render_writes_the_formats_that_are_asked_for(trtcheck: Trtcheck) -> None:
    rejected(trtcheck).run(STATIC)
    assert render(trtcheck, "--format", "sarif,gitlab").returncode == 1
    assert (trtcheck.report_folder / "gl-code-quality-report.json").is_file()
    done = render(trtcheck, "--format", "pdf")
    assert done.returncode == 4
    assert done.stderr.startswith("pytest-trtcheck: --format: expected a list of json, ")
    assert done.stderr.count("\n") == 1


def test_step_summary_is_appended_and_annotations_are_printed(
    trtcheck: Trtcheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = trtcheck.pytester.path / "summary.md"
    summary.write_text("# Before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    result = rejected(trtcheck).run(STATIC)
    text = summary.read_text()
    assert text.startswith("# Before\n\n# ❌ trtcheck: rejected\n")
    commands = [line for line in result.stdout.lines if line.startswith("::")]
    assert commands[0].startswith("::error title=TRC-DRV-001%3A ")
    assert len(commands) <= 10


def test_outside_of_github_nothing_is_annotated() -> None:
    assert annotation_lines(sample_report(), {}) == []


def test_full_summary_is_told_and_left_alone(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_bytes(b"x" * (SUMMARY_BYTES - 30_000))
    assert deliver(sample_report(), {"GITHUB_STEP_SUMMARY": str(summary)}) == []
    assert SUMMARY_BYTES - 25_000 < summary.stat().st_size < SUMMARY_BYTES
    summary.write_bytes(b"x" * SUMMARY_BYTES)
    (words,) = deliver(sample_report(), {"GITHUB_STEP_SUMMARY": str(summary)})
    assert words == f"GITHUB_STEP_SUMMARY {summary}: already holds 1 MiB; the summary is not written"
    assert summary.stat().st_size == SUMMARY_BYTES


def test_summary_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (words,) = deliver(sample_report(), {"GITHUB_STEP_SUMMARY": str(tmp_path)})
    assert words == f"GITHUB_STEP_SUMMARY {tmp_path}: Is a directory; the summary is not written"


@pytest.mark.parametrize("report", [sample_report()])
def test_last_words_go_to_the_termination_log_of_a_container(tmp_path: Path, report: RunReport) -> None:
    log = tmp_path / "termination-log"
    assert deliver(report, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, log) == []
    assert not log.exists(), "outside of a container of Kubernetes the file is not made"
    log.write_text("older " * 2000)
    assert deliver(report, {}, log) == []
    assert log.read_text().startswith("older")
    assert deliver(report, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, log) == []
    assert log.read_text().startswith("trtcheck: rejected (exit status 1)\n")
    assert log.stat().st_size <= 4096
