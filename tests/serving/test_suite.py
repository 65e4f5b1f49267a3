"""What a run on the real server tells, and does when things go wrong around it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.serving, pytest.mark.slow]


def run(pytester: pytest.Pytester, *args: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    result = pytester.runpytest_subprocess("--trtcheck", *args)
    return result, json.loads((pytester.path / "trtcheck-report" / "report.json").read_text())


def serving(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in report["results"] if entry["suite"] == "serving"}


def traces(folder: Path) -> list[str]:
    """Return what servers of ours leave where they live."""
    return sorted(entry.name for place in (folder, Path("/dev/shm")) for entry in place.glob("trtcheck_*"))


def orphans(folder: Path) -> set[str]:
    """Return what belongs to owners that are gone: servers of other workers run beside these tests."""
    return {name for name in traces(folder) if not Path("/proc", name.split("_")[1]).exists()}


def test_what_is_known_of_the_server_fails_when_warnings_do_and_limits_are_kept(pytester: pytest.Pytester) -> None:
    _, report = run(
        pytester,
        "-n0",
        "--trtcheck-fail-on=warning",
        "--trtcheck-serving-limits=latency_p99=0.001",
        "-k",
        "test_serving and (wrong-documents or load) and not long and not streams and not llm",
    )
    found = {name: (entry["outcome"], entry["message"]) for name, entry in serving(report).items()
             if entry["outcome"] != "not_run"}  # fmt: skip
    assert set(found) == {"TRC-SRV-014-wrong-documents", "TRC-SRV-018-load"}
    assert all(outcome == "failed" for outcome, _ in found.values())
    assert "is answered with HTTP 500" in found["TRC-SRV-014-wrong-documents"][1]
    assert "expected at most 0.001, found" in found["TRC-SRV-018-load"][1]


def test_a_run_that_is_killed_leaves_nothing_behind(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("tmp")
    environment = {**os.environ, "TMPDIR": str(folder)}
    command = [sys.executable, "-m", "pytest", "--trtcheck", "-k", "repository and serving", "-p", "no:cacheprovider"]
    with subprocess.Popen(
        command, cwd=pytester.path, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    ) as process:
        until = time.monotonic() + 60
        while not list(folder.glob("trtcheck_*/server.log")) and time.monotonic() < until:
            time.sleep(0.05)
        # Not what others have left in shared memory.
        mine = sorted(entry.name for entry in folder.glob("trtcheck_*"))
        assert mine, "no server was started"
        time.sleep(1)
        os.killpg(process.pid, signal.SIGKILL)
    # At once, but processes that wait for a busy disk do not die before it answers.
    until = time.monotonic() + 60
    while traces_of(folder, mine) and time.monotonic() < until:
        time.sleep(0.1)
    assert not traces_of(folder, mine)


def traces_of(folder: Path, names: list[str]) -> list[str]:
    """Return what is left of these servers: by the prefix that folder, shared memory and command line share."""
    prefixes = {"_".join(name.split("_")[:3]) for name in names}
    left = [name for name in traces(folder) if "_".join(name.split("_")[:3]) in prefixes]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            left += [line[:80] for prefix in prefixes if prefix in line and "python -m pytest" not in line]
    return left


def test_at_level_static_nothing_is_started(pytester: pytest.Pytester) -> None:
    _, report = run(pytester, "--trtcheck-level", "static")
    assert serving(report) == {}
