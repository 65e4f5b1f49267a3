"""Waivers and a baseline inside whole runs."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Trtcheck
from tests.plugin.test_selection import BROKEN, SOUND

STATIC = "--trtcheck-level=static"
FAILS = "TRC-DNN-001-tensorrt"


def waivers(trtcheck: Trtcheck, *entries: str) -> str:
    rest = "reason: known, owner: serving@example.org"
    lines = [f"- {{{entry}, {rest}}}" for entry in entries]
    (trtcheck.pytester.path / "waivers.yaml").write_text("\n".join(lines))
    return "--trtcheck-waivers=waivers.yaml"


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["alone", "n2"])
def test_waived_failure_is_run_and_shown_and_does_not_reject(trtcheck: Trtcheck, workers: tuple[str, ...]) -> None:
    trtcheck.judge(BROKEN)
    assert trtcheck.run(STATIC).ret == 1
    failed = [name for name, ended in trtcheck.results().items() if ended[0] == "failed"]
    option = waivers(trtcheck, *(f"check: {name}, expires: 2999-12-31" for name in failed))
    result = trtcheck.run(STATIC, option, *workers)
    assert result.ret == 0, result.stdout.str()
    assert trtcheck.report["verdict"] == "accepted"
    assert trtcheck.results()[FAILS] == ("failed", None)
    text = result.stdout.str()
    assert f"waived ({len(failed)})" in text
    assert f"{len(failed)} waived" in text, "pytest's own summary counts them apart"
    assert "known (serving@example.org, until 2999-12-31)" in " ".join(text.split())


def test_expired_and_unmatched_waivers_are_findings_and_waive_nothing(trtcheck: Trtcheck) -> None:
    trtcheck.judge(BROKEN)
    option = waivers(trtcheck, f"check: {FAILS}, expires: 2020-01-01", "check: TRC-ATT-009, expires: 2999-12-31")
    assert trtcheck.run(STATIC, option).ret == 1
    ids = [finding["id"] for finding in trtcheck.report["findings"] if finding["id"].startswith("TRC-WVR")]
    assert ids == ["TRC-WVR-001", "TRC-WVR-002"]
    assert [waiver["check"] for waiver in trtcheck.report["waivers"]] == [FAILS, "TRC-ATT-009"]


def test_baseline_tells_what_changed_and_rejects_a_regression(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    assert trtcheck.run(STATIC, "--trtcheck-report=before").ret == 0
    result = trtcheck.run(STATIC, "--trtcheck-baseline=before")
    assert result.ret == 0
    assert "0 regressions" in result.stdout.str()
    trtcheck.judge(BROKEN)
    assert trtcheck.run(STATIC, "--trtcheck-baseline=before/report.json").ret == 1
    told = trtcheck.report["difference"]
    assert "regression" in {change["effect"] for change in told["changes"]}
    assert any("since the baseline" in reason for reason in trtcheck.report["verdict_reasons"])


def test_run_that_shares_no_check_with_its_baseline_is_not_accepted(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    trtcheck.run(STATIC, "--trtcheck-report=before", "-k", "nothing_is_called_so")
    assert trtcheck.run(STATIC, "--trtcheck-baseline=before").ret == 10


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--trtcheck-waivers=absent.yaml", "absent.yaml: expected a file that can be read"),
        ("--trtcheck-baseline=absent.json", "--trtcheck-baseline: "),
        ("--trtcheck-waivers=conftest.py", "conftest.py"),
    ],
)
def test_file_that_cannot_be_used_ends_before_anything_runs(trtcheck: Trtcheck, option: str, words: str) -> None:
    trtcheck.judge(SOUND)
    result = trtcheck.run(STATIC, option)
    assert result.ret == 4
    (line,) = (line for line in result.stderr.lines if line.strip())
    assert words in line
    assert not trtcheck.report_folder.exists()


def test_killed_run_keeps_its_waivers(trtcheck: Trtcheck) -> None:
    from pytest_trtcheck.session.rebuild import report_of

    trtcheck.judge(BROKEN)
    trtcheck.run(STATIC, waivers(trtcheck, f"check: {FAILS}, expires: 2999-12-31"))
    (trtcheck.report_folder / "report.json").unlink()
    rebuilt = report_of(trtcheck.report_folder)
    assert [result.name for result in rebuilt.results if result.waiver] == [FAILS]
