"""What isolation costs: 1,000 trivial checks in pytest's process, on one worker of ours, and on plain pytest-xdist.

``python -m bench.isolation [RUNS]``; also the restart of a worker, with torch loaded where torch is installed.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

from bench.measure import in_turns, paired_difference, table

CHECKS = 1000
DEATHS = 10

TRIVIAL = "import pytest\n@pytest.mark.parametrize('n', range({count}))\ndef test_trivial(n): pass\n"
DYING = "import os, pytest\n{load}\n@pytest.mark.parametrize('n', range({count}))\ndef test_fault(n): os._exit(3)\n"


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    base = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many, none = folder / "test_many.py", folder / "test_one.py"
        many.write_text(TRIVIAL.format(count=CHECKS))
        none.write_text(TRIVIAL.format(count=1))
        ours = [*base, "--trtcheck", "--deselect", "trtcheck", f"--trtcheck-report={folder / 'report'}"]
        commands = {
            f"{CHECKS} checks, trtcheck on a worker": [*ours, str(many)],
            f"{CHECKS} checks, trtcheck in process": [*ours, "-n0", str(many)],
            f"{CHECKS} checks, pytest-xdist -n1": [*base, "-n1", str(many)],
            f"{CHECKS} checks, plain pytest": [*base, str(many)],
            "1 check, trtcheck on a worker": [*ours, str(none)],
            "1 check, trtcheck in process": [*ours, "-n0", str(none)],
        }
        timings = in_turns(commands, runs=runs, folder=folder, statuses=(0, 10))
        worker, inside, _, _, one_worker, one_inside = timings.values()
        print(table(timings))
        a_run = paired_difference(one_worker, one_inside)
        a_check = (paired_difference(worker, inside) - a_run) / CHECKS
        print(
            f"isolation costs {a_run:.2f} s a run (aim: under 0.5) and {a_check * 1000:.2f} ms a check (aim: under 3)"
        )
        _restarts(ours, folder, runs)


def _restarts(ours: list[str], folder: Path, runs: int) -> None:
    commands = {}
    loads = {"nothing loaded": ""} | ({"torch loaded": "import torch"} if importlib.util.find_spec("torch") else {})
    for words, load in loads.items():
        for count in (1, DEATHS):
            path = folder / f"test_dying_{count}_{'torch' if load else 'bare'}.py"
            path.write_text(DYING.format(load=load, count=count))
            commands[f"{count} deaths, {words}"] = [*ours, str(path)]
    timings = in_turns(commands, runs=runs, folder=folder, statuses=(1,))
    print(table(timings))
    for words in loads:
        few, many = timings[f"1 deaths, {words}"], timings[f"{DEATHS} deaths, {words}"]
        print(f"a death and its new worker, {words}: {paired_difference(many, few) / (DEATHS - 1):.2f} s")


if __name__ == "__main__":
    main()
