"""Options, ini keys, and bad values: one clear line, exit 4, before anything runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.plugin.test_selection import SOUND

if TYPE_CHECKING:
    from tests.plugin.conftest import Trtcheck


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--trtcheck-level=fast"], ["--trtcheck-level", "static, quick, standard, full", "'fast'"]),
        (["--trtcheck-fail-on=never"], ["--trtcheck-fail-on", "error, warning, unknown", "'never'"]),
        (["--trtcheck-profile=tensorflow"], ["tensorflow", "auto", "tensorrt_llm", "triton_server"]),
        (["--trtcheck-matrix=/no/such/folder"], ["--trtcheck-matrix", "/no/such/folder"]),
        (["--trtcheck-report="], ["--trtcheck-report", "empty"]),
        (["--trtcheck-report=taken/below"], ["--trtcheck-report", "taken"]),
        (["--trtcheck-format=json,pdf"], ["--trtcheck-format", "junit", "sarif", "all", "'pdf'"]),
        (["--trtcheck-source=absent.txt"], ["--trtcheck-source", "absent.txt", "No such file"]),
        (["--trtcheck-openai-url=localhost:8000"], ["--trtcheck-openai-url", "http://127.0.0.1:8000/v1", "localhost"]),
        (["--trtcheck-openai-url=http://me:hunter2@host/"], ["--trtcheck-openai-url", "a name or password in it"]),
        (["--trtcheck-openai-model=probe"], ["--trtcheck-openai-model", "no effect without --trtcheck-openai-url"]),
    ],
    ids=[
        "level",
        "fail_on",
        "profile",
        "matrix",
        "report_empty",
        "report_below_a_file",
        "format",
        "source",
        "url",
        "secret",
        "model",
    ],
)
def test_bad_option_is_one_line_and_exit_4(trtcheck: Trtcheck, args: list[str], words: list[str]) -> None:
    trtcheck.judge(SOUND)
    (trtcheck.pytester.path / "taken").write_text("a file")
    result = trtcheck.run(*args)
    assert result.ret == 4
    lines = [line for line in result.stderr.lines if line.strip()]
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0]
    assert "hunter2" not in lines[0]
    assert not trtcheck.report_folder.exists()


def test_option_without_trtcheck_is_refused(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--trtcheck-level=static")
    assert result.ret == 4
    assert "--trtcheck-level has no effect without --trtcheck" in result.stderr.str()


def test_ini_keys_hold_defaults_and_options_win(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    trtcheck.pytester.makeini(
        "[pytest]\ntrtcheck_level = static\ntrtcheck_profile = torch\ntrtcheck_report = from-ini\n"
    )
    trtcheck.run()
    trtcheck.report_folder = trtcheck.pytester.path / "from-ini"
    assert (trtcheck.report["level"], trtcheck.report["profile"]) == ("static", "torch")
    trtcheck.run("--trtcheck-profile=auto", "--trtcheck-report=from-option")
    trtcheck.report_folder = trtcheck.pytester.path / "from-option"
    assert (trtcheck.report["level"], trtcheck.report["profile"]) == ("static", "auto")


def test_malformed_overlay_names_file_place_wanted_and_found(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    overlay = trtcheck.pytester.mkdir("site")
    (overlay / "extra.json").write_text(
        json.dumps({"schema_version": 1, "title": "Ours", "add": [{"id": 7}], "override": []})
    )
    result = trtcheck.run("--trtcheck-matrix=site")
    assert result.ret == 4
    line = next(line for line in result.stderr.lines if line.startswith("ERROR"))
    for word in ("extra.json", "add[0]", "expected", "found"):
        assert word in line


def test_profile_that_needs_more_than_is_there_is_inconclusive(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    result = trtcheck.run("--trtcheck-level=static", "--trtcheck-profile=tensorrt_llm")
    assert result.ret == 10
    assert trtcheck.report["verdict"] == "inconclusive"
    assert any("TensorRT-LLM" in reason for reason in trtcheck.report["verdict_reasons"])


def test_profile_file_is_read(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    profile = trtcheck.pytester.path / "ours.json"
    profile.write_text(
        json.dumps({"schema_version": 1, "name": "ours", "title": "Ours", "required_components": ["torch"],
                    "required_checks": ["TRC-PKG-003-torch"], "minimum_executed": {"stack": 1}})
    )  # fmt: skip
    assert trtcheck.run("--trtcheck-level=static", f"--trtcheck-profile={profile}").ret == 0


def test_fail_on_warning_rejects_what_is_only_doubtful(trtcheck: Trtcheck) -> None:
    from tests.stacks import dist, stack

    doubtful = stack(torch="2.13.0", numpy="2.0.0", dists=[dist("torch", "2.13.0", "numpy<2"), dist("numpy", "2.0.0")])
    trtcheck.judge(doubtful)
    assert trtcheck.run("--trtcheck-level=static").ret == 0
    assert trtcheck.run("--trtcheck-level=static", "--trtcheck-fail-on=warning").ret == 1
    assert trtcheck.results()["TRC-PKG-001-torch"] == ("failed", None)


def test_markers_are_registered(pytester: pytest.Pytester) -> None:
    pytester.runpytest_subprocess("--markers").stdout.fnmatch_lines(["*trtcheck_check(id)*"])


def test_pytests_own_junit_file_carries_the_stack(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    for workers in ((), ("-n2",)):
        trtcheck.run("--trtcheck-level=static", "--junitxml=own.xml", *workers)
        text = (trtcheck.pytester.path / "own.xml").read_text()
        assert 'name="trtcheck.verdict" value="accepted"' in text
        assert 'name="trtcheck.stack.torch" value="2.13.0"' in text
