"""Level static beside torch's collect_env, on a venv with torch and 300 distributions.

``python -m bench.static VENV_PYTHON [RUNS]``; the interpreter's venv must hold torch and this tool. Distributions are
added up to 300 as metadata without code, in a folder that only this benchmark puts on the path.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.measure import in_turns, machine, table

DISTRIBUTIONS = 300

METADATA = """\
Metadata-Version: 2.4
Name: {name}
Version: 1.{number}.0
Summary: Stands in for one of many installed packages
Author-email: Nobody <nobody@example.com>
License: Apache-2.0
Classifier: Programming Language :: Python :: 3
Requires-Python: >=3.9
Requires-Dist: packaging>=20
Requires-Dist: typing-extensions; python_version < "3.11"

{text}
"""


def fill_up(python: str, folder: Path) -> int:
    """Add metadata of made-up packages until the venv has 300 distributions; return how many were added."""
    count = "import importlib.metadata as m; print(len(list(m.distributions())))"
    have = int(subprocess.run([python, "-c", count], capture_output=True, text=True, check=True).stdout)
    for number in range(max(0, DISTRIBUTIONS - have)):
        name = f"made-up-package-{number}"
        info = folder / f"made_up_package_{number}-1.{number}.0.dist-info"
        info.mkdir()
        # The median METADATA of a CUDA image's packages is about 6 kB.
        (info / "METADATA").write_text(METADATA.format(name=name, number=number, text="Lorem ipsum. " * 450))
        (info / "RECORD").write_text(f"{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
        (info / "INSTALLER").write_text("pip\n")
    return max(0, DISTRIBUTIONS - have)


def main() -> None:
    python = sys.argv[1] if len(sys.argv) > 1 else sys.executable
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    print(machine())
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        extra = folder / "site"
        extra.mkdir()
        added = fill_up(python, extra)
        env = ["env", f"PYTHONPATH={extra}"]
        report = folder / "report"
        commands = {
            "pytest --trtcheck, level static": [
                *env, python, "-m", "pytest",
                "--trtcheck", "--trtcheck-level=static", "-q", f"--trtcheck-report={report}",
            ],
            "torch.utils.collect_env": [*env, python, "-m", "torch.utils.collect_env"],
            "pytest that collects nothing": [*env, python, "-m", "pytest", "-q", "--co", "-p", "no:trtcheck"],
        }  # fmt: skip
        timings = in_turns(commands, runs=runs, folder=folder, statuses=(0, 1, 5, 10))
        stack = json.loads((report / "report.json").read_text())["stack"]
        peer = commands["torch.utils.collect_env"]
        printed = subprocess.run(peer, capture_output=True, text=True, check=True, cwd=folder).stdout.splitlines()
    ours, theirs, _ = timings.values()
    facts = sum(fact["state"] == "found" for fact in stack["facts"].values())
    copies = sum(len(fact["copies"]) for fact in stack["facts"].values())
    lines = [line for line in printed if line.strip() and "N/A" not in line and "Could not" not in line]
    print(f"{added} made-up distributions added to make {DISTRIBUTIONS}")
    print(table(timings))
    print(f"ratio to collect_env: {ours.median / theirs.median:.2f} (aim: under 0.5); aim in all: under 400 ms")
    print(
        f"facts: {facts} found with {copies} library copies and {len(stack['distributions'])} distributions; "
        f"collect_env prints {len(lines)} lines that say something"
    )


if __name__ == "__main__":
    main()
