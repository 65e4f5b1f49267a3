"""The machine around the GPUs in one call: system, container, MPI, Triton server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_trtcheck.model.facts import Fact, State
from pytest_trtcheck.probe.container import container_facts
from pytest_trtcheck.probe.mpi import mpi_fact
from pytest_trtcheck.probe.root import shown
from pytest_trtcheck.probe.system import system_facts
from pytest_trtcheck.probe.triton_server import triton_server_fact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_trtcheck.probe.root import Root


def probe_machine(
    root: Root, *, env: Mapping[str, str], site_packages: Sequence[str] = (), is_host: bool = True
) -> tuple[dict[str, Fact], dict[str, float]]:
    """Return the facts by key and the seconds of each probe; starts no process.

    ``is_host`` says that the root is this machine: only then are limits and the interpreter ours to tell. A
    probe that fails in a way nobody foresaw gives one UNREADABLE fact with its name; the others go on.
    """
    probes: dict[str, Callable[[], dict[str, Fact]]] = {
        "system": lambda: system_facts(root, env, own_interpreter=is_host),
        "container": lambda: container_facts(root, env, is_host=is_host),
        "openmpi": lambda: {"openmpi": mpi_fact(root, env)},
        "triton_server": lambda: {"triton_server": triton_server_fact(root, env, site_packages)},
    }
    facts: dict[str, Fact] = {}
    seconds: dict[str, float] = {}
    for name, probe in probes.items():
        started = time.monotonic()
        facts |= _guarded(name, probe)
        seconds[name] = time.monotonic() - started
    return facts, seconds


def _guarded(name: str, probe: Callable[[], dict[str, Fact]]) -> dict[str, Fact]:
    try:
        return probe()
    except Exception as error:  # noqa: BLE001 - a bug or a strange system must not cost the other facts
        reason = f"the {name} probe failed: {type(error).__name__}: {shown(str(error))[:200]}"
        return {name: Fact(name, State.UNREADABLE, reason=reason)}
