"""Starts a process that outlives the server."""

from __future__ import annotations

import subprocess

from pytest_trtcheck._suites.serving.models.echo import TritonPythonModel as Sound


class TritonPythonModel(Sound):
    """Its answers are right."""

    def initialize(self, args: dict[str, str]) -> None:
        """Start it."""
        self.child = subprocess.Popen(["sleep", "300"])
