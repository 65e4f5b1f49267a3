"""What is collected, and what a selection does to the verdict."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.stacks import copy, dist, fact, stack

if TYPE_CHECKING:
    from tests.plugin.conftest import Trtcheck

CUDNN_9 = fact(
    "cudnn", "9.10.2.21", copies=(copy("/site/nvidia/cudnn/lib/libcudnn.so.9", "9.10.2.21", "libcudnn.so.9"),), chosen=0
)
TENSORRT_8 = fact("tensorrt", "8.6.0", details={"needed": {"/site/tensorrt_libs/libnvinfer.so.8": ["libcudnn.so.8"]}})
BROKEN = stack(CUDNN_9, TENSORRT_8, python="3.10.13", dists=[dist("tensorrt", "8.6.0", python=">=3.6")])
SOUND = stack(python="3.11.7", torch="2.13.0", torch_cuda="13.0", dists=[dist("torch", "2.13.0", python=">=3.10")])

both = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["in_process", "xdist"])


@both
def test_only_the_bundled_suites_are_collected(trtcheck: Trtcheck, workers: tuple[str, ...]) -> None:
    trtcheck.judge(SOUND)
    trtcheck.pytester.makepyfile(test_mine="def test_mine(): raise SystemExit('collected')")
    result = trtcheck.run("--trtcheck-level=static", *workers)
    assert result.ret == 0
    assert "test_mine" not in result.stdout.str()
    assert trtcheck.results()["TRC-PKG-003-torch"] == ("passed", None)


@both
def test_explicit_paths_are_collected_beside_them(trtcheck: Trtcheck, workers: tuple[str, ...]) -> None:
    trtcheck.judge(SOUND)
    mine = trtcheck.pytester.makepyfile(test_mine="def test_mine(): pass")
    result = trtcheck.run(str(mine), "--trtcheck-level=static", *workers)
    assert result.ret == 0
    assert trtcheck.results()["test_mine.py::test_mine"] == ("passed", None)
    assert trtcheck.results()["TRC-PKG-003-torch"] == ("passed", None)


@both
def test_a_failing_test_of_the_user_rejects_the_run(trtcheck: Trtcheck, workers: tuple[str, ...]) -> None:
    trtcheck.judge(SOUND)
    mine = trtcheck.pytester.makepyfile(test_mine="def test_mine(): assert 0")
    result = trtcheck.run(str(mine), "--trtcheck-level=static", *workers)
    assert result.ret == 1
    assert trtcheck.report["verdict"] == "rejected"


@both
def test_broken_stack_is_rejected_with_reason_and_remedy(trtcheck: Trtcheck, workers: tuple[str, ...]) -> None:
    trtcheck.judge(BROKEN)
    result = trtcheck.run("--trtcheck-level=static", *workers)
    assert result.ret == 1
    assert trtcheck.results()["TRC-DNN-001-tensorrt"] == ("failed", None)
    text = result.stdout.str()
    for words in ("libcudnn.so.8", "9.10.2.21", "nvidia-cudnn-cu12>=8,<9", "rejected"):
        assert words in text


def test_keyword_selects_by_check_id(trtcheck: Trtcheck) -> None:
    trtcheck.judge(BROKEN)
    result = trtcheck.run("--trtcheck-level=static", "-k", "DNN")
    assert result.ret == 1
    assert trtcheck.results()["TRC-PKG-003-tensorrt"] == ("not_run", "filtered")
    assert [finding["id"] for finding in trtcheck.report["findings"]] == ["TRC-DNN-001"]


@both
@pytest.mark.parametrize("selection", [("-k", "no_such_check"), ("-m", "gpu_only_marker"), ("--deselect", "trtcheck")])
def test_a_selection_that_matches_nothing_is_inconclusive(
    trtcheck: Trtcheck, selection: tuple[str, ...], workers: tuple[str, ...]
) -> None:
    trtcheck.judge(SOUND)
    result = trtcheck.run("--trtcheck-level=static", *selection, *workers)
    assert result.ret == 10
    assert trtcheck.report["verdict"] == "inconclusive"
    assert {reason for _, reason in trtcheck.results().values()} == {"filtered"}


def test_collect_only_lists_the_checks_and_writes_nothing(trtcheck: Trtcheck) -> None:
    trtcheck.judge(BROKEN)
    result = trtcheck.run("--co", "-q")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["trtcheck/stack/test_stack.py::test_question*TRC-DNN-001-tensorrt*"])
    assert not trtcheck.report_folder.exists()


def test_stop_on_first_failure_keeps_every_planned_check_in_the_report(trtcheck: Trtcheck) -> None:
    trtcheck.judge(BROKEN)
    trtcheck.run("--trtcheck-level=static")
    whole = set(trtcheck.results())
    result = trtcheck.run("--trtcheck-level=static", "-x")
    assert result.ret == 1
    assert set(trtcheck.results()) == whole
    assert ("not_run", "stopped") in trtcheck.results().values()


def test_last_failed_runs_only_what_failed(trtcheck: Trtcheck) -> None:
    trtcheck.judge(BROKEN)
    trtcheck.run("--trtcheck-level=static")
    result = trtcheck.run("--trtcheck-level=static", "--lf")
    assert result.ret == 1
    executed = [name for name, (outcome, _) in trtcheck.results().items() if outcome != "not_run"]
    assert executed == ["TRC-DNN-001-tensorrt"]


def test_works_without_the_cache_plugin(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    assert trtcheck.run("--trtcheck-level=static", "-p", "no:cacheprovider").ret == 0


def test_works_without_xdist(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    assert trtcheck.run("--trtcheck-level=static", "-p", "no:xdist").ret == 0


def test_the_users_ini_patterns_do_not_hide_the_suites(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    trtcheck.pytester.mkdir("checks")
    trtcheck.pytester.makeini(
        "[pytest]\ntestpaths = checks\npython_files = check_*.py\npython_functions = check_*\nnorecursedirs = *\n"
        "filterwarnings = error\naddopts = --strict-markers --strict-config\n"
    )
    assert trtcheck.run("--trtcheck-level=static").ret == 0
    assert trtcheck.results()["TRC-PKG-003-torch"] == ("passed", None)


def test_the_current_folder_may_hold_files_named_like_ours(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    trtcheck.pytester.makepyfile(suites="raise SystemExit('imported')", matrix="raise SystemExit('imported')")
    assert trtcheck.run("--trtcheck-level=static").ret == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_user_who_owns_nothing_in_a_rootdir_that_is_read_only(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    reports = trtcheck.pytester.mkdir("reports")
    reports.chmod(0o777)
    # May read everything, as in an image whose files belong to root, and write nowhere else.
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
              "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")  # fmt: skip
    command = (*nobody, sys.executable, "-m", "pytest", "--trtcheck", "--trtcheck-level=static")
    result = trtcheck.pytester.run(*command, f"--trtcheck-report={reports}")
    assert result.ret == 0, result.stdout.str() + result.stderr.str()
    assert (reports / "report.json").stat().st_uid == 65534
    result = trtcheck.pytester.run(*command)
    assert result.ret == 4
    assert "--trtcheck-report" in result.stderr.str()
    assert not trtcheck.report_folder.exists()
