"""Virtual environments for tests that need real installations, and runs inside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]

# What the outer test run sets must not steer the run inside: options, paths, workers, coverage.
_FOREIGN = ("PYTEST_", "PYTHON", "COVERAGE_", "COV_", "LD_", "VIRTUAL_ENV", "TRTCHECK_", "GITHUB_", "KUBERNETES_")


def clean_env(**variables: str) -> dict[str, str]:
    """Return the environment without what the outer test run put there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    # One thread: two workers share two cores, and threads of torch that wait for a core spin.
    return {**kept, "COLUMNS": "80", "OMP_NUM_THREADS": "1", **variables}


@dataclass(frozen=True)
class Venv:
    """A virtual environment."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, python: str = sys.executable) -> Venv:
        """Make the environment anew."""
        _run([python, "-m", "venv", "--clear", str(folder)])
        return cls(folder)

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")

    def install(self, *requirements: str) -> None:
        """Install with pip, quietly; a failure shows pip's own words."""
        _run([self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])

    def packages(self) -> dict[str, str]:
        """Return what pip lists as installed, by name."""
        listed = json.loads(_run([self.python, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"]))
        return {entry["name"]: entry["version"] for entry in listed}

    def run(self, *arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run its interpreter in a folder; the caller judges the exit status."""
        return subprocess.run(
            [self.python, *arguments],
            cwd=folder,
            env=clean_env(**variables),
            capture_output=True,
            text=True,
            timeout=900,
        )

    def trtcheck(self, *options: str, folder: Path, **variables: str) -> TrtcheckRun:
        """Run ``pytest --trtcheck`` in a folder and read its report."""
        done = self.run("-m", "pytest", "--trtcheck", "-p", "no:cacheprovider", *options, folder=folder, **variables)
        report = folder / "trtcheck-report" / "report.json"
        assert report.is_file(), done.stdout + done.stderr
        return TrtcheckRun(done.returncode, done.stdout, json.loads(report.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class TrtcheckRun:
    """How one run of ``pytest --trtcheck`` ended."""

    status: int
    stdout: str
    report: dict[str, Any]

    def results(self) -> dict[str, tuple[str, str | None]]:
        """Return outcome and reason of each check, by name."""
        return {result["name"]: (result["outcome"], result["reason"]) for result in self.report["results"]}

    def finding(self, name: str) -> dict[str, Any]:
        """Return the finding of one check."""
        found = {f"{finding['id']}-{finding['subject']}": finding for finding in self.report["findings"]}
        assert name in found, f"no finding {name}; there are {', '.join(found)}\n{self.stdout}"
        finding: dict[str, Any] = found[name]
        return finding

    def fact(self, key: str) -> dict[str, Any]:
        """Return one fact of the stack."""
        fact: dict[str, Any] = self.report["stack"]["facts"][key]
        return fact


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, env=clean_env(), capture_output=True, text=True, timeout=1800, cwd=CHECKOUT)
    assert done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
