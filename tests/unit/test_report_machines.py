"""Formats for machines: held to what their readers document, and to their limits whatever the report holds."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_trtcheck.model.finding import Severity, Verdict
from pytest_trtcheck.model.report import Location, Outcome, Reason, Result, RunReport, RunVerdict
from pytest_trtcheck.report.ctrf import render_ctrf
from pytest_trtcheck.report.formats import ALL, Renderer
from pytest_trtcheck.report.github import MAX_ANNOTATIONS, SUMMARY_BYTES, render_annotations, render_step_summary
from pytest_trtcheck.report.gitlab import render_gitlab
from pytest_trtcheck.report.problems import OWN_TEST, problems_of
from pytest_trtcheck.report.sarif import MAX_RESULTS, render_sarif
from pytest_trtcheck.report.short import TERMINATION_BYTES, nagios_status, render_nagios, render_termination
from tests.golden.sample import HOSTILE, MEGABYTE, sample_report

TEN_MEGABYTES = MEGABYTE * 10
HTML_ELEMENT = re.compile(r"<script>alert")


def clean_report() -> RunReport:
    """Return an accepted run with nothing to complain of."""
    base = sample_report()
    passed = tuple(result for result in base.results if result.outcome is Outcome.PASSED)
    compatible = tuple(
        entry for entry in base.findings if entry.verdict is Verdict.COMPATIBLE and entry.severity is Severity.INFO
    )
    return replace(
        base,
        findings=compatible,
        results=passed,
        verdict=RunVerdict.ACCEPTED,
        verdict_reasons=("fine",),
        exit_status=0,
        difference=None,
    )


def failing(count: int, text: str = "") -> RunReport:
    """Return a report with many failed checks."""
    results = tuple(
        Result(
            f"TRC-ATT-001-{number}", "TRC-ATT-001", "attention", "n", Outcome.FAILED, message=text or "off", text=text
        )
        for number in range(count)
    )
    return replace(sample_report(), results=results, findings=(), difference=None)


def hostile_report() -> RunReport:
    """Return a report whose every text is hostile, and some of ten megabytes."""
    base = sample_report()
    results = tuple(
        replace(
            result,
            name=f"{index}{HOSTILE}",
            suite=HOSTILE,
            message=TEN_MEGABYTES if index == 5 else HOSTILE,
            text=HOSTILE,
        )
        for index, result in enumerate(base.results)
    )
    return replace(
        base,
        results=(replace(results[0], text=TEN_MEGABYTES), *results[1:]),
        profile=HOSTILE,
        level=HOSTILE,
        started=HOSTILE,
        tool_version=HOSTILE,
        verdict_reasons=(HOSTILE, TEN_MEGABYTES),
        not_looked_at=(TEN_MEGABYTES,),
        stack=replace(base.stack, name=HOSTILE, kind=HOSTILE),
    )


@pytest.mark.parametrize("renderer", ALL, ids=lambda renderer: renderer.name)
def test_hostile_report_becomes_text_of_bounded_size(renderer: Renderer) -> None:
    rendered = renderer.render(hostile_report())
    rendered.encode()
    assert len(rendered) < 4_000_000
    # No format lets through what a terminal or a viewer obeys.
    assert re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u200b\ud800-\udfff\ufffe]", rendered) is None
    if renderer.name in {"html", "junit"}:
        assert HTML_ELEMENT.search(rendered) is None
    if renderer.file_name.endswith((".json", ".sarif")):
        json.loads(rendered)
    if renderer.name in {"nagios"}:
        assert rendered.count("\n") == 1


# SARIF


def sarif_run(report: RunReport) -> dict[str, Any]:
    document = json.loads(render_sarif(report))
    assert (document["version"], len(document["runs"])) == ("2.1.0", 1)
    run: dict[str, Any] = document["runs"][0]
    return run


def test_sarif_results_and_rules_belong_together() -> None:
    run = sarif_run(sample_report())
    rules = run["tool"]["driver"]["rules"]
    identities = [rule["id"] for rule in rules]
    assert len(set(identities)) == len(identities)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note"}
        assert result["message"]["text"]
    for rule in rules:
        assert rule["shortDescription"]["text"]
        assert "Remedy: " in rule["help"]["text"]
        assert 1 <= len(rule["properties"]["tags"]) <= 10


def test_sarif_tells_each_problem_once_and_the_worst_first() -> None:
    run = sarif_run(sample_report())
    problems = [result for result in run["results"] if "suppressions" not in result]
    assert len(problems) == len(problems_of(sample_report())) == 11
    levels = [result["level"] for result in problems]
    assert levels == sorted(levels, key=["error", "warning", "note"].index)
    assert run["results"][0]["ruleId"] == "TRC-DRV-001"
    assert "apt-get install" in run["results"][0]["message"]["text"]


def test_sarif_tells_waived_failures_as_suppressed() -> None:
    results = sarif_run(sample_report())["results"]
    first, _ = (result for result in results if "suppressions" in result)
    assert (first["ruleId"], first["suppressions"][0]["kind"]) == ("TRC-ATT-002", "external")
    assert "serving@example.org, until 2026-12-31" in first["suppressions"][0]["justification"]


def test_sarif_rule_takes_its_words_from_the_catalogue_where_it_has_it() -> None:
    (rule,) = (rule for rule in sarif_run(sample_report())["tool"]["driver"]["rules"] if rule["id"] == "TRC-ATT-002")
    assert rule["shortDescription"]["text"] == "Attention matches the reference"
    assert rule["helpUri"] == "https://example.org/attention"
    assert "Remedy: Run the case alone" in rule["help"]["text"]


def test_sarif_fingerprints_are_unique_and_do_not_follow_the_line() -> None:
    def prints(report: RunReport) -> list[str]:
        return [result["partialFingerprints"]["primaryLocationLineHash"] for result in sarif_run(report)["results"]]

    moved = tuple(replace(place, line=place.line + 40) for place in sample_report().locations)
    before, after = prints(sample_report()), prints(replace(sample_report(), locations=moved, started="2027-01-01"))
    assert before == after
    assert len(set(before)) == len(before)


def test_sarif_location_is_the_line_of_the_component_at_fault_else_the_file() -> None:
    places = (Location("", "docker/a b.Dockerfile", 1), Location("cudnn", "docker/a b.Dockerfile", 9))
    results = sarif_run(replace(sample_report(), locations=places))["results"]
    lines = {entry["ruleId"]: entry["locations"][0]["physicalLocation"]["region"]["startLine"] for entry in results}
    assert (lines["TRC-DNN-002"], lines["TRC-DRV-001"], lines["TRC-ATT-003"]) == (9, 1, 1)
    uri = results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "docker/a%20b.Dockerfile"


def test_sarif_without_a_file_has_logical_locations_only() -> None:
    for result in sarif_run(replace(sample_report(), locations=()))["results"]:
        (location,) = result["locations"]
        assert list(location) == ["logicalLocations"]


def test_sarif_stays_within_what_github_takes() -> None:
    run = sarif_run(failing(MAX_RESULTS + 5))
    assert len(run["results"]) == MAX_RESULTS
    assert len(run["tool"]["driver"]["rules"]) == 1


def test_own_test_of_the_site_has_a_rule_of_its_own() -> None:
    own = Result("tests/test_a.py::test_a", "", "tests", "n", Outcome.FAILED, message="no")
    (result,) = sarif_run(replace(sample_report(), results=(own,), findings=(), difference=None))["results"]
    assert result["ruleId"] == OWN_TEST


# CTRF


def test_ctrf_counts_agree_with_its_tests() -> None:
    document = json.loads(render_ctrf(sample_report()))
    assert (document["reportFormat"], document["results"]["tool"]["name"]) == ("CTRF", "pytest-trtcheck")
    summary, tests = document["results"]["summary"], document["results"]["tests"]
    counts = Counter(test["status"] for test in tests)
    assert summary["tests"] == len(tests) == len(sample_report().results)
    for status in ("passed", "failed", "skipped", "pending", "other"):
        assert summary[status] == counts[status]
    assert summary["stop"] - summary["start"] == 14500
    assert {test["rawStatus"] for test in tests} == {"waived", *(outcome.value for outcome in Outcome)}


def test_ctrf_numbers_are_whole_and_reasons_are_told() -> None:
    for test in json.loads(render_ctrf(sample_report()))["results"]["tests"]:
        assert all(isinstance(test[key], int) for key in ("duration", "start", "stop") if key in test)
        if test["status"] == "skipped":
            assert test["message"].startswith(f"{test['extra']['reason']}: ")


def test_ctrf_carries_what_was_measured() -> None:
    tests = json.loads(render_ctrf(sample_report()))["results"]["tests"]
    (measured,) = (test["extra"]["measurements"] for test in tests if test["name"] == "TRC-ATT-002-bf16-hd128")
    assert {"name": "near_ties", "value": 2.0, "unit": "tokens"} in measured
    assert any(figure.get("axis") == "batch size" for figure in measured)


# GitLab


def test_gitlab_entries_have_all_that_gitlab_asks_for() -> None:
    entries = json.loads(render_gitlab(sample_report()))
    assert len(entries) == len({entry["fingerprint"] for entry in entries}) == 11
    for entry in entries:
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in {"info", "minor", "major", "critical", "blocker"}
        assert entry["location"]["lines"]["begin"] >= 1
        assert not entry["location"]["path"].startswith(("/", "./"))
    assert {entry["severity"] for entry in entries if entry["check_name"] == "TRC-ATT-003"} == {"blocker"}


def test_gitlab_entry_without_a_file_has_a_path_all_the_same() -> None:
    entries = json.loads(render_gitlab(replace(sample_report(), locations=())))
    assert {entry["location"]["path"] for entry in entries} == {"TEST-trtcheck.xml"}


def test_clean_run_gives_gitlab_an_empty_list() -> None:
    assert json.loads(render_gitlab(clean_report())) == []


# GitHub


@pytest.mark.parametrize("room", [SUMMARY_BYTES, 20_000, 2_000, 300, 40, 5, 0])
def test_step_summary_stays_within_its_room(room: int) -> None:
    many = replace(hostile_report(), table=sample_report().table * 3000)
    for report in (many, sample_report()):
        summary = render_step_summary(report, room)
        assert len(summary.encode()) < max(room, 1)
    if room >= 2_000:
        assert "trtcheck: rejected" in summary


def test_step_summary_names_what_it_leaves_out() -> None:
    many = replace(sample_report(), table=sample_report().table * 3000)
    assert "1 sections were left out here" in render_step_summary(many)
    assert "left out here" not in render_step_summary(sample_report())


def test_annotations_are_ten_at_most_and_say_how_many_more() -> None:
    lines = render_annotations(failing(500)).splitlines()
    assert len(lines) == MAX_ANNOTATIONS
    assert lines[-1] == "::error title=trtcheck::491 more problems; the step summary and report.html list them"
    assert len(render_annotations(failing(10)).splitlines()) == 10
    assert render_annotations(clean_report()) == ""


def test_annotation_holds_one_command_whatever_its_text() -> None:
    nasty = "50% off: a,b\r\n::error::forged\n::add-mask::x"
    problem = failing(1, nasty)
    place = (Location("", "a:b,c.txt", 0),)
    (line,) = render_annotations(replace(problem, locations=place)).splitlines()
    assert line.startswith("::error file=a%3Ab%2Cc.txt,line=1,title=TRC-ATT-001%3A A check failed::")
    assert "50%25 off: a,b ::error::forged" in line


# Nagios and Kubernetes


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({}, 2, "CRITICAL"),
        ({"verdict": RunVerdict.INCONCLUSIVE, "exit_status": 10}, 3, "UNKNOWN"),
        ({"exit_status": 2}, 3, "UNKNOWN"),
        ({"verdict": RunVerdict.ACCEPTED, "exit_status": 0}, 1, "WARNING"),
    ],
)
def test_nagios_status_and_word_agree(changes: dict[str, Any], status: int, word: str) -> None:
    report = replace(sample_report(), **changes)
    assert nagios_status(report) == status
    assert render_nagios(report).startswith(f"TRTCHECK {word} - {report.verdict.value}: ")


def test_clean_run_is_ok_to_nagios() -> None:
    assert nagios_status(clean_report()) == 0
    assert render_nagios(clean_report()).startswith("TRTCHECK OK - accepted: fine | passed=")


def test_nagios_line_has_one_bar_and_performance_data_after_it() -> None:
    line = render_nagios(replace(sample_report(), verdict_reasons=(f"a|b {HOSTILE}",)))
    words, bar, data = line.partition(" | ")
    assert bar
    assert "|" not in words
    assert re.fullmatch(r"(\w+=\d+(\.\d+)?s? ?)+\n", data)


def test_nagios_tells_why_a_run_without_reasons_ended_so() -> None:
    assert " - rejected: 26 checks | " in render_nagios(replace(sample_report(), verdict_reasons=()))


def test_termination_message_fits_and_ends_with_a_whole_line() -> None:
    for report in (sample_report(), hostile_report(), failing(500, HOSTILE)):
        message = render_termination(report)
        assert len(message.encode()) <= TERMINATION_BYTES
        assert message.startswith("trtcheck: rejected (exit status 1)\n")
        assert message.endswith("\n")


# The list they share


def test_check_that_a_finding_tells_of_is_not_told_twice() -> None:
    keys = [problem.key for problem in problems_of(sample_report())]
    assert len(set(keys)) == len(keys)


def test_undecided_and_left_out_checks_are_no_problem() -> None:
    result = Result("a", "TRC-ATT-001", "attention", "n", Outcome.NOT_RUN, Reason.LEVEL)
    assert problems_of(replace(sample_report(), results=(result,), findings=(), difference=None)) == []


def test_formats_are_written_for_the_golden_report() -> None:
    expected = Path(__file__).parents[1] / "golden" / "expected"
    assert {renderer.file_name for renderer in ALL} <= {path.name for path in expected.iterdir()}
