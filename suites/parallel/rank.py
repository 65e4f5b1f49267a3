"""What one rank runs: find out who it is, gather all ranks' numbers, add up; a record after each step.

Arguments: folder for the record, seed, seconds to live, the collective's name as ``module:class``.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


class Collective(Protocol):
    """A library through which ranks talk."""

    DTYPES: Sequence[str]
    """What it can add up."""

    rank: int
    size: int
    library: str
    """Name and release, for the report."""

    def __init__(self, folder: Path) -> None:
        """Join the others; ``folder`` is the same for all ranks of a launch and may serve to find them."""

    def gathered(self) -> list[int]:
        """Return every rank's number, in the order of ranks."""

    def summed(self, values: list[Any], dtype: str) -> list[Any]:
        """Return the sum over all ranks, element by element."""

    def close(self) -> None:
        """Leave."""


class Record:
    """What this rank has to say, whole in its file at any time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"rank-{os.getpid()}.json"
        self.values: dict[str, Any] = {"step": "", "sums": {}}

    def step(self, name: str) -> None:
        """Note what is begun."""
        self.values["step"] = name
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps(self.values), encoding="utf-8")
        beside.replace(self._path)


def main(folder: Path, seed: int, seconds: int, name: str) -> None:
    """Run all steps. Dies with what started it, and after ``seconds`` in any case."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.alarm(seconds)
    from pytest_trtcheck._suites.parallel.numbers import contribution

    record = Record(folder)
    record.step("load the library")
    module, _, kind = name.partition(":")
    make = getattr(importlib.import_module(module), kind)
    record.step("join the other ranks")
    collective: Collective = make(folder)
    record.values |= {"rank": collective.rank, "size": collective.size, "library": collective.library}
    record.step("gather the ranks")
    record.values["gathered"] = collective.gathered()
    for dtype in collective.DTYPES:
        record.step(f"sum up {dtype}")
        record.values["sums"][dtype] = collective.summed(contribution(seed, collective.rank, dtype), dtype)
    record.step("leave")
    collective.close()
    record.step("done")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
