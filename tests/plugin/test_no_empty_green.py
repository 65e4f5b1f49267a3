"""Ways in which a run could end green although something that was planned has no answer. None of them does."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.plugin.test_isolation import SOUND, TWO_GPUS, own, start, wait_for_start
from tests.plugin.test_selection import BROKEN

if TYPE_CHECKING:
    from tests.plugin.conftest import Trtcheck

IN_PROCESS = ("-n0", "--continue-on-collection-errors")


def add_to_conftest(trtcheck: Trtcheck, source: str) -> None:
    path = trtcheck.pytester.path / "conftest.py"
    path.write_text(path.read_text() + "\nimport os, pytest\n" + source)


@pytest.mark.parametrize("args", [(), IN_PROCESS], ids=["workers", "in_process"])
def test_a_file_that_cannot_be_collected_is_in_every_report(trtcheck: Trtcheck, args: tuple[str, ...]) -> None:
    trtcheck.judge(SOUND)
    result = trtcheck.run(own(trtcheck, "raise RuntimeError('no engine here')"), *args)
    assert result.ret in {1, 2}
    assert trtcheck.report["verdict"] == "rejected"
    lost = next(entry for entry in trtcheck.report["results"] if entry["outcome"] == "error")
    assert lost["name"] == "test_own.py"
    assert "no engine here" in lost["message"]
    assert "no engine here" in (trtcheck.report_folder / "TEST-trtcheck.xml").read_text()


def test_checks_that_got_no_turn_make_the_run_inconclusive(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    add_to_conftest(
        trtcheck,
        "def pytest_configure(config): os.worker = hasattr(config, 'workerinput')\n"
        "def pytest_runtest_logfinish(nodeid):\n    if 'one' in nodeid and os.worker: os.abort()\n",
    )
    path = own(trtcheck, "def test_one(): pass\ndef test_two(): pass\ndef test_bad(): assert 0\n")
    result = trtcheck.run(path, "--max-worker-restart=0", "-k", "test_")
    assert result.ret in {1, 10}
    assert trtcheck.report["verdict"] != "accepted"
    assert any(
        "ended between checks or while leaving: crash: SIGABRT" in note
        for note in trtcheck.report["isolation"]["notes"]
    )


@pytest.mark.parametrize("args", [(), ("-n1",)], ids=["in_process", "worker"])
def test_items_that_a_conftest_drops_make_the_run_inconclusive(trtcheck: Trtcheck, args: tuple[str, ...]) -> None:
    trtcheck.judge(BROKEN)
    add_to_conftest(
        trtcheck,
        "def pytest_collection_modifyitems(items):\n    items[:] = [i for i in items if 'DNN' not in i.nodeid]\n",
    )
    assert trtcheck.run("--trtcheck-level=static", *args).ret == 10
    assert trtcheck.results()["TRC-DNN-001-tensorrt"] == ("not_run", "stopped")


def test_a_bundled_check_that_a_conftest_expects_to_fail_has_failed(trtcheck: Trtcheck) -> None:
    trtcheck.judge(BROKEN)
    add_to_conftest(
        trtcheck, "def pytest_collection_modifyitems(items):\n    [i.add_marker(pytest.mark.xfail) for i in items]\n"
    )
    assert trtcheck.run("--trtcheck-level=static").ret == 1
    assert trtcheck.results()["TRC-DNN-001-tensorrt"] == ("failed", None)


def test_a_bundled_check_that_a_conftest_skips_makes_the_run_inconclusive(trtcheck: Trtcheck) -> None:
    trtcheck.judge(BROKEN)
    add_to_conftest(
        trtcheck, "def pytest_collection_modifyitems(items):\n    [i.add_marker(pytest.mark.skip) for i in items]\n"
    )
    assert trtcheck.run("--trtcheck-level=static").ret == 10


def test_autouse_fixtures_of_a_conftest_leave_bundled_checks_alone(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    add_to_conftest(trtcheck, "@pytest.fixture(autouse=True)\ndef database(): raise OSError('no database')\n")
    assert trtcheck.run("--trtcheck-level=static").ret == 0
    assert trtcheck.run(own(trtcheck, "def test_own(): pass"), "--trtcheck-level=static").ret == 1


def test_a_profile_that_asks_for_nothing_accepts_nothing(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    profile = trtcheck.pytester.path / "empty.json"
    profile.write_text(
        json.dumps({"schema_version": 1, "name": "empty", "title": "Nothing", "required_components": [],
                    "required_checks": [], "minimum_executed": {}})
    )  # fmt: skip
    assert trtcheck.run("--trtcheck-level=static", f"--trtcheck-profile={profile}", "-k", "nothing_at_all").ret == 10


def test_reports_of_an_earlier_run_do_not_outlive_the_start_of_the_next(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    assert trtcheck.run("--trtcheck-level=static").ret == 0
    process = start(trtcheck, own(trtcheck, "def test_running(): time.sleep(60)"))
    wait_for_start(trtcheck, "test_running")
    process.kill()
    process.communicate()
    assert not (trtcheck.report_folder / "report.json").exists()
    assert not (trtcheck.report_folder / "TEST-trtcheck.xml").exists()


def test_two_runs_do_not_share_a_report_folder(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    process = start(trtcheck, own(trtcheck, "def test_running(): time.sleep(60)"))
    wait_for_start(trtcheck, "test_running")
    result = trtcheck.run("--trtcheck-level=static")
    process.terminate()
    process.communicate(timeout=30)
    assert result.ret == 4
    assert "another run writes to" in result.stderr.str()
    assert trtcheck.report["verdict"] == "rejected"


@pytest.mark.parametrize("args", [(), ("-n0",)], ids=["workers", "in_process"])
def test_a_check_that_needs_more_gpus_than_there_are_does_not_run(trtcheck: Trtcheck, args: tuple[str, ...]) -> None:
    trtcheck.judge(TWO_GPUS)
    trtcheck.run(own(trtcheck, "@pytest.mark.trtcheck_gpus(8)\ndef test_many(): pass\n"), *args)
    many = next(entry for entry in trtcheck.report["results"] if entry["name"].endswith("test_many"))
    assert (many["outcome"], many["reason"], many["message"]) == ("not_run", "no_gpu", "needs 8 GPUs, 2 here")


@pytest.mark.parametrize(
    "mark", ["trtcheck_deadline()", "trtcheck_deadline('soon')", "trtcheck_deadline(0)", "trtcheck_gpus('two')"]
)
def test_a_mark_that_says_nothing_fails_its_check(trtcheck: Trtcheck, mark: str) -> None:
    trtcheck.judge(SOUND)
    assert trtcheck.run(own(trtcheck, f"@pytest.mark.{mark}\ndef test_own(): pass\n")).ret == 1
    own_result = next(entry for entry in trtcheck.report["results"] if entry["name"].endswith("test_own"))
    assert own_result["outcome"] == "error"
    assert "expected one number above 0" in own_result["message"]


def test_a_path_that_is_not_there_is_told(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    result = trtcheck.run("nosuchfile.py")
    assert result.ret == 4
    assert "file or directory not found: nosuchfile.py" in result.stderr.str()


def test_stopping_at_the_first_failure_is_a_failure_and_not_an_interrupt(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    assert trtcheck.run(own(trtcheck, "def test_bad(): assert 0\ndef test_after(): pass\n"), "-x").ret == 1


def test_a_hang_while_collecting_is_bounded_and_named(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    result = trtcheck.run(own(trtcheck, "time.sleep(600)\n"), "--trtcheck-deadline=2")
    assert result.ret != 0
    lost = next(entry for entry in trtcheck.report["results"] if entry["name"] == "collection")
    assert "while collecting: hang" in lost["message"]


def test_a_crash_while_collecting_is_named(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    assert trtcheck.run(own(trtcheck, "os.abort()")).ret != 0
    lost = next(entry for entry in trtcheck.report["results"] if entry["name"] == "collection")
    assert "while collecting: crash: SIGABRT" in lost["message"]


def test_text_that_is_no_unicode_costs_nothing(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    path = own(trtcheck, "def test_bad(): assert 0, os.fsdecode(b'/lib/\\xff.so')\ndef test_after(): pass\n")
    assert trtcheck.run(path).ret == 1
    outcomes = {entry["name"].rpartition("::")[2]: entry["outcome"] for entry in trtcheck.report["results"]}
    assert (outcomes["test_bad"], outcomes["test_after"]) == ("failed", "passed")


def test_pytest_exit_in_a_check_is_an_error_of_that_check(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    result = trtcheck.run(
        own(trtcheck, "def test_leaves(): pytest.exit('enough', returncode=0)\ndef test_after(): pass\n")
    )
    assert result.ret != 0
    assert "INTERNALERROR" not in result.stdout.str()
    leaves = next(entry for entry in trtcheck.report["results"] if entry["name"].endswith("test_leaves"))
    assert leaves["outcome"] == "error"


def test_children_of_a_dead_worker_do_not_outlive_it(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    trtcheck.run(own(trtcheck, "def test_fault():\n    subprocess.Popen(['sleep', '4321'])\n    ctypes.string_at(0)\n"))
    assert subprocess.run(["pgrep", "-f", "^sleep 4321"], check=False, capture_output=True).stdout == b""


def test_a_py_spy_that_prints_bytes_does_not_end_the_watch(trtcheck: Trtcheck, monkeypatch: pytest.MonkeyPatch) -> None:
    trtcheck.judge(SOUND)
    folder = trtcheck.pytester.mkdir("bin")
    (folder / "py-spy").write_text("#!/bin/sh\nprintf 'frame \\377'\n")
    (folder / "py-spy").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    source = "@pytest.mark.trtcheck_deadline(2)\ndef test_hang(): time.sleep(60)\n"
    assert trtcheck.run(own(trtcheck, source)).ret == 1
    hang = next(entry for entry in trtcheck.report["results"] if entry["outcome"] == "error")
    assert hang["message"].startswith("hang")
    assert "frame" in hang["text"]


def test_a_hook_that_raises_does_not_take_the_verdict_with_it(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    add_to_conftest(trtcheck, "def pytest_trtcheck_report_written(): raise OSError('no network')\n")
    result = trtcheck.run("--trtcheck-level=static")
    assert result.ret == 0
    assert "no network" in result.stdout.str()


def test_torch_that_dies_on_the_cpu_is_not_excused_by_a_missing_driver(trtcheck: Trtcheck) -> None:
    from tests.stacks import dist, stack

    trtcheck.judge(stack(torch="2.13.0", torch_cuda="none", dists=[dist("torch", "2.13.0")]))
    folder = trtcheck.pytester.mkdir("modules")
    (folder / "torch.py").write_text("import ctypes\ndef zeros(n): ctypes.string_at(0)\n")
    trtcheck.pytester._monkeypatch.setenv("PYTHONPATH", str(folder))
    assert trtcheck.run().ret == 1
    assert trtcheck.results()["TRC-IMP-002-torch"] == ("failed", None)
