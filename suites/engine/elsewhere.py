"""A plan loaded and run in a fresh process, which may die of it."""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pytest_trtcheck._suites.support.words import first_line
from pytest_trtcheck.probe.child import run_child
from pytest_trtcheck.probe.child_report import report

_MOST_WORDS = 400


@dataclass(frozen=True)
class Elsewhere:
    """What became of a plan in a fresh process."""

    problem: str
    """In words; empty for none."""
    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    """From the start of loading to a session that can run."""
    died: bool = False
    """True when the process ended otherwise than by itself with status 0."""


def load_elsewhere(
    provider: Any,
    plan: bytes,
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    deadline_seconds: float,
    options: frozenset[str] = frozenset(),
) -> Elsewhere:
    """Load a plan in a child process, run it on inputs, and return what it wrote to the outputs."""
    with tempfile.TemporaryDirectory(prefix="trtcheck-plan-") as name:
        folder = Path(name)
        (folder / "plan").write_bytes(plan)
        np.savez(folder / "inputs.npz", **dict(inputs))
        np.savez(folder / "outputs.npz", **dict(outputs))
        args = (name, provider.factory, ",".join(sorted(options)))
        end = run_child("pytest_trtcheck._suites.engine.elsewhere", args, deadline_seconds=deadline_seconds)
        said: dict[str, Any] = {}
        for record in end.records:
            said |= record
        if "problem" in said:
            return Elsewhere(f"in a fresh process: {said['problem']}", died=not end.ended_well)
        if not end.ended_well or "seconds" not in said:
            tail = [line.strip() for line in end.stderr_tail.splitlines() if line.strip()]
            words = f"in a fresh process, while it {said.get('step', 'started')}: {end.describe()}"
            return Elsewhere(f"{words}; last words: {tail[-1][:_MOST_WORDS] if tail else 'none'}", died=True)
        with np.load(folder / "found.npz", allow_pickle=False) as found:
            return Elsewhere("", {name: found[name] for name in found.files}, float(said["seconds"]))


def main(fd: int, folder: Path, factory: str, options: str) -> None:
    """In the child: load, run, write down."""
    report(fd, {"step": "made the provider"})
    module, _, name = factory.partition(":")
    begun = time.perf_counter()
    try:
        provider = getattr(importlib.import_module(module), name)()
        report(fd, {"step": "loaded the plan"})
        session = provider.load((folder / "plan").read_bytes(), frozenset(filter(None, options.split(","))))
        seconds = time.perf_counter() - begun
        report(fd, {"step": "ran the engine"})
        arrays = [np.load(folder / f"{which}.npz", allow_pickle=False) for which in ("inputs", "outputs")]
        inputs, outputs = ({name: loaded[name] for name in loaded.files} for loaded in arrays)
        session.run(inputs, outputs)
        np.savez(folder / "found.npz", **outputs)
        report(fd, {"step": "closed the engine"})
        session.close()
    except Exception as error:  # noqa: BLE001 - whatever a library raises is its result
        report(fd, {"problem": f"{type(error).__name__}: {first_line(error, _MOST_WORDS)}"})
        return
    report(fd, {"seconds": round(seconds, 4)})


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4])
