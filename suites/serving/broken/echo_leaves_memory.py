"""Leaves a segment of shared memory."""

from __future__ import annotations

from pathlib import Path

from pytest_trtcheck._suites.serving.models.echo import TritonPythonModel as Sound
from pytest_trtcheck.isolation.guard import SHARED_MEMORY


class TritonPythonModel(Sound):
    """Its answers are right."""

    def initialize(self, args: dict[str, str]) -> None:
        """Make one beside that of its own process, whose name is among the process's arguments."""
        arguments = Path("/proc/self/cmdline").read_bytes().decode().split("\0")
        own = next(entry for entry in arguments if "/" not in entry and (SHARED_MEMORY / entry).is_file())
        (SHARED_MEMORY / f"{own}_left").write_bytes(b"left")
