"""Time whole commands side by side, in turns, so that noise of the machine hits all of them alike."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Timing:
    """Wall-clock seconds of one command, run after run."""

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median of all runs."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles."""
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / 2


def in_turns(
    commands: Mapping[str, Sequence[str]], *, runs: int, folder: Path, statuses: tuple[int, ...] = (0,)
) -> dict[str, Timing]:
    """Run each command ``runs`` times, in turns, after one run of each that is not counted."""
    timings = {name: Timing() for name in commands}
    env = {name: value for name, value in os.environ.items() if name not in {"PYTEST_ADDOPTS", "PYTHONPATH"}}
    for turn in range(runs + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            end = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
            seconds = time.perf_counter() - start
            if end.returncode not in statuses:
                raise SystemExit(f"{name}: exit {end.returncode}, expected one of {statuses}\n{end.stdout}{end.stderr}")
            if turn:
                timings[name].seconds.append(seconds)
    return timings


def peak_child_megabytes() -> float:
    """Peak memory of the largest child so far."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def paired_difference(one: Timing, other: Timing) -> float:
    """Median of the differences turn by turn, in seconds."""
    return statistics.median(a - b for a, b in zip(one.seconds, other.seconds, strict=True))


def table(timings: Mapping[str, Timing]) -> str:
    """Return the timings as lines of text."""
    width = max(map(len, timings))
    return "\n".join(
        f"{name:<{width}}  median {timing.median * 1000:8.1f} ms  +- {timing.spread * 1000:5.1f} ms  "
        f"({len(timing.seconds)} runs)"
        for name, timing in timings.items()
    )
