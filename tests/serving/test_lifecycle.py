"""Servers come up and go away, whatever is in their way, and leave nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_trtcheck._suites.serving import repository
from pytest_trtcheck._suites.serving.bench import Bench
from pytest_trtcheck._suites.serving.checking import Check, Wrong
from pytest_trtcheck._suites.serving.checks.soak import growth, soaked
from pytest_trtcheck._suites.serving.execution import execute
from pytest_trtcheck._suites.serving.installation import Installation
from pytest_trtcheck._suites.serving.pulse import STARVED_SECONDS, Pulse
from pytest_trtcheck._suites.serving.server import Server, ServerError
from pytest_trtcheck._suites.serving.starting import free_ports, start_server
from pytest_trtcheck._suites.serving.tensors import tensor
from pytest_trtcheck._suites.serving.variants import BROKEN
from pytest_trtcheck._suites.serving.vitals import Vitals
from pytest_trtcheck.isolation.guard import SHARED_MEMORY, members

OPTIONS = ["--disable-auto-complete-config"]
EXITS = "import os\nos._exit(3)\n"
EXITS_ONCE = """
import os
from pathlib import Path
flag = Path({flag!r})
if not flag.exists():
    flag.touch()
    os._exit(3)
from pytest_trtcheck._suites.serving.models.echo import TritonPythonModel
"""


def files(source: str | None = None) -> list[tuple[str, str | bytes]]:
    found = repository.files_of([repository.echo()])
    return [(name, source if source and name.endswith(".py") else content) for name, content in found]


def starved(bench: Bench) -> list[object]:
    raise Wrong("HTTP 500: Stub process 'paced_0_0' is not healthy.")


@dataclass
class Private:
    """Where the servers of one test live."""

    folder: Path
    before: frozenset[str]
    servers: list[Server] = field(default_factory=list)

    def start(self, *arguments: Any, **more: Any) -> Server:
        """Start a server that ends with the test, however that ends."""
        self.servers.append(start_server(*arguments, **more))
        return self.servers[-1]

    def traces(self) -> list[str]:
        """Return what these servers left: not what others of this process, which tests share, have now."""
        return sorted(found(self.folder) - self.before)


def found(folder: Path) -> frozenset[str]:
    mine = f"trtcheck_{os.getpid()}_"
    names = (entry.name for place in (folder, SHARED_MEMORY) for entry in place.iterdir())
    return frozenset(name for name in names if name.startswith(mine))


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Private]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    private = Private(tmp_path, found(tmp_path))
    yield private
    for server in private.servers:
        server.discard()


@pytest.mark.serving
def test_a_port_that_is_taken_is_named_when_it_was_asked_for(installation: Installation, private: Private) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        with pytest.raises(ServerError, match=rf"failed to start HTTP service|{taken}|Socket"):
            start_server(installation, files(), OPTIONS, ports=[taken, *free_ports(2)])
    assert not private.traces()


@pytest.mark.serving
def test_a_model_repository_that_is_not_there_is_named(installation: Installation, private: Private) -> None:
    gone = str(private.folder / "gone")
    with pytest.raises(ServerError, match="failed to stat"):
        start_server(installation, files(), [*OPTIONS, f"--model-repository={gone}", "--exit-on-error=true"])
    assert not private.traces()


@pytest.mark.serving
def test_a_folder_that_cannot_be_written_is_named(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    # /proc cannot be written by root either.
    monkeypatch.setattr("tempfile.tempdir", "/proc")
    with pytest.raises(ServerError, match=r"private folder: .*/proc/trtcheck_.*; set TMPDIR"):
        start_server(installation, files(), OPTIONS)


@pytest.mark.serving
def test_a_repository_that_is_read_only_is_served(installation: Installation, private: Private) -> None:
    server = private.start(installation, files(), OPTIONS, wait=False)
    for folder, _, _ in os.walk(server.repository):
        Path(folder).chmod(0o555)
    server.wait_until_ready()
    assert server.endpoint.infer("echo", [tensor("IN_INT32", "INT32", [1])])["OUT_INT32"].values == (1,)
    assert server.stop() == []
    assert not private.traces()


@pytest.mark.serving
def test_a_stub_that_dies_once_costs_a_second_start_and_one_that_dies_again_is_named(
    installation: Installation, private: Private, tmp_path: Path
) -> None:
    server = private.start(installation, files(EXITS_ONCE.format(flag=str(tmp_path / "flag"))), OPTIONS)
    assert server.starts == 2
    server.discard()
    with pytest.raises(ServerError, match="Stub process 'echo_0_0' is not healthy"):
        start_server(installation, files(EXITS), OPTIONS)
    assert not private.traces()


@pytest.mark.parametrize(("stood_still", "runs"), [(0.0, 1), (STARVED_SECONDS + 0.1, 2)])
def test_a_check_is_run_again_only_when_the_machine_stood_still(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stood_still: float, runs: int
) -> None:
    calls = []

    def check(bench: Bench) -> list[object]:
        calls.append(1)
        return starved(bench)

    monkeypatch.setattr(Pulse, "__exit__", lambda pulse, *_: setattr(pulse, "longest", stood_still))
    nowhere = Installation(tmp_path, "PATH", "2.51.0", ())
    ran = execute(Check("starved", "TRC-SRV-001", check), Bench(nowhere))  # type: ignore[arg-type]
    assert len(calls) == runs
    assert "is not healthy" in ran.wrong
    assert bool(ran.notes) is (runs == 2)


def test_what_a_process_that_stood_still_missed_is_measured() -> None:
    program = (
        "from pytest_trtcheck._suites.serving.pulse import Pulse\n"
        "with Pulse() as pulse:\n"
        "    print('on', flush=True); input()\n"
        "print(pulse.longest)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "on\n"
        time.sleep(0.3)
        child.send_signal(signal.SIGSTOP)
        time.sleep(1.0)
        child.send_signal(signal.SIGCONT)
        time.sleep(0.3)
        told, _ = child.communicate("\n")
    assert float(told) > STARVED_SECONDS


def test_growth_is_what_does_not_stop_after_the_warm_up() -> None:
    first = Vitals(100, 10, 5, 3)
    level = [replace(first, descriptors=10 + min(number, 5)) for number in range(60)]
    leak = [replace(first, descriptors=10 + number) for number in range(60)]
    assert growth(level) == {"memory_bytes": 0, "descriptors": 0, "shared_memory_bytes": 0, "processes": 0}
    assert growth(leak)["descriptors"] > 25


@pytest.mark.serving
@pytest.mark.serving_long
def test_fifty_starts_and_stops_leave_nothing(installation: Installation, private: Private) -> None:
    again = 0
    for number in range(50):
        server = private.start(installation, files(), OPTIONS)
        again += server.starts - 1
        assert server.endpoint.infer("echo", [tensor("IN_INT32", "INT32", [number])])["OUT_INT32"].values == (number,)
        if number % 5 == 4:
            server.kill()
            server.stop()
        else:
            assert server.stop() == [], f"start {number}"
        assert not members(server.pid)
        assert not private.traces()
    assert again <= 2


@pytest.mark.serving
@pytest.mark.serving_long
def test_a_server_soaks_level_and_one_that_leaks_does_not(installation: Installation) -> None:
    sound = Bench(installation)
    leaky = Bench(installation, change=lambda model: replace(model, source=BROKEN / "echo_leaks.py")
                  if model.name == "echo" else model)  # fmt: skip
    try:
        assert {figure.name for figure in soaked(sound, 20.0)} >= {"rounds", "memory_bytes_grown", "descriptors_grown"}
        with pytest.raises(Wrong, match=r"the server grew: .*descriptors by"):
            list(soaked(leaky, 20.0))
    finally:
        sound.discard()
        leaky.discard()


@pytest.mark.serving
@pytest.mark.serving_long
def test_two_runs_side_by_side_do_not_disturb_each_other(tmp_path: Path) -> None:
    results: dict[str, tuple[list[str], str, dict[str, Any]]] = {}

    def one(name: str) -> None:
        folder = tmp_path / name
        (folder / "tmp").mkdir(parents=True)
        command = [sys.executable, "-m", "pytest", "--trtcheck", "-n0", "-p", "no:cacheprovider", "-k",
                   "serving and (rows or generate or repository or stop)"]  # fmt: skip
        environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        left = [entry.name for entry in (folder / "tmp").glob("trtcheck_*")]
        report = json.loads((folder / "trtcheck-report" / "report.json").read_text())
        results[name] = (left, done.stdout[-3000:], report)

    threads = [threading.Thread(target=one, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for left, output, report in results.values():
        assert not left
        outcomes = [entry["outcome"] for entry in report["results"] if entry["suite"] == "serving"]
        assert outcomes.count("passed") >= 5, output
        assert set(outcomes) == {"passed", "not_run"}, output
