"""What changed between two runs: what is worse, what is better, and what is noise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_trtcheck.cli import main
from pytest_trtcheck.model.difference import Aspect, Difference, Effect
from pytest_trtcheck.model.finding import Finding, Severity, Source, Verdict
from pytest_trtcheck.model.report import Comparison, Measurement, Result, RunReport, RunVerdict, Waiver
from pytest_trtcheck.verdict.difference import compare, side_of
from tests.reports import report, result, write
from tests.stacks import gpu, stack
from tests.unit.test_report_html import Page

WAIVER = Waiver("TRC-ATT-001", "known", "us", "2027-01-01")


def difference(before: RunReport, after: RunReport) -> Difference:
    return compare(side_of(before, "A"), side_of(after, "B"))


def told(before: RunReport, after: RunReport) -> list[tuple[str, str, str, str, str]]:
    return [
        (
            change.effect.value,
            change.aspect.value,
            change.name.removeprefix("TRC-ATT-001-"),
            change.before,
            change.after,
        )
        for change in difference(before, after).changes
    ]


def runs(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[RunReport, RunReport]:
    same = RunVerdict.ACCEPTED
    return report(ended=before, verdict=same), report(ended=after, verdict=same)


def test_run_does_not_differ_from_itself() -> None:
    one = report(ended={"a": "passed", "b": "failed", "c": "no_gpu"})
    assert difference(one, one) == Difference("A", "B", 2, ())


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        ("passed", "failed", "regression"),
        ("passed", "error", "regression"),
        ("failed", "passed", "improvement"),
        ("error", "passed", "improvement"),
        ("failed", "error", "change"),
        ("no_gpu", "failed", "change"),
        ("no_gpu", "passed", "change"),
    ],
)
def test_outcomes_are_compared(before: str, after: str, effect: str) -> None:
    words = [f"not run ({ended})" if ended == "no_gpu" else ended for ended in (before, after)]
    assert told(*runs({"a": before}, {"a": after})) == [(effect, "result", "a", *words)]


@pytest.mark.parametrize("reason", ["no_gpu", "refused", "missing_component", "time_budget", "stopped", "undecided"])
def test_check_that_passed_and_is_not_judged_any_more_is_a_regression(reason: str) -> None:
    before, after = runs({"a": "passed", "b": "passed"}, {"a": reason, "b": "passed"})
    assert told(before, after) == [("regression", "lost", "a", "passed", f"not run ({reason})")]
    assert told(*runs({"a": "passed"}, {})) == [("regression", "lost", "a", "passed", "not planned")]


def test_check_that_the_selection_or_a_lower_level_left_out_is_noted_and_no_regression() -> None:
    found = difference(*runs({"a": "passed", "b": "passed"}, {"a": "filtered", "b": "passed"}))
    assert (found.changes, found.compared) == ((), 1)
    assert found.notes == ("1 checks that passed before were left out by the selection",)
    before = report(ended={"a": "passed", "b": "passed"}, level="standard")
    found = difference(before, report(ended={"a": "level"}, level="quick"))
    assert found.changes == ()
    assert found.notes == (
        "the runs have different levels: standard and quick",
        "2 checks that passed before are beyond level quick",
    )


def test_waived_failure_is_told_and_no_regression_and_the_end_of_a_waiver_is_one() -> None:
    waived = report(results=(result("a", "failed", waiver=WAIVER),), verdict=RunVerdict.ACCEPTED)
    passed, failed = runs({"a": "passed"}, {"a": "failed"})
    assert told(passed, waived) == [("change", "result", "a", "passed", "waived")]
    assert told(waived, failed) == [("regression", "result", "a", "waived", "failed")]
    assert told(waived, passed) == [("improvement", "result", "a", "waived", "passed")]


def finding(verdict: Verdict, severity: Severity) -> Finding:
    fault = ("torch",) if verdict is Verdict.INCOMPATIBLE else ()
    return Finding(
        "TRC-DRV-001", "torch", verdict, severity, "Driver", fault, ">=580", "570", ("torch",), Source("notes")
    )


INCOMPATIBLE = finding(Verdict.INCOMPATIBLE, Severity.ERROR)
UNKNOWN = finding(Verdict.UNKNOWN, Severity.WARNING)
SILENT = finding(Verdict.UNKNOWN, Severity.INFO)
DOUBTFUL = finding(Verdict.COMPATIBLE, Severity.WARNING)
SOUND = finding(Verdict.COMPATIBLE, Severity.INFO)


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        (SOUND, INCOMPATIBLE, "regression"),
        (None, INCOMPATIBLE, "regression"),
        (SOUND, UNKNOWN, "regression"),
        (SOUND, DOUBTFUL, "change"),
        (INCOMPATIBLE, SOUND, "improvement"),
        (UNKNOWN, DOUBTFUL, "improvement"),
        (INCOMPATIBLE, None, "change"),
        (SOUND, None, None),
        (None, SOUND, None),
        (None, SILENT, None),
        (SOUND, SILENT, None),
    ],
)
def test_findings_are_compared(before: Finding | None, after: Finding | None, effect: str | None) -> None:
    sides = [report(findings=(given,) if given else ()) for given in (before, after)]
    assert [entry[:3] for entry in told(*sides)] == ([(effect, "finding", "TRC-DRV-001-torch")] if effect else [])


def test_finding_and_the_check_that_stands_for_it_are_one_change() -> None:
    sides = []
    for given, ended in ((SOUND, "passed"), (INCOMPATIBLE, "failed")):
        check = replace(result("x", ended), name="TRC-DRV-001-torch")
        sides.append(report(findings=(given,), results=(check,), verdict=RunVerdict.REJECTED))
    assert [entry[1] for entry in told(*sides)] == ["finding"]


def test_versions_are_told_with_their_direction_and_decide_nothing() -> None:
    before = report(stack(torch="2.9.0", driver="580.1", cudnn="9.10"), ended={"a": "passed"})
    after = report(stack(torch="2.13.0+cu130", driver="570.86", vllm="0.11"), ended={"a": "passed"})
    found = [(change.name, change.before, change.after, change.words) for change in difference(before, after).changes]
    assert sorted(found) == [
        ("NVIDIA driver", "580.1", "570.86", "older"),
        ("PyTorch", "2.9.0", "2.13.0+cu130", "newer"),
        ("cuDNN", "9.10", "", "gone"),
        ("vLLM", "", "0.11", "new"),
    ]
    assert not difference(before, after).regressions
    other = report(
        stack(torch="2.9.0", driver="580.1", cudnn="9.10", gpus=(gpu("NVIDIA L40S"),)), ended={"a": "passed"}
    )
    assert "GPU" not in [change.name for change in difference(before, other).changes], "one side read no GPU"


def test_verdict_of_the_run_is_compared() -> None:
    good, bad = report(ended={"a": "passed"}), report(ended={"a": "passed"}, verdict=RunVerdict.INCONCLUSIVE)
    assert told(good, bad) == [("regression", "verdict", "run", "accepted", "inconclusive")]
    assert told(bad, good) == [("improvement", "verdict", "run", "inconclusive", "accepted")]


# Noise.


def timed(**seconds: float) -> RunReport:
    return report(results=tuple(result(name, "passed", seconds=value) for name, value in seconds.items()))


def many(factor: float, **others: float) -> RunReport:
    spread = {f"n{index}": factor * (2 + index % 5) * (1 + 0.02 * (index % 3)) for index in range(20)}
    return timed(**{**spread, **others})


def test_times_within_noise_are_not_told() -> None:
    assert told(timed(a=1.0, b=0.01, c=4.0), timed(a=1.9, b=0.9, c=4.9)) == []
    assert told(many(1.0), many(1.9)) == []


def test_check_that_slows_down_by_itself_is_told_also_on_a_busy_machine() -> None:
    assert told(timed(a=1.0), timed(a=3.0)) == [("regression", "time", "a", "1.00 s", "3.00 s")]
    assert told(timed(a=3.0), timed(a=1.0)) == [("improvement", "time", "a", "3.00 s", "1.00 s")]
    assert told(many(1.0, a=2.0), many(1.5, a=9.0)) == [("regression", "time", "a", "2.00 s", "9.00 s")]


def test_run_that_slows_down_as_a_whole_is_told_once() -> None:
    (change,) = difference(many(1.0), many(3.0)).changes
    assert (change.aspect, change.name, change.effect) == (Aspect.TIME, "all checks", Effect.REGRESSION)
    assert change.words == "20 checks that pass in both runs"


def compared(error: float | None, allowed: float = 0.01, statistic: str = "largest element") -> Result:
    return result("a", "passed", comparison=Comparison(error, allowed, statistic, ("row",), (1,), 1.0, 1.0))


@pytest.mark.parametrize(
    ("before", "after", "seeds", "effect"),
    [
        (compared(0.002), compared(0.006), (1, 1), "regression"),
        (compared(0.006), compared(0.002), (1, 1), "improvement"),
        (compared(0.003), compared(0.005), (1, 1), None),
        (compared(0.002), compared(0.005), (1, 2), None),
        (compared(0.002), compared(0.007), (1, 2), "regression"),
        (compared(0.0001), compared(0.002), (1, 1), None),
        (compared(0.0), compared(0.009), (1, 1), "regression"),
        (compared(0.002), compared(0.009, statistic="root mean square"), (1, 1), None),
        (compared(0.002), compared(0.009, allowed=0.1), (1, 1), None),
        (compared(None), compared(0.009), (1, 1), None),
    ],
)
def test_errors_are_compared_by_their_share_of_what_is_allowed(
    before: Result, after: Result, seeds: tuple[int, int], effect: str | None
) -> None:
    sides = [report(results=(one,), seed=seed) for one, seed in zip((before, after), seeds, strict=True)]
    assert [entry[:2] for entry in told(*sides)] == ([(effect, "error")] if effect else [])


@pytest.mark.parametrize(
    ("unit", "before", "after", "effect"),
    [
        ("tokens/s", 900.0, 500.0, "regression"),
        ("tokens/s", 500.0, 900.0, "improvement"),
        ("tokens/s", 500.0, 400.0, None),
        ("ms", 10.0, 20.0, "regression"),
        ("tokens", 1.0, 5.0, "change"),
        ("tokens", 0.0, 5.0, "change"),
    ],
)
def test_measurements_are_compared(unit: str, before: float, after: float, effect: str | None) -> None:
    sides = [
        report(results=(result("a", "passed", measurements=(Measurement("figure", value, unit, "batch", 4.0),)),))
        for value in (before, after)
    ]
    assert [entry[:3] for entry in told(*sides)] == (
        [(effect, "measurement", "a: figure at batch 4")] if effect else []
    )


# The command.


def diff(*arguments: object) -> int:
    return main(["diff", *map(str, arguments)])


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    before, after = runs({"a": "passed", "b": "passed"}, {"a": "failed", "b": "passed"})
    return write(tmp_path, "old", before), write(tmp_path, "new", after).parent


def test_regression_is_exit_status_1_and_none_is_0(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(*pair) == 1
    text = capsys.readouterr().out
    assert text.startswith("old → new: 2 checks compared, 1 regression, 0 improvements, 0 other changes\n")
    assert "result TRC-ATT-001-a: passed → failed (a failed)" in text
    assert text.endswith("verdict: REGRESSED: 1 for the worse\n")
    assert diff(pair[1], pair[0]) == 0
    assert diff(*pair, "--ignore", "result") == 0


def test_runs_without_a_common_check_are_never_green(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = runs({"a": "no_gpu"}, {"b": "passed"})
    assert diff(write(tmp_path, "one", one), write(tmp_path, "other", other)) == 10
    assert "NOTHING COMPARED" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["text", "json", "markdown", "html"])
def test_names_and_secrets_are_masked_in_every_format(
    tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = runs({"a": "passed"}, {"a": "failed"})
    telling = replace(after.results[0], message="token hf_AbCdEfGhIjKlMnOpQr in /home/carol")
    old = write(tmp_path, "one", before)
    new = write(tmp_path, "two", replace(after, results=(telling,), redacted=False))
    for flags, is_there in ((("--no-redact",), True), ((), False)):
        assert diff(old, new, "--format", form, *flags) == 1
        told = capsys.readouterr().out
        for name in ("hf_AbCdEf", "carol"):
            assert (name in told) is is_there, name


def test_difference_in_other_formats(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(*pair, "--format", "json") == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["schema_version"], document["compared"], len(document["changes"])) == (1, 2, 1)
    diff(*pair, "--format", "markdown")
    assert "| result | `TRC-ATT-001-a` | passed → failed (a failed) |" in capsys.readouterr().out
    diff(*pair, "--format", "html")
    page = Page(capsys.readouterr().out)
    assert (page.faults, page.open) == ([], [])
    assert "TRC-ATT-001-a" in page.texts


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent", "new"], "absent: expected a report, a folder or a glob, found no such file"),
        ([".", "new"], ".: expected one report, found 2 in it and below"),
        (["old", "new", "--ignore", "speed"], "--ignore: expected a list of verdict, version, finding"),
    ],
)
def test_input_that_cannot_be_compared_is_told_in_one_line(
    pair: tuple[Path, Path], arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(pair[0].parents[1])
    assert diff(*arguments) == 4
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
