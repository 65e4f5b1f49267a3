"""Time whole commands side by side, in turns, so that noise of the machine hits all of them alike.

Processor time is told beside the time on the clock: on a machine that does other work it is the steadier of the two.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# What the caller's shell sets must not steer the commands.
_FOREIGN = ("PYTEST_", "PYTHON", "COVERAGE_", "TRTCHECK_")


@dataclass
class Timing:
    """Seconds of one command, run after run."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Processor time of the command and its children."""
    peak_bytes: list[int] = field(default_factory=list)
    """Largest resident memory of one of its processes."""

    @property
    def median(self) -> float:
        """Median on the clock."""
        return statistics.median(self.wall)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, on the clock."""
        low, _, high = statistics.quantiles(self.wall, n=4)
        return (high - low) / 2


def in_turns(
    commands: Mapping[str, Sequence[str]], *, runs: int, folder: Path, statuses: tuple[int, ...] = (0,)
) -> dict[str, Timing]:
    """Run each command ``runs`` times, in turns, after one run of each that is not counted."""
    timings = {name: Timing() for name in commands}
    for turn in range(runs + 1):
        for name, command in commands.items():
            wall, usage = _run_once(name, command, folder, statuses)
            if turn:
                timings[name].wall.append(wall)
                timings[name].cpu.append(usage.ru_utime + usage.ru_stime)
                timings[name].peak_bytes.append(usage.ru_maxrss * 1024)
    return timings


def _run_once(
    name: str, command: Sequence[str], folder: Path, statuses: tuple[int, ...]
) -> tuple[float, resource.struct_rusage]:
    """Return seconds on the clock and what the command used; end the benchmark when it failed."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in statuses:
            output.seek(0)
            said = output.read().decode(errors="replace")
            raise SystemExit(f"{name}: exit {process.returncode}, expected one of {statuses}\n{said}")
    return wall, usage


def paired_difference(one: Timing, other: Timing) -> float:
    """Median of the differences turn by turn, in seconds on the clock."""
    return _median_difference(one.wall, other.wall)


def paired_difference_text(one: Timing, other: Timing) -> str:
    """Return the same in milliseconds, with that of the processor."""
    cpu = _median_difference(one.cpu, other.cpu)
    return f"{paired_difference(one, other) * 1000:.1f} ms ({cpu * 1000:.1f} ms of processor time)"


def _median_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(a - b for a, b in zip(ours, theirs, strict=True))


def table(timings: Mapping[str, Timing]) -> str:
    """Return the timings as lines of text."""
    width = max(map(len, timings))
    return "\n".join(
        f"{name:<{width}}  median {timing.median * 1000:7.1f} ms  +- {timing.spread * 1000:5.1f} ms  "
        f"processor {statistics.median(timing.cpu) * 1000:7.1f} ms  ({len(timing.wall)} runs)"
        for name, timing in timings.items()
    )


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under a header, as wide as their widest cells."""
    lines = [header, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def machine() -> str:
    """Return what the figures were taken on, in a few words."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start"
