"""What the installed plugin costs a run that does not use it: ``python -m bench.idle [RUNS]``.

Peer in the same run: pytest-xdist, installed and not used either.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.measure import in_turns, machine, paired_difference_text, table


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    print(machine())
    base = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    commands = {
        "pytest, plugin blocked": [*base, "-p", "no:trtcheck"],
        "pytest, plugin idle": base,
        "pytest, plugin and xdist blocked": [*base, "-p", "no:trtcheck", "-p", "no:xdist"],
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_one.py").write_text("def test_one(): pass\n")
        timings = in_turns(commands, runs=runs, folder=Path(folder))
    blocked, idle, bare = timings.values()
    print(table(timings))
    print(f"idle cost of pytest-trtcheck: {paired_difference_text(idle, blocked)}, aim: under 5 ms")
    print(f"idle cost of pytest-xdist:    {paired_difference_text(blocked, bare)}")


if __name__ == "__main__":
    main()
