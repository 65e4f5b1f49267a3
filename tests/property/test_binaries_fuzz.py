"""A fixed number of damaged files: the readers never crash and never take more than their share."""

from __future__ import annotations

import subprocess
import sys

from tests.venvs import CHECKOUT

INPUTS = 3000


def test_damaged_files_are_read_or_refused_in_bounds() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz_binaries", str(INPUTS), "20261120"],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=CHECKOUT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    came = {words: int(number) for number, words in (line.split(None, 1) for line in done.stdout.splitlines())}
    assert sum(came.values()) == INPUTS
    # The damage must reach all of the code, not only its first check.
    assert sum(number for words, number in came.items() if words.startswith("object")) > INPUTS // 20
    assert sum(number for words, number in came.items() if ", code" in words) > INPUTS // 10
    assert sum(number for words, number in came.items() if words.startswith("no object, no code")) > INPUTS // 20
