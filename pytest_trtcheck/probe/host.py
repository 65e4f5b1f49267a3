"""Read this machine."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pytest_trtcheck.model.facts import Stack
from pytest_trtcheck.probe.devices import probe_devices
from pytest_trtcheck.probe.files import probe_files
from pytest_trtcheck.probe.machine import probe_machine
from pytest_trtcheck.probe.root import Root

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_trtcheck.model.level import Level


def probe_host(
    level: Level,
    *,
    root: Root | None = None,
    env: Mapping[str, str] | None = None,
    sys_path: Sequence[str] | None = None,
) -> Stack:
    """Return the facts of this machine, without imports; never raises for what it cannot read."""
    root = root or Root("/")
    env = os.environ if env is None else env
    sys_path = sys.path if sys_path is None else sys_path
    files, distributions, file_seconds = probe_files(root, env=env, sys_path=sys_path)
    machine, machine_seconds = probe_machine(root, env=env, site_packages=sys_path)
    devices, gpus, device_seconds = probe_devices(root, level=level, env=env)
    return Stack(
        kind="host",
        name="this machine",
        facts={**files, **machine, **devices},
        gpus=gpus,
        distributions=distributions,
        probe_seconds={**file_seconds, **machine_seconds, **device_seconds},
    )
