"""Files of a report: whole or not there, and one that fails costs no other."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_trtcheck.errors import OptionError, ReportError
from pytest_trtcheck.model.report import RunReport
from pytest_trtcheck.report.formats import ALL, DEFAULT, Renderer, choose_formats
from pytest_trtcheck.report.json_report import from_json
from pytest_trtcheck.report.write import WriteError, check_writable, write_reports
from tests.golden.sample import sample_report


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_every_format_is_written_and_nothing_else(tmp_path: Path) -> None:
    written = write_reports(sample_report(), tmp_path)
    assert written == {
        "json": tmp_path / "report.json",
        "junit": tmp_path / "TEST-trtcheck.xml",
        "markdown": tmp_path / "report.md",
        "html": tmp_path / "report.html",
    }
    assert names(tmp_path) == {path.name for path in written.values()}
    assert from_json(written["json"].read_text(encoding="utf-8")).verdict is sample_report().verdict


def test_older_report_is_replaced(tmp_path: Path) -> None:
    write_reports(sample_report(), tmp_path)
    write_reports(replace(sample_report(), profile="torch"), tmp_path)
    assert from_json((tmp_path / "report.json").read_text(encoding="utf-8")).profile == "torch"
    assert len(names(tmp_path)) == len(DEFAULT)


def test_files_follow_the_umask_so_that_collectors_can_read_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_reports(sample_report(), tmp_path)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


def test_link_in_place_of_a_report_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "report.json").symlink_to(victim)
    write_reports(sample_report(), folder)
    assert victim.read_text() == "untouched"
    assert not (folder / "report.json").is_symlink()


def test_file_that_cannot_be_replaced_loses_no_other(tmp_path: Path) -> None:
    (tmp_path / "TEST-trtcheck.xml").mkdir()
    (tmp_path / "TEST-trtcheck.xml" / "inside").touch()
    with pytest.raises(WriteError) as caught:
        write_reports(sample_report(), tmp_path)
    assert str(caught.value) == (
        f"report folder {tmp_path}: TEST-trtcheck.xml is not written (Is a directory); written: report.json, "
        "report.md, report.html"
    )
    assert isinstance(caught.value, ReportError)
    assert set(caught.value.written) == {"json", "markdown", "html"}
    assert names(tmp_path) == {"report.json", "TEST-trtcheck.xml", "report.md", "report.html"}


def test_bug_in_one_format_loses_no_other(tmp_path: Path) -> None:
    def fail(report: RunReport) -> str:
        raise KeyError("two\nlines")

    with pytest.raises(
        WriteError, match=r"broken\.txt is not written \(KeyError: .*; written: report\.json, "
    ) as caught:
        write_reports(sample_report(), tmp_path, (Renderer("broken", "broken.txt", fail), *DEFAULT))
    assert "\n" not in str(caught.value)
    assert len(names(tmp_path)) == len(DEFAULT)


def test_write_that_breaks_off_leaves_the_older_report_and_no_rest(tmp_path: Path) -> None:
    write_reports(sample_report(), tmp_path)
    older = (tmp_path / "report.md").read_bytes()
    half = Renderer("markdown", "report.md", lambda report: "half \ud800")
    with pytest.raises(WriteError, match=r"report\.md is not written \(UnicodeEncodeError.*; written: no other"):
        write_reports(sample_report(), tmp_path, (half,))
    assert (tmp_path / "report.md").read_bytes() == older
    assert len(names(tmp_path)) == len(DEFAULT)


def test_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == set()


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("file", "File exists"),
        ("file/below", "Not a directory"),
        ("loop/below", "Too many levels of symbolic links"),
        ("nul\0", "ValueError: "),
        ("x" * 300, "File name too long"),
    ],
)
def test_folder_that_cannot_be_made_is_a_one_line_error(tmp_path: Path, folder: str, words: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OptionError) as caught:
        check_writable(tmp_path / folder)
    message = str(caught.value)
    assert message.startswith(f"--trtcheck-report: expected a folder that can be written, found {tmp_path}/")
    assert f"({words}" in message
    assert message.endswith("; name another, such as --trtcheck-report /tmp/trtcheck-report")
    assert "\n" not in message


def test_folder_that_takes_no_file_is_a_one_line_error() -> None:
    # Even root can create nothing here.
    with pytest.raises(OptionError, match=r"^--trtcheck-report: .*, found /proc/self \(No such file or directory\); "):
        check_writable(Path("/proc/self"))


def test_formats_load_no_heavy_library_before_they_are_used() -> None:
    program = (
        "import sys; before = set(sys.modules); import pytest_trtcheck.report.write, pytest_trtcheck.report.terminal;"
        "heavy = {'junitparser', 'xml', 'jsonschema', 'packaging', 'importlib.metadata'};"
        "print(sorted(heavy & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("sarif", ["json", "sarif"]),
        (" sarif , default", ["json", "junit", "markdown", "html", "sarif"]),
        ("all", [renderer.name for renderer in ALL]),
        ("", ["json"]),
    ],
)
def test_formats_are_chosen_by_name_and_the_json_is_always_among_them(text: str, names: list[str]) -> None:
    assert [renderer.name for renderer in choose_formats(text, "--x")] == names


def test_unknown_format_is_refused_with_the_list() -> None:
    with pytest.raises(OptionError, match=r"^--x: expected a list of json, junit, .*, default, all, found 'pdf'$"):
        choose_formats("json,pdf", "--x")


def test_files_of_all_formats_are_apart() -> None:
    assert len({renderer.file_name for renderer in ALL}) == len(ALL)
