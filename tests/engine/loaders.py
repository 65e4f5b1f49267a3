"""Stands in for a runtime in the child that loads plans: what it does with a file is written in the file."""

from __future__ import annotations

import os
import signal
import time


class Loaded:
    def close(self) -> None:
        """Free nothing."""


class Loader:
    def load(self, plan: bytes, options: frozenset[str] = frozenset()) -> Loaded:
        if b"crash" in plan:
            os.kill(os.getpid(), signal.SIGSEGV)
        if b"hang" in plan:
            time.sleep(100)
        if b"refuse" in plan:
            raise RuntimeError("the plan was built by another release\nand more")
        return Loaded()
