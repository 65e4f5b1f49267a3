"""Real wheels in venvs of their own, kept between runs.

They are built in ``.real-stacks/`` of the checkout, or in the folder that TRTCHECK_REAL_STACKS names; about 5 GB are
downloaded and 8 GB kept. ``pytest -m "not real_stack"`` leaves these tests out.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.venvs import CHECKOUT, Venv

Use = Callable[[str], Venv]


@dataclass(frozen=True)
class RealStack:
    """One venv to build."""

    requirements: tuple[str, ...]
    python310: bool = False
    """TensorRT 8.6.0 has wheels up to Python 3.10 only."""
    based_on: str = ""
    """Another stack to start from, whose files are shared by hard links: saves a download of 2 GB."""


REAL_STACKS = {
    "tensorrt-8.6.0": RealStack(("tensorrt==8.6.0",), python310=True),
    "tensorrt-8.6.0-cudnn8": RealStack(("nvidia-cudnn-cu12<9",), python310=True, based_on="tensorrt-8.6.0"),
    "tensorrt-8.6.0-numpy": RealStack(("numpy<2",), python310=True, based_on="tensorrt-8.6.0-cudnn8"),
    "tensorrt-bindings": RealStack(("tensorrt-cu13-bindings==11.4.0.106",)),
    "tensorrt-lean": RealStack(("tensorrt-lean-cu13==11.4.0.106",)),
    "torch-cpu": RealStack(("torch==2.13.0",)),
}


@pytest.fixture(scope="session")
def real_stack() -> Use:
    """Return a function that gives the venv of a real stack, built on first use."""
    root = Path(os.environ.get("TRTCHECK_REAL_STACKS") or CHECKOUT / ".real-stacks")
    return lambda name: build_alone(name, root)


def build_alone(name: str, root: Path) -> Venv:
    """Return the venv ``name``; test files on other workers wait, since they may want the same one."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return build(name, root)


def build(name: str, root: Path) -> Venv:
    """Return the venv ``name`` below ``root``, made if it is not there as wanted."""
    wanted = REAL_STACKS[name]
    python = find_python310() if wanted.python310 else sys.executable
    if python is None:
        pytest.skip("TensorRT 8.6.0 needs Python 3.10, and no python3.10 that can make a venv was found")
    folder = root / name
    if not is_stamped(folder, stack_stamp(wanted)):
        if wanted.based_on:
            venv = hard_linked_copy(build(wanted.based_on, root), folder)
        else:
            venv = Venv.create(folder, python)
        venv.install(*wanted.requirements)
        stamp(folder, stack_stamp(wanted))
    return with_tool(Venv(folder))


def with_tool(venv: Venv) -> Venv:
    """Install the checkout's tool, editable, again whenever its pyproject changes."""
    text = f"{CHECKOUT}\n{(CHECKOUT / 'pyproject.toml').read_text(encoding='utf-8')}"
    if not is_stamped(venv.folder, text, ".tool"):
        venv.install("-e", str(CHECKOUT))
        stamp(venv.folder, text, ".tool")
    return venv


def stack_stamp(stack: RealStack) -> str:
    """Return what a finished venv holds, as the text of its stamp."""
    based_on = REAL_STACKS[stack.based_on].requirements if stack.based_on else ()
    python = "3.10" if stack.python310 else f"{sys.version_info.major}.{sys.version_info.minor}"
    return json.dumps({"python": python, "requirements": [*based_on, *stack.requirements]})


def is_stamped(folder: Path, text: str, name: str = ".ready") -> bool:
    """Say whether the folder was finished with exactly this content."""
    path = folder / name
    return path.is_file() and path.read_text(encoding="utf-8") == text


def stamp(folder: Path, text: str, name: str = ".ready") -> None:
    """Note that the folder is finished."""
    (folder / name).write_text(text, encoding="utf-8")


def hard_linked_copy(base: Venv, folder: Path) -> Venv:
    """Copy a venv without copying its files; pip replaces files and never writes into them."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(
        base.folder, folder, symlinks=True, copy_function=os.link, ignore=shutil.ignore_patterns(".ready", ".tool")
    )
    return Venv(folder)


@cache
def find_python310() -> str | None:
    """Return a Python 3.10 that can make venvs, None when there is none. A pyenv shim without its version is none."""
    return next(filter(makes_venvs, candidates()), None)


def candidates() -> Iterator[str]:
    """Yield where a Python 3.10 may be."""
    yield sys.executable
    for folder in os.get_exec_path():
        yield str(Path(folder, "python3.10"))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from (str(path / "bin" / "python3.10") for path in sorted(pyenv.glob("versions/3.10*")))


def makes_venvs(python: str) -> bool:
    """Say whether this is a working Python 3.10 with venv and pip's wheels."""
    check = "import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 10))"
    try:
        return subprocess.run([python, "-c", check], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
