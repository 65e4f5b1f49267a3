"""Tiny native libraries, compiled on the spot: real words of the real loader."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")


def compile_library(path: Path, source: str, flags: Sequence[str | Path] = ()) -> Path:
    """Compile C source into the shared library ``path``, whose SONAME is its file name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = path.with_suffix(".c")
    code.write_text(source)
    command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{path.name}", "-o", path, code, *flags]
    subprocess.run(command, check=True, capture_output=True)
    code.unlink()
    return path
