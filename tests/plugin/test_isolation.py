"""Checks on workers: a death costs one check, whatever it is; and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from tests.native import compile_library, needs_gcc
from tests.stacks import gpu, stack

if TYPE_CHECKING:
    from tests.plugin.conftest import Trtcheck

SCHEMA = Path(__file__).parents[2] / "reports" / "report.schema.v3.json"
PRELUDE = "import ctypes, os, signal, subprocess, sys, time, pytest\n"
SOUND = stack(gpu="NVIDIA H200", gpus=[gpu(uuid="GPU-one")], driver="580.65.06")
TWO_GPUS = stack(gpu="NVIDIA H200", gpus=[gpu(uuid="GPU-one"), gpu(uuid="GPU-two", index=1)], driver="580.65.06")

DEATHS = {
    "segfault": ("ctypes.string_at(0)", "crash: SIGSEGV; Fatal Python error: Segmentation fault"),
    "abort": ("os.abort()", "crash: SIGABRT"),
    "exit": ("os._exit(7)", "exit: the process left with status 7 in the middle of the check"),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "crash: SIGKILL from outside"),
    "terminated": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", "crash: SIGTERM"),
}


def own(trtcheck: Trtcheck, source: str) -> str:
    return str(trtcheck.pytester.makepyfile(test_own=PRELUDE + source))


@pytest.fixture
def nothing_left(trtcheck: Trtcheck, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail if the test leaves a process, a temporary folder or a shared-memory segment behind."""
    temporary = trtcheck.pytester.mkdir("temporary")
    monkeypatch.setenv("TMPDIR", str(temporary))
    segments = set(Path("/dev/shm").iterdir())

    def left() -> list[object]:
        return [
            _processes_below(trtcheck.pytester.path),
            list(temporary.iterdir()),
            set(Path("/dev/shm").iterdir()) - segments,
        ]

    yield
    end = time.monotonic() + 10
    while time.monotonic() < end and any(left()):
        time.sleep(0.1)
    assert left() == [[], [], set()]


def _processes_below(folder: Path) -> list[str]:
    """Return the commands of all processes whose current folder lies there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if (entry / "cwd").readlink().is_relative_to(folder):
                    found.append(_command(entry))
    return found


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("death", DEATHS, ids=list(DEATHS))
def test_a_death_costs_one_check_and_is_named(trtcheck: Trtcheck, death: str) -> None:
    code, words = DEATHS[death]
    trtcheck.judge(SOUND)
    path = own(trtcheck, f"def test_before(): pass\ndef test_fault():\n    {code}\ndef test_after(): pass\n")
    result = trtcheck.run(path)
    assert result.ret == 1
    results = {entry["name"].rpartition("::")[2]: entry for entry in trtcheck.report["results"]}
    assert [results[f"test_{name}"]["outcome"] for name in ("before", "fault", "after")] == [
        "passed",
        "error",
        "passed",
    ]
    assert results["test_fault"]["message"].startswith(words)
    assert all(entry["outcome"] in {"passed", "not_run"} for name, entry in results.items() if name != "test_fault")
    assert trtcheck.report["isolation"]["restarts"] == 1
    cases = ET.parse(trtcheck.report_folder / "TEST-trtcheck.xml").getroot().iter("testcase")
    assert len(list(cases)) == len(results)
    jsonschema.validate(trtcheck.report, json.loads(SCHEMA.read_text(encoding="utf-8")))


@pytest.mark.usefixtures("nothing_left")
def test_a_hang_is_killed_at_its_deadline_with_stacks_and_all_its_children(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    source = """
@pytest.mark.trtcheck_deadline(2)
def test_hang():
    subprocess.Popen(["sleep", "1234"])
    where_it_hangs()
def where_it_hangs():
    while True: pass
def test_after(): pass
"""
    result = trtcheck.run(own(trtcheck, source))
    assert result.ret == 1
    results = {entry["name"].rpartition("::")[2]: entry for entry in trtcheck.report["results"]}
    # The timeline of the report shows it, though the process that would have timed it is dead.
    assert results["test_hang"]["started"]
    assert results["test_hang"]["seconds"] >= 2
    assert results["test_hang"]["message"] == "hang: still running at its deadline of 2 s; the worker was killed"
    assert "in where_it_hangs" in results["test_hang"]["text"]
    assert results["test_after"]["outcome"] == "passed"
    assert not [entry for entry in Path("/proc").iterdir() if _command(entry) == "sleep 1234"]


def test_a_default_deadline_can_be_given(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    assert trtcheck.run(own(trtcheck, "def test_hang(): time.sleep(30)"), "--trtcheck-deadline=1").ret == 1
    assert "deadline of 1 s" in trtcheck.report["results"][-1]["message"] + trtcheck.report["results"][0]["message"]


def test_last_words_of_native_code_are_in_the_report(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    source = """
def test_fault():
    os.write(2, b"terminate called after throwing an instance of 'std::runtime_error'\\n  what():  no engine\\n")
    os.abort()
"""
    trtcheck.run(own(trtcheck, source))
    fault = next(entry for entry in trtcheck.report["results"] if entry["outcome"] == "error")
    assert fault["message"] == "crash: SIGABRT; C++ terminate, std::runtime_error: no engine"
    assert "what():  no engine" in fault["text"]


def test_restarts_have_a_bound_and_reaching_it_is_told(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    source = "@pytest.mark.parametrize('n', range(6))\ndef test_fault(n): os._exit(3)\n"
    result = trtcheck.run(own(trtcheck, source), "--max-worker-restart=2")
    assert result.ret == 1
    outcomes = [entry["outcome"] for entry in trtcheck.report["results"] if "test_fault" in entry["name"]]
    assert outcomes == ["error"] * 3 + ["not_run"] * 3
    assert any("more than 2 workers died" in note for note in trtcheck.report["isolation"]["notes"])
    left = next(
        entry for entry in trtcheck.report["results"] if entry["outcome"] == "not_run" and entry["suite"] == "tests"
    )
    assert left["message"] == "workers died more often than is allowed"


def test_the_check_that_was_waiting_behind_a_death_runs_in_a_new_worker(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    source = (
        "def test_fault(): os._exit(3)\ndef test_pid(): open('pid', 'w').write(os.environ['PYTEST_XDIST_WORKER'])\n"
    )
    trtcheck.run(own(trtcheck, source))
    assert (trtcheck.pytester.path / "pid").read_text() == "gw1"


def test_in_process_run_says_that_it_was_not_isolated(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    for args in (("-n0",), ("-p", "no:xdist")):
        assert trtcheck.run(own(trtcheck, "def test_own(): pass"), *args).ret == 0
        assert trtcheck.report["isolation"]["mode"] == "in_process"
        assert any("pytest's own process" in words for words in trtcheck.report["not_looked_at"])


def test_no_worker_is_started_where_nothing_native_runs(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    trtcheck.run("--trtcheck-level=static")
    assert trtcheck.report["isolation"] == {
        "max_restarts": None, "mode": "not_needed", "notes": [], "restarts": 0, "workers": []
    }  # fmt: skip


GPU_SOURCE = """
def log(name):
    with open("seen", "a") as file:
        file.write(f"{time.monotonic()} {name} {os.environ['CUDA_VISIBLE_DEVICES']} begin\\n")
    time.sleep(0.3)
    with open("seen", "a") as file:
        file.write(f"{time.monotonic()} {name} {os.environ['CUDA_VISIBLE_DEVICES']} end\\n")
@pytest.mark.parametrize("n", range(4))
def test_one(n): log(f"one{n}")
@pytest.mark.trtcheck_gpus(2)
@pytest.mark.parametrize("n", range(2))
def test_two(n): log(f"two{n}")
"""


def seen(trtcheck: Trtcheck) -> list[list[str]]:
    return [line.split() for line in (trtcheck.pytester.path / "seen").read_text().splitlines()]


def test_each_gpu_has_its_worker_and_checks_of_several_gpus_run_alone(
    trtcheck: Trtcheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    trtcheck.judge(TWO_GPUS)
    result = trtcheck.run(own(trtcheck, GPU_SOURCE))
    assert result.ret == 0, result.stdout.str()
    assert trtcheck.report["isolation"]["workers"] == ["gpu0", "gpu1", "all"]
    events = seen(trtcheck)
    assert {event[2] for event in events if event[1].startswith("one")} == {"GPU-one", "GPU-two"}
    assert {event[2] for event in events if event[1].startswith("two")} == {"GPU-one,GPU-two"}
    open_checks: set[str] = set()
    for _, name, _, edge in sorted(events, key=lambda event: float(event[0])):
        (open_checks.add if edge == "begin" else open_checks.discard)(name)
        assert not (any(one.startswith("two") for one in open_checks) and len(open_checks) > 1), open_checks


@pytest.mark.parametrize(
    ("visible", "args", "devices"),
    [
        (None, ("--trtcheck-gpus=1",), {"GPU-two"}),
        ("1", (), {"GPU-two"}),
        ("GPU-one", (), {"GPU-one"}),
        (None, ("-n1",), {"GPU-one"}),
        (None, ("-n4",), {"GPU-one", "GPU-two"}),
    ],
)
def test_the_users_choice_of_gpus_and_workers_stands(
    trtcheck: Trtcheck, monkeypatch: pytest.MonkeyPatch, visible: str | None, args: tuple[str, ...], devices: set[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    trtcheck.judge(TWO_GPUS)
    assert trtcheck.run(own(trtcheck, GPU_SOURCE.partition("@pytest.mark.trtcheck_gpus")[0]), *args).ret == 0
    assert {event[2] for event in seen(trtcheck)} == devices


def test_an_empty_cuda_visible_devices_means_no_gpu(trtcheck: Trtcheck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    trtcheck.judge(TWO_GPUS)
    trtcheck.run(own(trtcheck, "def test_own(): assert os.environ['CUDA_VISIBLE_DEVICES'] == ''"))
    assert trtcheck.report["isolation"]["workers"] == ["cpu"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--trtcheck-gpus=7"], ["GPU 7", "visible: 0, 1"]),
        (["--trtcheck-gpus=one"], ["0,2", "'one'"]),
        (["--trtcheck-deadline=0"], ["above 0", "'0'"]),
        (["--trtcheck-deadline=soon"], ["above 0", "'soon'"]),
        (["-n2", "--dist=each"], ["--dist each", "every worker would run every check"]),
        (["-n2", "--dist=loadfile"], ["--dist loadfile", "GPUs"]),
        (["--tx", "2*popen", "--dist=load"], ["--tx", "-n"]),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(trtcheck: Trtcheck, args: list[str], words: list[str]) -> None:
    trtcheck.judge(TWO_GPUS)
    result = trtcheck.run(own(trtcheck, "def test_own(): pass"), *args)
    assert result.ret == 4
    lines = [line for line in result.stderr.lines if line.strip()]
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0]


def start(trtcheck: Trtcheck, path: str, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pytest", "--trtcheck", path, *args]
    return subprocess.Popen(
        command, cwd=trtcheck.pytester.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for_start(trtcheck: Trtcheck, name: str) -> None:
    end = time.monotonic() + 60
    journal = trtcheck.report_folder / "journal.jsonl"
    while time.monotonic() < end:
        if journal.exists() and f'"event": "start", "nodeid": "test_own.py::{name}"' in journal.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(journal.read_text() if journal.exists() else "no journal")


THREE = "def test_before(): pass\ndef test_running(): time.sleep(60)\ndef test_never(): pass\n"
ENDED = {"test_before": "passed", "test_running": "error", "test_never": "not_run"}


def outcomes(trtcheck: Trtcheck) -> dict[str, str]:
    results = trtcheck.report["results"]
    return {entry["name"].rpartition("::")[2]: entry["outcome"] for entry in results if entry["suite"] == "tests"}


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_finishes_the_reports_at_once(trtcheck: Trtcheck, number: signal.Signals) -> None:
    trtcheck.judge(SOUND)
    process = start(trtcheck, own(trtcheck, THREE))
    wait_for_start(trtcheck, "test_running")
    began = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode == 2
    assert outcomes(trtcheck) == ENDED
    assert trtcheck.report["verdict"] == "rejected"


@pytest.mark.usefixtures("nothing_left")
def test_after_sigkill_the_reports_are_made_from_the_journal(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    process = start(trtcheck, own(trtcheck, THREE))
    wait_for_start(trtcheck, "test_running")
    exchange = list((trtcheck.pytester.path / "temporary").iterdir())
    process.kill()
    process.communicate(timeout=30)
    assert not (trtcheck.report_folder / "report.json").exists()
    command = [sys.executable, "-m", "pytest_trtcheck", "render", str(trtcheck.report_folder)]
    end = subprocess.run(command, capture_output=True, text=True, check=False)
    assert end.returncode == 2, end.stderr
    assert outcomes(trtcheck) == ENDED
    running = next(entry for entry in trtcheck.report["results"] if entry["name"].endswith("test_running"))
    assert running["message"].startswith("run killed")
    for path in exchange:
        # A controller that is killed cannot remove its own folder.
        subprocess.run(["rm", "-r", str(path)], check=False)


def test_render_makes_the_files_of_a_finished_run_again(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    trtcheck.run("--trtcheck-level=static")
    before = (trtcheck.report_folder / "report.md").read_text()
    (trtcheck.report_folder / "report.md").unlink()
    command = [sys.executable, "-m", "pytest_trtcheck", "render", str(trtcheck.report_folder)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert (trtcheck.report_folder / "report.md").read_text() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "found neither"),
        (b"", "expected the event 'run' first"),
        (b'{"event": "end"}\n', "expected the event 'run' first, found 'end'"),
        (b'{"event": "run"}\n', "not a journal of pytest --trtcheck"),
        (b"\xff\xfe\n{}\n", "line 1"),
        (b'{"event": 7}\n', "line 1"),
    ],
    ids=["nothing", "empty", "wrong_first", "incomplete", "bytes", "no_event"],
)
def test_render_of_a_folder_that_is_no_report_is_one_line(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "journal.jsonl").write_bytes(content)
    command = [sys.executable, "-m", "pytest_trtcheck", "render", str(tmp_path)]
    end = subprocess.run(command, capture_output=True, text=True, check=False)
    assert end.returncode == 4
    assert len(end.stderr.splitlines()) == 1
    assert words in end.stderr


def test_a_report_folder_that_vanishes_is_told_and_does_not_end_the_run(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    source = "import shutil\ndef test_vanish(): shutil.rmtree('trtcheck-report')\ndef test_after(): pass\n"
    result = trtcheck.run(own(trtcheck, source))
    assert "vanished" in result.stdout.str()
    result.stdout.fnmatch_lines(["*2 passed*"])


def test_a_full_disk_is_told_and_does_not_end_the_run(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    trtcheck.report_folder.mkdir()
    (trtcheck.report_folder / "journal.jsonl").symlink_to("/dev/full")
    result = trtcheck.run("--trtcheck-level=static")
    assert "No space left on device" in result.stdout.str()
    assert result.ret == 0
    assert trtcheck.report["verdict"] == "accepted"


def test_the_controller_maps_no_gpu_library(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    trtcheck.pytester.makepyfile(
        peek="""
        def pytest_trtcheck_report_written(config, report, files):
            with open("/proc/self/maps") as maps:
                names = {line.split()[-1].rsplit("/", 1)[-1] for line in maps if ".so" in line}
            open("mapped", "w").write("\\n".join(sorted(names)))
        """
    )
    trtcheck.run(own(trtcheck, "def test_own(): pass"), "-p", "peek")
    mapped = (trtcheck.pytester.path / "mapped").read_text()
    assert "libc.so" in mapped
    for name in ("libcuda", "libnvidia-ml", "libnvinfer", "libtorch", "libcudart", "libcudnn"):
        assert name not in mapped


STAND_IN_LIBCUDA = """
#include <stddef.h>
static int status = 0;
static size_t used = 1000;
void break_context(int code) { status = code; }
void take(size_t bytes) { used += bytes; }
int cuCtxGetCurrent(void **context) { *context = &status; return 0; }
int cuCtxSynchronize(void) { return status; }
int cuMemAlloc_v2(unsigned long long *block, size_t bytes) { *block = bytes; return status; }
int cuMemFree_v2(unsigned long long block) { return block ? status : 1; }
int cuMemGetInfo_v2(size_t *free, size_t *total) { *total = 1ul << 40; *free = *total - used; return status; }
int cuGetErrorName(int code, const char **name) { *name = code == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "?"; return 0; }
"""


def load_stand_in(trtcheck: Trtcheck) -> str:
    """Return source that loads a stand-in for libcuda: this machine may have no driver."""
    library = compile_library(trtcheck.pytester.path / "libcuda.so.1", STAND_IN_LIBCUDA)
    return f"driver = ctypes.CDLL({str(library)!r})\ndriver.take.argtypes = [ctypes.c_size_t]\n"


@needs_gcc
def test_a_lost_cuda_context_fails_its_check_by_name_and_costs_no_other(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    source = load_stand_in(trtcheck) + "def test_fault(): driver.break_context(700)\ndef test_after(): pass\n"
    assert trtcheck.run(own(trtcheck, source)).ret == 1
    results = {entry["name"].rpartition("::")[2]: entry for entry in trtcheck.report["results"]}
    assert results["test_fault"]["outcome"] == "failed"
    assert results["test_fault"]["message"].startswith("CUDA_ERROR_ILLEGAL_ADDRESS")
    assert (results["test_after"]["outcome"], results["test_after"]["worker"]) == ("passed", "gw1")
    assert any("CUDA context was lost" in note for note in trtcheck.report["isolation"]["notes"])


@needs_gcc
def test_gpu_memory_that_is_not_given_back_is_told(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    source = load_stand_in(trtcheck) + "def test_sound(): pass\ndef test_greedy(): driver.take(300 << 20)\n"
    assert trtcheck.run(own(trtcheck, source)).ret == 0
    results = {entry["name"].rpartition("::")[2]: entry for entry in trtcheck.report["results"]}
    assert results["test_sound"]["memory_left_bytes"] == 0
    assert results["test_greedy"]["memory_left_bytes"] == 300 << 20
    finding = next(finding for finding in trtcheck.report["findings"] if finding["id"] == "TRC-RUN-001")
    assert "test_greedy, 300 MiB" in finding["found"]


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_left")
def test_selftest_catches_every_fault_that_this_machine_can_show(trtcheck: Trtcheck) -> None:
    result = trtcheck.pytester.runpytest_subprocess("--trtcheck-selftest")
    text = result.stdout.str()
    assert result.ret == 0, text
    assert "MISSED" not in text
    here = (
        "segfault abort exit_0 python_loop c_loop_holding_gil memory_limit broken_import worker_killed failing_fixture"
    )
    for fault in (*here.split(), "checks_around", "controller_sigterm", "controller_sigkill"):
        assert any(line.startswith(fault) and " caught " in line for line in result.stdout.lines), fault


def test_selftest_would_tell_a_fault_that_was_missed() -> None:
    from pytest_trtcheck.selftest import _hold

    results = {"test_selftest.py::test_fault[segfault]": {"outcome": "passed", "message": ""}}
    assert _hold(results, "[segfault]", "error", "SIGSEGV", "segfault").caught is False
    assert _hold({}, "[segfault]", "error", "SIGSEGV", "segfault").caught is False
    results["test_selftest.py::test_fault[segfault]"] = {"outcome": "error", "message": "hang"}
    assert _hold(results, "[segfault]", "error", "SIGSEGV", "segfault").caught is False


def test_journal_is_flushed_line_by_line(trtcheck: Trtcheck) -> None:
    trtcheck.judge(SOUND)
    trtcheck.run(own(trtcheck, "def test_own(): pass"))
    events = [json.loads(line) for line in (trtcheck.report_folder / "journal.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events][:2] == ["run", "plan"]
    assert events[-1]["event"] == "end"
    begun = [event["nodeid"] for event in events if event["event"] == "start"]
    ended = [event["result"]["nodeid"] for event in events if event["event"] == "result"]
    assert "test_own.py::test_own" in begun
    assert set(begun) == set(ended)
