"""What merging many reports costs, next to ``junitparser merge`` on the same runs: ``python -m bench.merge``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench.measure import columns, machine
from pytest_trtcheck.report.json_report import to_json
from pytest_trtcheck.report.junit import render_junit
from tests.golden.sample import sample_stack
from tests.unit.test_report_html import large_report


def write_runs(folder: Path, reports: int, checks: int, stacks: int) -> None:
    """Write reports of this many stacks, each into a folder of its own, as JSON and as JUnit."""
    stack = sample_stack()
    driver = replace(stack.facts["driver"], value="DRIVER")
    base = replace(
        large_report(checks), started="STARTED", stack=replace(stack, facts={**stack.facts, "driver": driver})
    )
    text, junit = to_json(base), render_junit(base)
    for number in range(reports):
        hour, minute, second = number // 3600 % 24, number // 60 % 60, number % 60
        started = f"2026-11-20T{hour:02}:{minute:02}:{second:02}+00:00"
        target = folder / f"run-{number:05}"
        target.mkdir()
        # One text with two words replaced: rendering a thousand would take longer than what is measured.
        report = text.replace("STARTED", started).replace("DRIVER", f"580.{number % stacks}")
        (target / "report.json").write_text(report, encoding="utf-8")
        (target / "TEST-trtcheck.xml").write_text(junit, encoding="utf-8")


def measured(command: list[str], statuses: tuple[int, ...], limit: float = 600) -> tuple[str, str, str]:
    """Run a command; return seconds on the clock, of the processor, and the most memory of all its processes."""
    start, most, is_late = time.perf_counter(), 0, False
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        most = max(most, memory_of(process.pid))
        if time.perf_counter() - start > limit and not is_late:
            is_late = True
            process.kill()
        time.sleep(0.1)
    wall = time.perf_counter() - start
    if is_late:
        return f"given up at {limit:g} s", "", f"{most / 1e6:.0f} MB"
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in statuses:
        raise SystemExit(f"{command}: exit {process.returncode}")
    return f"{wall:.1f} s", f"{usage.ru_utime + usage.ru_stime:.1f} s", f"{most / 1e6:.0f} MB"


def junit_to_junit(junitparser: str, folder: Path, count: int, limit: float) -> tuple[str, ...]:
    """Return the row of junitparser, merging the JUnit files of this many runs."""
    files = [str(path) for path in sorted(folder.glob("run-*/TEST-trtcheck.xml"))[:count]]
    merged = folder / "merged.xml"
    figures = measured([junitparser, "merge", *files, str(merged)], (0,), limit)
    size = f"{merged.stat().st_size / 1e6:.1f} MB" if merged.exists() else ""
    merged.unlink(missing_ok=True)
    return (f"junitparser merge, {count} JUnit files", *figures, size)


def memory_of(session: int) -> int:
    """Return the bytes that the processes of a session hold, what they share counted once."""
    return sum(_held_by(int(folder.name), session) for folder in Path("/proc").glob("[0-9]*"))


def _held_by(pid: int, session: int) -> int:
    try:
        if os.getsid(pid) != session:
            return 0
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        return int(rollup.partition("\nPss:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        return 0  # it has ended


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the merging of many reports.")
    parser.add_argument("--reports", type=int, default=1000)
    parser.add_argument("--checks", type=int, default=500)
    parser.add_argument("--limit", type=float, default=120, help="Seconds for junitparser, whose time grows with the "
                        "square of the number of files")  # fmt: skip
    options = parser.parse_args()
    junitparser = str(Path(sys.executable).with_name("junitparser"))
    print(f"{options.reports} reports of {options.checks} checks; {machine()}")
    rows: list[tuple[str, ...]] = []
    for stacks in (1, 40, options.reports):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_runs(folder, options.reports, options.checks, stacks)
            ours = [sys.executable, "-m", "pytest_trtcheck", "merge", name, "--into", str(folder / "merged")]
            rows.append((f"merge, {stacks} stacks, four formats", *measured(ours, (0, 1, 10))))
            size = sum(path.stat().st_size for path in (folder / "merged").iterdir())
            rows[-1] = (*rows[-1], f"{size / 1e6:.1f} MB")
            if stacks == 1:
                counts = (options.reports // 10, options.reports)
                rows += [junit_to_junit(junitparser, folder, count, options.limit) for count in counts]
    print(columns(("what", "clock", "processor", "memory", "written"), rows))


if __name__ == "__main__":
    main()
