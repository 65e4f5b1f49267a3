"""``--trtcheck-stack FILE``: the stack suite judges what is written down instead of this machine."""

from __future__ import annotations

import json

import pytest

BROKEN = "name: planned image\ndriver: 450.80.02\ncuda_runtime: 13.0\ngpu: NVIDIA H100\n"
FINE = "name: planned image\ndriver: 580.65.06\ncuda_runtime: 12.9\ngpu: NVIDIA H100\n"


def report_of(pytester: pytest.Pytester) -> dict[str, object]:
    found: dict[str, object] = json.loads((pytester.path / "trtcheck-report" / "report.json").read_text())
    return found


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_a_broken_description_is_rejected_and_the_report_says_what_was_judged(
    pytester: pytest.Pytester, workers: list[str]
) -> None:
    (pytester.path / "a.yaml").write_text(BROKEN)
    result = pytester.runpytest_subprocess("--trtcheck", "--trtcheck-stack", "a.yaml", *workers)
    assert result.ret == 1
    report = report_of(pytester)
    assert report["verdict"] == "rejected"
    stack = report["stack"]
    assert isinstance(stack, dict)
    assert stack["kind"] == "described"
    assert stack["name"] == "planned image"
    assert stack["facts"]["driver"]["where"] == "a.yaml: document 1, line 1"
    results = report["results"]
    assert isinstance(results, list)
    assert {entry["suite"] for entry in results} == {"stack"}, "suites that run on this machine do not apply"
    assert not any(entry["check_id"].startswith("TRC-IMP") for entry in results), "nor do imports"


def test_a_fine_description_is_accepted_without_a_gpu(pytester: pytest.Pytester) -> None:
    (pytester.path / "a.yaml").write_text(FINE)
    result = pytester.runpytest_subprocess("--trtcheck", "--trtcheck-stack", "a.yaml")
    assert result.ret == 0
    assert report_of(pytester)["verdict"] == "accepted"


def test_the_ini_key_is_relative_to_the_rootdir(pytester: pytest.Pytester) -> None:
    (pytester.path / "a.yaml").write_text(BROKEN)
    pytester.makeini("[pytest]\ntrtcheck_stack = a.yaml")
    below = pytester.mkdir("below")
    result = pytester.runpytest_subprocess(
        "--trtcheck", f"--rootdir={pytester.path}", f"-c{pytester.path}/tox.ini", below
    )
    assert result.ret == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("drvier: 550\n", "*did you mean driver?*"),
        ("driver: 550\n---\ndriver: 560\n", "*expected one stack, found several*"),
        ("a: [", "*expected YAML or JSON*"),
        (None, "*a.yaml: expected a file that can be read*"),
    ],
)
def test_a_description_that_cannot_be_read_is_wrong_usage_before_anything_runs(
    pytester: pytest.Pytester, text: str | None, words: str
) -> None:
    if text is not None:
        (pytester.path / "a.yaml").write_text(text)
    result = pytester.runpytest_subprocess("--trtcheck", "--trtcheck-stack", "a.yaml")
    assert result.ret == 4
    result.stderr.fnmatch_lines([words])
    assert not (pytester.path / "trtcheck-report").exists()


def test_the_option_without_the_run_is_refused(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--trtcheck-stack", "a.yaml")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--trtcheck-stack has no effect without --trtcheck*"])
