"""Many reports: found, merged into a matrix or into one run, and told where they cannot be."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_trtcheck.cli import main
from pytest_trtcheck.comparison import sheet as sheets
from pytest_trtcheck.comparison.shards import merge_shards
from pytest_trtcheck.comparison.sources import find_sources, short_names
from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.model.compatibility import Compatibility
from pytest_trtcheck.model.report import Isolation, Reason, RunVerdict, SupportCell
from pytest_trtcheck.report.html.matrix import render_matrix_html
from pytest_trtcheck.report.json_report import read_report, to_json
from pytest_trtcheck.report.matrix_text import matrix_from_json, render_matrix_junit, render_matrix_markdown
from pytest_trtcheck.report.redact import masker_of
from pytest_trtcheck.rules.catalogue import load_catalogue
from pytest_trtcheck.rules.profiles import load_profile
from tests.golden.sample import HOSTILE
from tests.reports import report, result, write
from tests.stacks import stack
from tests.unit.test_report_html import Page

H200 = stack(torch="2.13.0", driver="580.65.06", gpu="NVIDIA H200")
OLD = stack(torch="2.9.0", driver="570.1", gpu="NVIDIA H200")


def merge(*arguments: object) -> int:
    return main(["merge", *map(str, arguments)])


def matrix_in(folder: Path) -> Compatibility:
    return matrix_from_json((folder / "compatibility.json").read_text(encoding="utf-8"))


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the one line in which a command refuses its input."""
    capsys.readouterr()
    assert main(list(map(str, arguments))) == 4
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    return told.err.removeprefix("pytest-trtcheck: ").strip()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two reports of one stack that complete each other and disagree on ``c``, and one of another stack."""
    write(tmp_path, "runs/a", report(H200, ended={"a": "passed", "b": "filtered", "c": "passed", "d": "passed"}))
    write(
        tmp_path,
        "runs/b",
        report(H200, started="2026-11-20T11:00:00+00:00", ended={"a": "filtered", "b": "passed", "c": "failed"}),
    )
    cell = SupportCell("attention", "torch_flash", "bf16", "fails", failed=1, words="off")
    write(tmp_path, "runs/c", report(OLD, ended={"a": "error", "b": "passed", "e": "level"}, support=(cell,)))
    return tmp_path / "runs"


def test_stacks_are_columns_and_reports_of_one_stack_complete_each_other(runs: Path, tmp_path: Path) -> None:
    assert merge(runs, "--into", tmp_path / "out") == 1
    matrix = matrix_in(tmp_path / "out")
    assert [column.reports for column in matrix.columns] == [("a", "b"), ("c",)]
    assert [column.name for column in matrix.columns] == [
        "NVIDIA driver 580.65.06, PyTorch 2.13.0",
        "NVIDIA driver 570.1, PyTorch 2.9.0",
    ]
    rows = {row.name.removeprefix("TRC-ATT-001-"): row.states for row in matrix.checks}
    assert rows == {
        "a": ("passed", "error"),
        "b": ("passed", "passed"),
        "c": ("conflict", ""),
        "d": ("passed", ""),
        "e": ("", "not_run"),
    }
    (suite,) = matrix.suites
    assert (suite.states, suite.notes[0].words) == (("conflict", "error"), "1 conflict, 3 passed, 1 without an answer")
    (feature,) = matrix.features
    assert (feature.provider, feature.name, feature.states) == ("torch_flash", "bf16", ("", "failed"))


def test_conflicts_and_gaps_are_told_by_name(runs: Path, tmp_path: Path) -> None:
    merge(runs, "--into", tmp_path / "out")
    matrix = matrix_in(tmp_path / "out")
    (conflict,) = matrix.conflicts
    assert (conflict.column, conflict.name) == (0, "TRC-ATT-001-c")
    assert conflict.told == ("a: passed", "b: failed: c failed")
    assert [(gap.column, gap.reason, gap.checks) for gap in matrix.gaps] == [
        (1, "not planned", ("TRC-ATT-001-c", "TRC-ATT-001-d"))
    ]
    assert matrix.verdict is RunVerdict.REJECTED


def test_facts_by_which_stacks_are_told_apart_can_be_chosen(runs: Path, tmp_path: Path) -> None:
    merge(runs, "--into", tmp_path / "out", "--by", "gpu")
    (column,) = matrix_in(tmp_path / "out").columns
    assert (column.name, len(column.reports)) == ("NVIDIA H200", 3)


def test_every_format_tells_the_same(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    merge(runs, "--into", out)
    matrix = matrix_in(out)
    markdown = (out / "compatibility.md").read_text(encoding="utf-8")
    page = Page((out / "compatibility.html").read_text(encoding="utf-8"))
    root = ET.parse(out / "TEST-trtcheck-matrix.xml").getroot()
    assert (page.faults, page.open) == ([], [])
    for words in (column.name for column in matrix.columns):
        assert words in markdown
        assert words in " ".join(page.texts)
    assert "≠" in markdown
    assert "a: passed; b: failed: c failed" in markdown
    assert [suite.get("name") for suite in root] == [column.name for column in matrix.columns]
    assert [
        (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) for suite in root
    ] == [
        ("5", "1", "0", "1"),
        ("5", "0", "1", "3"),
    ]
    identities = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(set(identities)) == len(identities) == 10


def test_junit_of_a_matrix_is_read_by_junitparser(runs: Path, tmp_path: Path) -> None:
    import junitparser.xunit2

    merge(runs, "--into", tmp_path / "out")
    xml = junitparser.xunit2.JUnitXml.fromstring((tmp_path / "out" / "TEST-trtcheck-matrix.xml").read_bytes())
    assert (xml.tests, xml.failures, xml.errors) == (10, 1, 1)
    assert [suite.skipped for suite in xml] == [1, 3]


def test_json_of_a_matrix_validates_and_reads_back(runs: Path, tmp_path: Path) -> None:
    merge(runs, "--into", tmp_path / "out")
    text = (tmp_path / "out" / "compatibility.json").read_text(encoding="utf-8")
    schema = json.loads(Path("reports/compatibility.schema.v1.json").read_text(encoding="utf-8"))
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(json.loads(text))) == []
    with pytest.raises(Exception, match=r"^compatibility matrix: expected schema_version 1, found 9$"):
        matrix_from_json('{"schema_version": 9}')


def test_hostile_reports_become_text(tmp_path: Path) -> None:
    results = tuple(replace(result(str(index), "failed", message=HOSTILE), name=HOSTILE + str(index), suite=HOSTILE)
                    for index in range(3))  # fmt: skip
    support = (SupportCell(HOSTILE, HOSTILE, HOSTILE, "refused", words=HOSTILE),)
    for number, hostile in enumerate((stack(torch=HOSTILE), stack(driver=HOSTILE))):
        write(
            tmp_path,
            f"runs/{number}",
            report(hostile, results=results, support=support, verdict_reasons=(HOSTILE,), seconds=number),
        )
    assert merge(tmp_path / "runs", "--into", tmp_path / "out") == 1
    page = Page((tmp_path / "out" / "compatibility.html").read_text(encoding="utf-8"))
    assert (len(page.having("script")), page.faults) == (1, [])
    markdown = (tmp_path / "out" / "compatibility.md").read_text(encoding="utf-8")
    assert not re.search(r"<script>", re.sub(r"(`+).*?\1", "", markdown))
    assert "\x1b" not in markdown
    ET.parse(tmp_path / "out" / "TEST-trtcheck-matrix.xml")


def test_wide_and_long_matrices_stay_readable_and_say_what_they_leave_out(tmp_path: Path) -> None:
    builder_rows = {str(number): "passed" for number in range(200)}
    for number in range(100):
        write(tmp_path, f"runs/{number:03}", report(stack(driver=f"580.{number}"), ended=builder_rows, seconds=number))
    merge(tmp_path / "runs", "--into", tmp_path / "out", "--jobs", "1")
    matrix = matrix_in(tmp_path / "out")
    assert len(matrix.columns) == 100
    markdown = render_matrix_markdown(matrix)
    assert "Left out here: 140 rows and 85 stacks" in markdown
    assert len(render_matrix_html(matrix).encode()) < 5_000_000
    assert "and 20 more in compatibility.json" in render_matrix_html(matrix)
    assert render_matrix_junit(matrix).count("<testcase ") == 20_000


def test_rows_and_formats_can_be_chosen(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    merge(runs, "--into", tmp_path / "out", "--rows", "suites", "--format", "markdown")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"compatibility.md"}
    assert "## Checks" not in (tmp_path / "out" / "compatibility.md").read_text(encoding="utf-8")
    assert "--rows: expected a list of suites, features, checks, found 'tests'" in refused(
        capsys, "merge", runs, "--rows", "tests"
    )


def test_many_reports_are_read_in_several_processes(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "PARALLEL_FROM", 2)
    merge(runs, "--into", tmp_path / "many", "--jobs", "2")
    merge(runs, "--into", tmp_path / "one", "--jobs", "1")
    assert matrix_in(tmp_path / "many") == matrix_in(tmp_path / "one")


# Sources.


def test_files_folders_and_globs_lead_to_each_report_once(runs: Path) -> None:
    names = ["a", "b", "c"]
    for inputs in (
        [str(runs)],
        [str(runs / "*")],
        [str(runs / "**" / "report.json")],
        [str(runs / name / "report.json") for name in names],
        [str(runs), str(runs)],
    ):
        assert [source.name for source in find_sources(inputs)] == names, inputs
    (runs / "a" / "ctrf-report.json").write_text("{}")
    assert len(find_sources([str(runs / "*" / "*.json")])) == 3


def test_run_that_was_killed_is_merged_from_its_journal(runs: Path) -> None:
    (runs / "d").mkdir()
    (runs / "d" / "journal.jsonl").write_text("{}\n")
    assert [source.place for source in find_sources([str(runs)])][-1] == str(runs / "d")


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (["/x/runs/a/report.json"], ["a"]),
        (["/x/runs/a1/report.json", "/x/runs/a2/report.json"], ["a1", "a2"]),
        (["s3://b/runs/a.json", "s3://b/other/a.json"], ["runs/a.json", "other/a.json"]),
        (["a/report.json", "b/report.json"], ["a", "b"]),
    ],
)
def test_reports_are_named_by_where_they_differ(places: list[str], names: list[str]) -> None:
    assert short_names(places) == names


def test_places_are_masked_before_they_are_shortened(runs: Path) -> None:
    def mask(place: str) -> str:
        return place.replace(str(runs), "/home/<user>")

    assert [source.name for source in find_sources([str(runs)], mask)] == ["a", "b", "c"]
    places = ["/home/carol/one/report.json", "/home/dave/two/report.json"]
    assert short_names(list(map(masker_of(False), places))) == ["one", "two"]
    assert short_names(list(map(masker_of(False), [places[0], "/data/two/report.json"]))) == [
        "home/<user>/one", "data/two",
    ]  # fmt: skip


def test_reports_behind_an_address_are_found_and_read(runs: Path, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    for name in ("a", "b", "c"):
        store.pipe(f"/bucket/runs/{name}/report.json", (runs / name / "report.json").read_bytes())
    try:
        for address in ("memory://bucket/runs", "memory://bucket/runs/*/report.json"):
            assert merge(address, "--into", tmp_path / "out") == 1
            assert [column.reports for column in matrix_in(tmp_path / "out").columns] == [("a", "b"), ("c",)]
        with pytest.raises(
            OptionError, match=r"^memory://bucket/none: expected report.json there or below, found none$"
        ):
            find_sources(["memory://bucket/none"])
        with pytest.raises(
            OptionError, match=r"^nosuch://x: cannot be listed \(ValueError: Protocol not known: nosuch\)$"
        ):
            find_sources(["nosuch://x"])
    finally:
        store.rm("/bucket", recursive=True)


def test_address_without_fsspec_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(OptionError, match=r"^s3://bucket/runs: expected fsspec, .* found none: pip install fsspec"):
        find_sources(["s3://bucket/runs"])


# What cannot be merged.


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('{"schema_version": 2, "tool_', "expected JSON, found 'Unterminated string"),
        ('{"reportFormat": "CTRF"}', "expected a whole number from 1 to 3, found null; name a report.json that pytest"),
        ('{"schema_version": 9}', "expected at most 3, found 9; a newer pytest-trtcheck wrote this report"),
        ("", "expected JSON"),
    ],
    ids=["cut_short", "other_tool", "newer", "empty"],
)
def test_report_that_cannot_be_read_ends_the_merge_with_its_name_and_nothing_written(
    runs: Path, tmp_path: Path, data: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = runs / "b" / "report.json"
    bad.write_text(data)
    told = refused(capsys, "merge", runs, "--into", tmp_path / "out")
    assert told.startswith(f"{bad}: ")
    assert words in told
    assert told.endswith("--skip-unreadable merges the others and says so")
    assert not (tmp_path / "out").exists()
    assert merge(runs, "--into", tmp_path / "out", "--skip-unreadable") == 1
    (line,) = matrix_in(tmp_path / "out").left_out
    assert words in line


def test_what_was_left_out_keeps_a_matrix_from_being_accepted(tmp_path: Path) -> None:
    write(tmp_path, "runs/a", report(ended={"a": "passed"}))
    assert merge(tmp_path / "runs", "--into", tmp_path / "out") == 0
    write(tmp_path, "runs/b", report(ended={"a": "passed"})).write_text("{")
    assert merge(tmp_path / "runs", "--into", tmp_path / "out", "--skip-unreadable") == 10


def test_empty_folder_missing_file_and_idle_glob_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert "expected report.json in this folder or below it, found none" in refused(capsys, "merge", tmp_path / "empty")
    assert "found no such file" in refused(capsys, "merge", tmp_path / "absent")
    assert "found none that matches" in refused(capsys, "merge", tmp_path / "x*")


def test_mixed_schema_versions_are_merged(runs: Path, tmp_path: Path) -> None:
    older = Path(__file__).parents[1] / "golden" / "report-schema-1.json"
    assert merge(runs, older, "--into", tmp_path / "out") == 1
    assert len(matrix_in(tmp_path / "out").columns) == 3


def test_second_copy_of_a_report_is_told_and_not_counted(runs: Path, tmp_path: Path) -> None:
    stored = read_report(runs / "a" / "report.json").report
    write(tmp_path, "runs/z", replace(stored, redacted=False, verdict_reasons=("masked otherwise",)))
    merge(runs, "--into", tmp_path / "out")
    matrix = matrix_in(tmp_path / "out")
    assert matrix.left_out == ("z: the same report as a",)
    assert matrix.columns[0].reports == ("a", "b")


TELLING = "token hf_AbCdEfGhIjKlMnOpQr in /home/carol on GPU-b3433350-0f0e-4d0c-8b0a-123456789abc"
TOLD = ("hf_AbCdEf", "carol", "b3433350")


@pytest.mark.parametrize("options", [(), ("--shards",)], ids=["stacks", "shards"])
def test_names_and_secrets_of_unmasked_reports_are_masked_in_every_file_and_on_the_screen(
    tmp_path: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for number, ended in enumerate(("failed", "passed")):
        one = result("a", ended, message=TELLING)
        started = f"2026-11-20T10:00:{number:02}+00:00"
        write(tmp_path, f"runs/{number}", report(results=(one,), started=started, redacted=False))
    runs = str(tmp_path / "runs")
    for flags, is_there in ((("--no-redact",), True), ((), False)):
        assert merge(runs, *options, *flags, "--into", tmp_path / "out") == 1
        told = capsys.readouterr().out + "".join(path.read_text() for path in (tmp_path / "out").iterdir())
        for name in TOLD:
            assert (name in told) is is_there, name
        for path in (tmp_path / "out").iterdir():
            path.unlink()


def test_failure_while_writing_leaves_what_was_there(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    merge(runs, "--into", out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert "is not written (No space left on device)" in refused(capsys, "merge", runs, "--into", out, "--by", "gpu")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


# Shards.


def shards(tmp_path: Path, *ended: dict[str, str], **fields: Any) -> Path:
    for number, outcomes in enumerate(ended):
        started = f"2026-11-20T10:00:{number:02}+00:00"
        write(tmp_path, f"shards/{number}", report(started=started, ended=outcomes, **fields))
    return tmp_path / "shards"


def merged(tmp_path: Path, status: int, *options: object) -> tuple[dict[str, tuple[str, Reason | None]], list[str]]:
    """Merge the shards; return the outcomes by name, and the reasons of the verdict."""
    assert merge(tmp_path / "shards", "--shards", "--into", tmp_path / "one", *options) == status
    one = read_report(tmp_path / "one" / "report.json").report
    outcomes = {entry.name.removeprefix("TRC-ATT-001-"): (entry.outcome.value, entry.reason) for entry in one.results}
    assert len(outcomes) == len(one.results)
    return outcomes, list(one.verdict_reasons)


def test_shards_become_one_run_with_every_check_once(tmp_path: Path) -> None:
    shards(tmp_path, {"a": "passed", "b": "filtered", "c": "stopped"}, {"a": "filtered", "b": "passed", "c": "passed"})
    outcomes, reasons = merged(tmp_path, 0)
    assert outcomes == dict.fromkeys("abc", ("passed", None))
    assert reasons == ["3 checks ran and passed, none failed"]
    one = read_report(tmp_path / "one" / "report.json").report
    assert (one.merged, one.seconds, one.started) == (("0", "1"), 3.5, "2026-11-20T10:00:00+00:00")
    assert {path.name for path in (tmp_path / "one").iterdir()} == {
        "report.json", "TEST-trtcheck.xml", "report.md", "report.html"
    }  # fmt: skip


WORST_FIRST = ("error", "failed", "passed", "no_gpu", "stopped", "filtered")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(WORST_FIRST)), min_size=1, max_size=5))
def test_no_check_is_lost_or_doubled_and_the_worst_answer_stands(parts: list[dict[str, str]]) -> None:
    named = [
        (str(number), report(started=f"2026-11-20T10:00:{number:02}+00:00", ended=ended))
        for number, ended in enumerate(parts)
    ]
    one, _ = merge_shards(named, load_profile("auto"), load_catalogue())
    found = {
        entry.name.removeprefix("TRC-ATT-001-"): entry.reason.value if entry.reason else entry.outcome.value
        for entry in one.results
    }
    told: dict[str, list[str]] = {}
    for part in parts:
        for name, how in part.items():
            told.setdefault(name, []).append(how)
    assert len(one.results) == len(found)
    assert found == {name: min(answers, key=WORST_FIRST.index) for name, answers in told.items()}


def test_check_that_no_shard_ran_stays_without_an_answer(tmp_path: Path) -> None:
    shards(tmp_path, {"a": "passed", "b": "filtered"}, {"a": "filtered", "b": "stopped"})
    outcomes, _ = merged(tmp_path, 10)
    assert outcomes["b"][1] in {Reason.FILTERED, Reason.STOPPED}


def test_worse_answer_counts_and_both_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards(tmp_path, {"a": "passed"}, {"a": "failed"}, {"a": "level"})
    outcomes, _ = merged(tmp_path, 1)
    assert outcomes == {"a": ("failed", None)}
    assert "TRC-ATT-001-a: 0 says passed, 1 says failed; the worse counts" in capsys.readouterr().out


def test_copy_of_a_shard_is_told_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shards(tmp_path, {"a": "passed"}, {"b": "passed"})
    write(tmp_path, "shards/copy", read_report(folder / "0" / "report.json").report)
    merged(tmp_path, 0)
    assert "copy: the same report as 0, not counted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"level": "standard"}, "level quick and standard"),
        ({"profile": "torch"}, "profile auto and torch"),
        ({"given": stack(torch="2.9.0", python="3.12.3")}, "PyTorch 2.13.0 and 2.9.0"),
        ({"given": stack(torch="2.13.0", python="3.12.3", kind="image")}, "kind of stack host and image"),
    ],
    ids=["level", "profile", "torch", "kind"],
)
def test_reports_of_other_runs_are_no_shards(
    tmp_path: Path, fields: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shards(tmp_path, {"a": "passed"})
    write(tmp_path, "shards/x", report(started="2026-11-20T12:00:00+00:00", ended={"b": "passed"}, **fields))
    told = refused(capsys, "merge", folder, "--shards", "--into", tmp_path / "one")
    assert told.startswith(f"0, x: expected shards of one run, found {words}; without --shards")
    assert not (tmp_path / "one").exists()


def test_shard_that_was_killed_keeps_the_run_from_being_accepted(tmp_path: Path) -> None:
    shards(tmp_path, {"a": "passed"})
    write(tmp_path, "shards/x", report(started="2026-11-20T12:00:00+00:00", ended={"b": "passed"}, exit_status=2))
    _, reasons = merged(tmp_path, 10)
    assert reasons == ["the run was interrupted before its end"]


def test_restarts_of_all_shards_are_judged_anew(tmp_path: Path) -> None:
    for number in range(2):
        isolation = Isolation("workers", ("gpu0",), 1, 16, ("gw0 ended in a: crash",))
        started = f"2026-11-20T10:00:0{number}+00:00"
        write(tmp_path, f"shards/{number}", report(started=started, ended={str(number): "passed"}, isolation=isolation))
    merged(tmp_path, 0)
    one = read_report(tmp_path / "one" / "report.json").report
    assert (one.isolation.restarts, one.isolation.max_restarts, one.isolation.workers) == (
        2,
        32,
        ("0: gpu0", "1: gpu0"),
    )
    (finding,) = one.findings
    assert finding.found.startswith("2 of at most 32 restarts: 0: gw0 ended in a: crash")


def test_profile_of_a_file_has_to_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shards(tmp_path, {"a": "passed"}, profile="ours")
    assert "--profile: profile 'ours': expected one of auto" in refused(capsys, "merge", folder, "--shards")
    merged(tmp_path, 0, "--profile", "auto")


def test_merged_report_reads_back(tmp_path: Path) -> None:
    shards(tmp_path, {"a": "passed"}, {"b": "passed"})
    merged(tmp_path, 0)
    path = tmp_path / "one" / "report.json"
    assert to_json(read_report(path).report) == path.read_text(encoding="utf-8")
