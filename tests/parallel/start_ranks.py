"""A stand-in for a launcher: starts ranks and waits. Arguments: how it shall be wrong, number of ranks, program."""

from __future__ import annotations

import os
import subprocess
import sys

how, count, program = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
size = {"each-alone": 1, "too-many": count + 1}.get(how, count)
started = range({"one-too-few": count - 1, "one-too-many": count + 1, "none": 0}.get(how, count))
numbers = {"every-rank-0": [0] * count, "swapped": reversed(started)}.get(how, started)
ranks = [
    subprocess.Popen(program, env={**os.environ, "RANK": str(number), "WORLD_SIZE": str(size)}) for number in numbers
]
statuses = [rank.wait() for rank in ranks]
if how == "fails":
    sys.exit("no slots available")
sys.exit(max(statuses, default=0) if how != "hides-status" else 0)
