"""The stack that README.md shows a run on, and runs whose output is the same on every machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pytest_trtcheck.model.codec import encode
from pytest_trtcheck.model.facts import Stack
from tests.plugin.conftest import CONFTEST
from tests.stacks import copy, dist, fact, gpu, stack
from tests.venvs import clean_env

SITE = "/usr/local/lib/python3.12/dist-packages"
CUDNN = f"{SITE}/nvidia/cudnn/lib/libcudnn.so.9"
COLUMNS = "100"


def rejected_stack() -> Stack:
    """Return a stack whose driver is too old for the CUDA family of its PyTorch."""
    return stack(
        fact("gpu", "NVIDIA H100 80GB HBM3", where="NVML"),
        fact("sm", "9.0", where="NVML"),
        fact("driver", "550.54.15", where="/proc/driver/nvidia/version"),
        fact("python", "3.12.3", where="/usr/bin/python3.12"),
        fact("cudnn", "9.10.2.21", where=CUDNN, copies=(copy(CUDNN, "9.10.2.21", "libcudnn.so.9"),), chosen=0),
        fact("tensorrt", "10.13.3.9", where=f"{SITE}/tensorrt-10.13.3.9.dist-info"),
        fact("torch", "2.9.0+cu130", where=f"{SITE}/torch-2.9.0+cu130.dist-info"),
        fact("tensorrt_llm", "1.1.0", where=f"{SITE}/tensorrt_llm-1.1.0.dist-info"),
        torch_cuda="13.0",
        gpus=[gpu("NVIDIA H100 80GB HBM3")],
        dists=[
            dist("torch", "2.9.0+cu130", python=">=3.10"),
            dist("tensorrt", "10.13.3.9", python=">=3.8"),
            dist("tensorrt-llm", "1.1.0", "tensorrt~=10.13.0", python="<4,>=3.10"),
        ],
    )


def rejected_run(folder: Path) -> str:
    """Return what ``pytest --trtcheck`` adds to pytest's own output for that stack."""
    described = folder / "stack.json"
    described.write_text(json.dumps(encode(rejected_stack())), encoding="utf-8")
    (folder / "conftest.py").write_text(CONFTEST.format(path=str(described)), encoding="utf-8")
    output = run_python("-m", "pytest", "--trtcheck", "--trtcheck-level=static", folder=folder, status=1)
    section = between(output, r"^=+ trtcheck =+$", r"^=+ short test summary info =+$")
    section = re.sub(r"\b\d+\.\d s$", "0.1 s", section, flags=re.MULTILINE)
    section = re.sub(
        r"^matrix: .*$", "matrix: 2026-11-20, digest 0c1fd55cb0f1, 603 rows, no overlays", section, flags=re.M
    )
    return section.replace(str(folder), "/srv/image-check")


def options(folder: Path) -> str:
    """Return the tool's group of pytest's help."""
    return between(run_python("-m", "pytest", "--help", folder=folder), r"^NVIDIA LLM inference stack checks", r"^$")


def ini_keys(folder: Path) -> str:
    """Return the tool's ini keys from pytest's help."""
    output = run_python("-m", "pytest", "--help", folder=folder)
    return between(output, r"^  trtcheck_\w+ \(", r"^  (?!trtcheck_)\S")


def commands(folder: Path) -> str:
    """Return the help of the commands beside pytest."""
    return run_python("-m", "pytest_trtcheck", "--help", folder=folder)


def explained(folder: Path) -> str:
    """Return what ``explain`` says of the check that fails in the example."""
    return run_python("-m", "pytest_trtcheck", "explain", "TRC-DRV-001", folder=folder)


PRODUCERS: dict[str, Callable[[Path], str]] = {
    "rejected run": rejected_run,
    "options": options,
    "ini keys": ini_keys,
    "commands": commands,
    "explain": explained,
}
"""What makes each captured block of the README, by the name in the comment above it."""


def run_python(*arguments: str, folder: Path, status: int = 0) -> str:
    """Return what a child interpreter prints."""
    command = [sys.executable, *arguments, *(("-p", "no:cacheprovider") if arguments[1] == "pytest" else ())]
    env = clean_env(COLUMNS=COLUMNS)
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def between(text: str, first: str, end: str) -> str:
    """Return the lines from the first that matches up to the next that matches ``end``, blank lines at the end cut."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if re.search(first, line))
    stop = next((number for number in range(start + 1, len(lines)) if re.search(end, lines[number])), len(lines))
    return "\n".join(lines[start:stop]).rstrip() + "\n"
