"""The GPU code of a live host, read in a child process; what loads there the loader itself is asked, by imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.binaries.audit import KEY
from pytest_trtcheck.binaries.running import architecture_of
from pytest_trtcheck.model.facts import Fact, Stack, State
from pytest_trtcheck.probe.child import run_child

if TYPE_CHECKING:
    from collections.abc import Sequence

DEADLINE_SECONDS = 60.0


def gpu_code_of_host(stack: Stack, sys_path: Sequence[str]) -> Fact:
    """Return the fact ``gpu_code`` for the GPUs of this machine; not probed where there are none."""
    capabilities = sorted({gpu.compute_capability for gpu in stack.gpus if gpu.compute_capability})
    if not capabilities:
        return Fact(KEY, State.NOT_PROBED, reason="no GPU to compare with")
    wanted = ",".join(str(architecture_of(text)) for text in capabilities)
    sites = [path for path in dict.fromkeys(sys_path) if path.endswith(("site-packages", "dist-packages"))]
    end = run_child("pytest_trtcheck.binaries.child_gpu_code", (wanted, *sites), deadline_seconds=DEADLINE_SECONDS)
    last = end.records[-1] if end.records else {}
    if last.get("kind") != "end":
        return Fact(KEY, State.UNREADABLE, reason=f"reading the GPU code of what is installed: {end.describe()}")
    files = [{name: value for name, value in record.items() if name != "kind"} for record in end.records[:-1]]
    problems = {"problems": last["problems"]} if last.get("problems") else {}
    if not files:
        return Fact(KEY, State.ABSENT, reason="no file with GPU code was found", details=problems)
    how = "headers of fat binaries and cubins, read in a child process; nothing was run"
    return Fact(KEY, State.FOUND, f"{len(files)} files", "", how, details={"files": files, **problems})
