"""``pytest --trtcheck-selftest``: show on this machine that each fault costs one check and is named rightly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAULT_FILE = """
from pytest_trtcheck.selftest.checks import failing, pytest_generate_tests, test_failing_fixture, test_fault, test_last
"""
INTERRUPTED_FILE = "from pytest_trtcheck.selftest.checks import Interrupted as TestInterrupted\n"
_FAULT_RUN_SECONDS = 300
_ORDERLY_END_SECONDS = 5.0


@dataclass(frozen=True)
class Shown:
    """One line of the table."""

    fault: str
    expected: str
    got: str
    caught: bool | None
    """None when this machine cannot show the fault."""


def run_selftest(write: Callable[[str], None]) -> int:
    """Inject all faults, write the table, and return 0 when each that can be shown here was caught, else 1."""
    with tempfile.TemporaryDirectory(prefix="trtcheck-selftest-") as folder:
        lines = [*_faults(Path(folder, "faults")), *_ended_from_outside(Path(folder))]
    for line in render_table(lines):
        write(line)
    shown = [line for line in lines if line.caught is not None]
    missed = [line for line in shown if not line.caught]
    verdict = f"{len(shown) - len(missed)} of {len(shown)} faults were caught"
    write(f"{verdict}, {len(lines) - len(shown)} cannot be shown on this machine")
    return 1 if missed or not shown else 0


def render_table(lines: list[Shown]) -> list[str]:
    """Return the table as text."""
    width = max(len(line.fault) for line in lines)
    words = {True: "caught", False: "MISSED", None: "not shown here"}
    return [f"{line.fault:<{width}}  {words[line.caught]:<14}  {line.expected}: {line.got}" for line in lines]


def _faults(folder: Path) -> list[Shown]:
    """Run all faults that live in a check, in one run, and hold its results against the table."""
    from pytest_trtcheck.selftest.cgroup import remove_leftovers
    from pytest_trtcheck.selftest.faults import FAULTS, FIXTURE_FAULT

    process = _start(folder, FAULT_FILE)
    output, _ = process.communicate(timeout=_FAULT_RUN_SECONDS)
    remove_leftovers()
    results = _results(folder)
    lines = []
    for fault in FAULTS:
        missing = fault.missing()
        if missing:
            lines.append(Shown(fault.name, fault.words, missing, None))
        else:
            lines.append(_hold(results, f"[{fault.name}]", fault.outcome, fault.words, fault.name))
    lines.append(_hold(results, "::test_failing_fixture", "error", FIXTURE_FAULT, FIXTURE_FAULT))
    sound = [result for name, result in results.items() if "[sound_" in name or name.endswith("::test_last")]
    passed = sum(result["outcome"] == "passed" for result in sound)
    written = (folder / "report" / "TEST-trtcheck.xml").exists()
    whole = process.returncode == 1 and sound and passed == len(sound) and written
    got = f"{passed} of {len(sound)} passed, exit status {process.returncode}"
    lines.append(Shown("checks_around", "all sound checks passed, exit status 1", got, bool(whole)))
    if not results:
        lines.append(Shown("run", "a report", output[-500:], False))
    return lines


def _hold(results: dict[str, dict[str, Any]], ending: str, outcome: str, words: str, fault: str) -> Shown:
    result = next((result for name, result in results.items() if name.endswith(ending)), None)
    if result is None:
        return Shown(fault, f"{outcome}, {words}", "no result", False)
    caught = result["outcome"] == outcome and words in result["message"]
    return Shown(fault, f"{outcome}, {words}", f"{result['outcome']}, {result['message'][:120]}", caught)


def _ended_from_outside(folder: Path) -> list[Shown]:
    return [
        _ended(folder / "sigterm", signal.SIGTERM, "controller_sigterm"),
        _ended(folder / "sigkill", signal.SIGKILL, "controller_sigkill"),
    ]


def _ended(folder: Path, number: signal.Signals, fault: str) -> Shown:
    """End the controller while a check runs; after SIGKILL make the reports from the journal."""
    process = _start(folder, INTERRUPTED_FILE)
    try:
        if not _wait_for(lambda: _has_begun(folder, "::test_running"), 60):
            return Shown(fault, "a check that runs", "it never began", False)
        began = time.monotonic()
        process.send_signal(number)
        process.communicate(timeout=60)
        seconds = time.monotonic() - began
    finally:
        process.kill()
    if number is signal.SIGKILL:
        command = [sys.executable, "-m", "pytest_trtcheck", "render", str(folder / "report")]
        subprocess.run(command, capture_output=True, check=False)
    outcomes = {name.rpartition("::")[2]: result["outcome"] for name, result in _results(folder).items()}
    expected = {"test_before": "passed", "test_running": "error", "test_never_reached": "not_run"}
    got = ", ".join(f"{name[5:]} {outcomes.get(name, 'lost')}" for name in expected)
    caught = all(outcomes.get(name) == outcome for name, outcome in expected.items())
    got += f", {seconds:.1f} s"
    return Shown(fault, "before passed, running error, after not run", got, caught and seconds < _ORDERLY_END_SECONDS)


def _start(folder: Path, source: str) -> subprocess.Popen[str]:
    folder.mkdir()
    test_file = folder / "test_selftest.py"
    test_file.write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\n")
    env = {name: value for name, value in os.environ.items() if name not in {"PYTEST_ADDOPTS", "PYTEST_PLUGINS"}}
    # A controller that is killed leaves its temporary folder behind; this one goes with the whole self-test.
    env["TMPDIR"] = str(folder)
    command = [sys.executable, "-m", "pytest", "--trtcheck", str(test_file), "--deselect", "trtcheck"]
    command += [f"--trtcheck-report={folder / 'report'}", "-p", "no:cacheprovider", "--trtcheck-level=quick", "-q"]
    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )


def _has_begun(folder: Path, ending: str) -> bool:
    from pytest_trtcheck.session.journal import read_journal

    try:
        events = read_journal(folder / "report" / "journal.jsonl")
    except (OSError, ValueError):
        return False
    return any(event["event"] == "start" and event["nodeid"].endswith(ending) for event in events)


def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def _results(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        report = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {result["name"]: result for result in report["results"] if result["suite"] == "tests"}
