"""What the real loader does with a file, and what our model of it predicts, in the same words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pytest_trtcheck.binaries.closure import Load, Process
from pytest_trtcheck.binaries.surroundings import Surroundings
from pytest_trtcheck.model.facts import ImportStatus
from pytest_trtcheck.probe.import_errors import classify
from pytest_trtcheck.probe.ldso import loader_search
from pytest_trtcheck.probe.root import Root

Step = tuple[str, bool]
"""A library to open first, and whether everybody sees its symbols (RTLD_GLOBAL)."""

_CHILD = """
import ctypes, json, sys
steps, path = json.load(sys.stdin)
for first, is_global in steps:
    ctypes.CDLL(first, mode=ctypes.RTLD_GLOBAL if is_global else ctypes.RTLD_LOCAL)
try:
    ctypes.CDLL(path)
    print("loads")
except OSError as error:
    print(error)
"""


def dlopen(python: str, steps: Sequence[Step], path: str, library_path: str) -> str:
    """Return what dlopen with RTLD_NOW says in a child process: ``loads`` or the first thing that it misses.

    A child that dies in the file's own constructors has loaded it: they run after all symbols are resolved. Those of
    torch-tensorrt do, where a stand-in returns no plugin registry.
    """
    env = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": library_path, "LD_DEBUG": "files"}
    done = subprocess.run(
        [python, "-c", _CHILD], input=json.dumps([steps, path]), env=env, capture_output=True, text=True, timeout=120
    )
    if done.returncode < 0 and f"calling init: {path}\n" in done.stderr:
        return "loads"
    assert done.returncode == 0, f"the child died with {done.returncode}: {done.stderr[-2000:]}"
    return _told(done.stdout.strip())


def _told(words: str) -> str:
    if words == "loads":
        return words
    failure = classify(words)
    if failure.status is ImportStatus.MISSING_LIBRARY:
        return f"no {_name(failure.library)}"
    if failure.status is ImportStatus.VERSION_NODE_MISSING:
        return f"no version {failure.symbol} in {_name(failure.library)} for {_name(failure.needed_by)}"
    if failure.status is ImportStatus.UNDEFINED_SYMBOL:
        return f"undefined {failure.symbol} in {_name(failure.needed_by)}"
    return words


def predict(process: Process, path: str) -> list[str]:
    """Return what the model says of opening the file: ``loads`` or all that is missing.

    The order of missing libraries and version nodes is the loader's; that of symbols depends on relocations.
    """
    load: Load = process.open(path)
    if load.loads:
        return ["loads"]
    return [
        *(f"no {_name(one.library)}" for one in load.missing),
        *(f"no version {one.node} in {_name(one.library)} for {_name(one.needed_by)}" for one in load.nodes),
        *(f"undefined {one.symbol} in {_name(one.needed_by)}" for one in load.undefined),
    ]


def is_as_predicted(truth: str, predicted: Sequence[str]) -> bool:
    """Say whether the loader's words are the prediction's: its first ones, or any of its undefined symbols."""
    return truth == predicted[0] or (truth.startswith("undefined ") and truth in predicted)


def process_of(python: str, steps: Sequence[Step], library_path: str) -> Process:
    """Return the model of a process in which the steps were taken; nothing is assumed of a driver."""
    root, env = Root("/"), {"LD_LIBRARY_PATH": library_path}
    process = Process(
        root, loader_search(root, env), env, program=root.resolve(python), around=Surroundings(driver=False)
    )
    for path, is_global in steps:
        load = process.open(path, is_global=is_global)
        assert load.loads, (path, load.missing, load.nodes, load.undefined)
    return process


def torch_steps(site: Path) -> list[Step]:
    """Return what ``import torch`` opens, in its order."""
    extension = next((site / "torch").glob("_C.cpython-*.so"))
    return [(str(site / "torch/lib/libtorch_global_deps.so"), True), (str(extension), False)]


def _name(path: str) -> str:
    return path.rpartition("/")[2]
