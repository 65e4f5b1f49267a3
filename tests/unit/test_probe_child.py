"""A child process may crash, hang or babble; the parent gets what it reported and is left clean."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_trtcheck.probe.child import RECORD_BYTES, TAIL_BYTES, ChildEnd, run_child
from pytest_trtcheck.probe.child_pool import ChildPool, default_jobs

Runner = Callable[..., ChildEnd]
REPORT = "import sys\nfrom pytest_trtcheck.probe.child_report import report\nfd = int(sys.argv[1])\n"


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Run source code as a child module."""

    def start(source: str, *args: str, deadline_seconds: float = 20, stop: threading.Event | None = None) -> ChildEnd:
        modules = tmp_path / "modules"
        modules.mkdir(exist_ok=True)
        (modules / "child_under_test.py").write_text(REPORT + source)
        env = {**os.environ, "PYTHONPATH": str(modules)}
        return run_child("child_under_test", args, deadline_seconds=deadline_seconds, env=env, stop=stop)

    return start


def is_running(pid: int) -> bool:
    """Say whether a process runs; one that is dead and not yet reaped by process 1 does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def open_descriptors() -> list[Path]:
    return sorted(Path("/proc/self/fd").iterdir())


def children_of_this_process() -> set[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def died(pid: int) -> bool:
    """Wait a moment for a killed process to be gone."""
    end = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not is_running(pid)


def test_records_come_through_while_stdout_is_full_of_noise(run: Runner) -> None:
    end = run("print('{\"fake\": 1}', flush=True)\nreport(fd, {'args': sys.argv[2:]})\n", "one", "two words")
    assert end.records == ({"args": ["one", "two words"]},)
    assert '{"fake": 1}' in end.stderr_tail
    assert end.ended_well
    assert end.returncode == 0


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import os; os.abort()", "SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    ],
)
def test_signal_that_ended_the_child_is_named_and_its_record_kept(run: Runner, source: str, name: str) -> None:
    end = run(f"report(fd, {{'phase': 1}})\n{source}\n")
    assert (end.signal, end.records) == (name, ({"phase": 1},))
    assert not end.ended_well
    assert name in end.describe()


def test_crash_leaves_a_traceback_in_the_tail_and_no_core_file(run: Runner) -> None:
    end = run(
        "import resource\nreport(fd, {'core': resource.getrlimit(resource.RLIMIT_CORE)[0]})\n"
        "import ctypes\nctypes.string_at(0)\n"
    )
    assert "Fatal Python error: Segmentation fault" in end.stderr_tail
    assert end.records[0]["core"] == 0


def test_exit_status_of_a_child_that_leaves_early_is_told(run: Runner) -> None:
    end = run("import os; os._exit(3)")
    assert (end.returncode, end.signal, end.records) == (3, "", ())
    assert end.describe() == "the child process left with status 3"


def test_hanging_child_dies_at_its_deadline_with_its_own_children(run: Runner) -> None:
    end = run(
        "import subprocess, time\ngrandchild = subprocess.Popen(['sleep', '100'])\n"
        "report(fd, {'pid': grandchild.pid})\ntime.sleep(100)\n",
        deadline_seconds=2,
    )
    assert end.timed_out
    assert end.signal == ""
    assert 1.9 < end.seconds < 7
    assert "hung" in end.describe()
    assert "child_under_test.py" in end.stderr_tail, "the traceback shows where it hung"
    assert died(end.records[0]["pid"])


def test_process_left_behind_by_a_child_that_ended_well_is_killed(run: Runner) -> None:
    end = run("import subprocess\nreport(fd, {'pid': subprocess.Popen(['sleep', '100']).pid})\n")
    assert end.ended_well
    assert end.seconds < 10, "a process that still holds the pipes is not waited for"
    assert died(end.records[0]["pid"])


def test_ten_megabytes_of_stderr_are_cut_to_their_tail(run: Runner) -> None:
    end = run("import os\nfor _ in range(160): os.write(2, b'x' * 65536)\nos.write(2, b'last words')\n")
    assert end.ended_well
    assert len(end.stderr_tail) == TAIL_BYTES
    assert end.stderr_tail.endswith("xlast words")


def test_lines_that_are_no_records_are_left_out(run: Runner) -> None:
    end = run(
        "import os\nos.write(fd, b'\\xff\\xfe junk\\n[1]\\n' + b'[' * 100000 + b'\\n')\nreport(fd, {'good': 1})\n"
    )
    assert end.records == ({"good": 1},)


def test_report_pipe_is_bounded(run: Runner) -> None:
    end = run("for n in range(3000): report(fd, {'n': n, 'pad': 'x' * 1000})\n")
    assert end.ended_well
    assert 0 < len(end.records) <= RECORD_BYTES // 1000


def test_current_folder_does_not_shadow_a_library(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "csv.py").write_text("raise SystemExit('shadowed')\n")
    monkeypatch.chdir(tmp_path)
    end = run("import csv, os\nreport(fd, {'file': csv.__file__, 'cwd': os.getcwd()})\n")
    assert end.ended_well, end.stderr_tail
    assert str(tmp_path) not in end.records[0]["file"]
    assert end.records[0]["cwd"] == str(tmp_path), "relative entries of LD_LIBRARY_PATH keep their meaning"


def test_no_descriptor_is_left_open_and_no_zombie(run: Runner) -> None:
    run("pass")
    before, children = open_descriptors(), children_of_this_process()
    ends = [run("import os; os.abort()"), run("import time; time.sleep(50)", deadline_seconds=0.3)]
    assert [end.signal or "deadline" for end in ends] == ["SIGABRT", "deadline"]
    assert open_descriptors() == before
    assert children_of_this_process() <= children, "a zombie counts as a child; other tests' children may go"


def test_stop_kills_a_running_child_and_keeps_one_from_starting(run: Runner) -> None:
    stop = threading.Event()
    timer = threading.Timer(0.4, stop.set)
    timer.start()
    end = run("import time; time.sleep(50)", stop=stop)
    timer.join()
    assert end.stopped
    assert end.seconds < 5
    never = run("report(fd, {})", stop=stop)
    assert (never.stopped, never.records, never.returncode) == (True, (), None)


def test_child_that_cannot_be_started_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    before = open_descriptors()
    end = run_child("this", deadline_seconds=5)
    assert "/nowhere/python" in end.start_error
    assert not end.ended_well
    assert open_descriptors() == before


def test_lost_exit_status_is_never_taken_for_success(run: Runner) -> None:
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        end = run("import os; os.abort()")
    finally:
        signal.signal(signal.SIGCHLD, previous)
    assert end.returncode is None
    assert not end.ended_well
    assert "SIGCHLD" in end.describe()


def test_child_ends_by_itself_when_its_parent_was_killed(run: Runner) -> None:
    end = run("import signal\nreport(fd, {'left': signal.alarm(0)})\n", deadline_seconds=20)
    assert 20 < end.records[0]["left"] <= 30


SLEEP = "pytest_trtcheck_sleeper"


@pytest.fixture
def sleeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name a child module that reports when it began and ended."""
    (tmp_path / f"{SLEEP}.py").write_text(
        REPORT + "import time\nbegin = time.monotonic()\nreport(fd, {'begin': begin})\n"
        "time.sleep(float(sys.argv[2]))\nreport(fd, {'begin': begin, 'end': time.monotonic()})\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return SLEEP


def test_pool_runs_two_at_a_time(sleeper: str) -> None:
    with ChildPool(2) as pool:
        for name in "abcd":
            pool.start(name, sleeper, ("0.4",), deadline_seconds=20)
        spans = [pool.wait(name).records[-1] for name in "abcd"]
    overlaps = [sum(s["begin"] <= other["begin"] < s["end"] for s in spans) for other in spans]
    assert max(overlaps) == 2


def test_closing_the_pool_kills_what_runs_and_drops_what_waits(sleeper: str) -> None:
    pool = ChildPool(1)
    pool.start("running", sleeper, ("60",), deadline_seconds=90)
    pool.start("queued", sleeper, ("60",), deadline_seconds=90)
    time.sleep(0.5)
    started = time.monotonic()
    pool.close()
    pool.close()
    assert time.monotonic() - started < 5
    assert pool.wait("running").stopped
    assert pool.wait("queued") == ChildEnd(stopped=True)


def test_a_name_is_used_once_in_a_pool(sleeper: str) -> None:
    with ChildPool(1) as pool:
        pool.start("a", sleeper, ("0",), deadline_seconds=20)
        with pytest.raises(ValueError, match="'a'"):
            pool.start("a", sleeper, ("0",), deadline_seconds=20)


@pytest.mark.parametrize(("cores", "jobs"), [(None, 1), (1, 1), (2, 2), (64, 2)])
def test_default_number_of_children_at_a_time(monkeypatch: pytest.MonkeyPatch, cores: int | None, jobs: int) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert default_jobs() == jobs
