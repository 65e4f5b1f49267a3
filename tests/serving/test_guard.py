"""The guard ends a server, whatever becomes of the owner. ``sleep`` stands in for the server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_trtcheck.isolation.guard import SHARED_MEMORY, Charge, leftovers, members, start_guard
from pytest_trtcheck.isolation.watch import kill_tree

SERVER = "sleep 300 & sleep 300"
OWNER = """
import sys, time
from pytest_trtcheck.isolation.guard import Charge, start_guard
guard = start_guard(Charge(("sh", "-c", {server!r}), dict(PATH="/usr/bin:/bin"), {log!r}, {folder!r}, {prefix!r}))
print(guard.stdout.readline().split()[1].decode(), flush=True)
time.sleep(300)
"""


def gone(session: int, charge: Charge) -> bool:
    until = time.monotonic() + 15
    while time.monotonic() < until:
        if not members(session) and not leftovers(charge) and not Path(charge.folder).exists():
            return True
        time.sleep(0.05)
    return False


def charge_of(tmp_path: Path) -> Charge:
    folder = tmp_path / "private"
    folder.mkdir()
    prefix = f"trtcheck_test_{os.getpid()}_{tmp_path.name}_"
    (SHARED_MEMORY / f"{prefix}region").write_bytes(b"x")
    command = ("sh", "-c", SERVER)
    return Charge(command, {"PATH": "/usr/bin:/bin"}, str(folder / "log"), str(folder), prefix)


@pytest.mark.parametrize("way", ["killed", "killed with all its children"])
def test_nothing_outlives_an_owner_that_is_killed(tmp_path: Path, way: str) -> None:
    charge = charge_of(tmp_path)
    program = OWNER.format(server=SERVER, log=charge.log, folder=charge.folder, prefix=charge.shared_memory_prefix)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        session = int(owner.stdout.readline())
        until = time.monotonic() + 15
        while len(members(session)) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        there = members(session), leftovers(charge)
        if way == "killed":
            owner.kill()
        else:
            kill_tree(owner.pid)
    assert len(there[0]) >= 2
    assert there[1]
    assert gone(session, charge)


def test_the_guard_tells_how_a_server_ended_and_cleans_up_when_it_is_let_go(tmp_path: Path) -> None:
    charge = charge_of(tmp_path)
    ending = Charge(("sh", "-c", "exit 7"), charge.environment, charge.log, charge.folder, charge.shared_memory_prefix)
    guard = start_guard(ending)
    assert guard.stdout is not None
    assert guard.stdin is not None
    session = int(guard.stdout.readline().split()[1])
    assert guard.stdout.readline() == b"exited 7\n"
    assert Path(charge.folder).exists(), "the log is there until the owner has read it"
    guard.stdin.close()
    assert guard.stdout.read() == b""
    guard.stdout.close()
    guard.wait()
    assert gone(session, charge)


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    charge = charge_of(tmp_path)
    guard = start_guard(Charge(("/no/such/program",), {}, charge.log, charge.folder, charge.shared_memory_prefix))
    assert guard.stdout is not None
    assert guard.stdin is not None
    assert guard.stdout.readline().startswith(b"failed [Errno 2]")
    guard.stdin.close()
    guard.stdout.close()
    guard.wait()
    assert gone(-1, charge)
