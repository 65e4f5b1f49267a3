"""What the shared objects and the GPU code of an image come to, for the Python that its stack runs in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_trtcheck.binaries.audit import probe_gpu_code
from pytest_trtcheck.binaries.loading import Python, probe_loading
from pytest_trtcheck.binaries.running import architecture_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_trtcheck.image.pythons import Pythons
    from pytest_trtcheck.image.survey import Survey
    from pytest_trtcheck.image.target import Target
    from pytest_trtcheck.model.facts import Fact
    from pytest_trtcheck.probe.root import Root


def binary_facts(
    root: Root, found: Survey, env: Mapping[str, str], pythons: Pythons, target: Target, seconds: dict[str, float]
) -> dict[str, Fact]:
    """Return ``loading`` and ``gpu_code``; what each took is added to ``seconds``."""
    started = time.monotonic()
    facts = {"loading": probe_loading(root, env, _interpreter(root, pythons), found.libraries)}
    seconds["loading"] = time.monotonic() - started
    started = time.monotonic()
    wanted = sorted({architecture_of(gpu.compute_capability) for gpu in target.gpus})
    sites = pythons.chosen.sites if pythons.chosen else ()
    paths = (*found.libraries, *found.gpu_code)
    facts["gpu_code"] = probe_gpu_code(root, paths, sites=sites, architectures=wanted)
    seconds["gpu_code"] = time.monotonic() - started
    return facts


def _interpreter(root: Root, pythons: Pythons) -> Python:
    chosen = pythons.chosen
    if chosen is None:
        return Python()
    version = ".".join((chosen.version or "").split(".")[:2])
    folder = f"{chosen.path.rstrip('/')}/bin"
    names = ([f"python{version}"] if version else []) + ["python3", "python"]
    program = next((f"{folder}/{name}" for name in names if root.is_file(f"{folder}/{name}")), "")
    return Python(program, version if version.count(".") else "", pythons.sys_path)
