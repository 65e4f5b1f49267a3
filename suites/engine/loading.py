"""Files loaded as plans in a child process, which may die of any of them; the rest are tried in a new one."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_trtcheck._suites.support.words import first_line
from pytest_trtcheck.probe.child import run_child
from pytest_trtcheck.probe.child_report import report

_MOST_WORDS = 400


@dataclass(frozen=True)
class Loaded:
    """What became of one file."""

    problem: str
    """The library's words, or how the child ended; empty when it was loaded."""
    died: bool = False
    """True when the child did not survive it."""
    seconds: float = 0.0


def load_files(factory: str, paths: Sequence[Path], deadline_seconds: float) -> list[Loaded]:
    """Return what became of each file, in order. The deadline is for each child."""
    found: list[Loaded] = []
    while len(found) < len(paths):
        args = (factory, *map(str, paths[len(found) :]))
        end = run_child("pytest_trtcheck._suites.engine.loading", args, deadline_seconds=deadline_seconds)
        told = [record for record in end.records if "problem" in record]
        found += [Loaded(str(one["problem"]), seconds=float(one.get("seconds", 0))) for one in told]
        found = found[: len(paths)]
        if len(found) < len(paths):
            tail = [line.strip() for line in end.stderr_tail.splitlines() if line.strip()]
            said = [
                line for line in tail if not line.startswith(("Fatal Python", "Current thread", "File", "Extension"))
            ]
            words = f"{end.describe()}; last words: {said[-1][:_MOST_WORDS] if said else 'none'}"
            found.append(Loaded(words, died=True))
    return found


def main(fd: int, factory: str, paths: Sequence[str]) -> None:
    """In the child: load each, and say what became of it."""
    module, _, name = factory.partition(":")
    provider = getattr(importlib.import_module(module), name)()
    for path in paths:
        begun = time.perf_counter()
        try:
            provider.load(Path(path).read_bytes()).close()
        except Exception as error:  # noqa: BLE001 - whatever a library raises is its result
            report(fd, {"problem": f"{type(error).__name__}: {first_line(error, _MOST_WORDS)}"})
        else:
            report(fd, {"problem": "", "seconds": round(time.perf_counter() - begun, 4)})


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
