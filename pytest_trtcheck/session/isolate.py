"""Decide where checks run, before pytest-xdist does: on workers by GPU, or in pytest's own process, and say which."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.isolation.places import Place, check_xdist_options, places, select_gpus, visible_gpus
from pytest_trtcheck.model.level import Level

if TYPE_CHECKING:
    from pytest_trtcheck.session.run import Run

RESTARTS_PER_WORKER = 16


@dataclass(frozen=True)
class Arrangement:
    """Where the checks of a run are to run."""

    mode: str
    """As in model.report.Isolation."""
    places: tuple[Place, ...] = ()
    notes: tuple[str, ...] = ()
    gpu_count: int = 0
    """GPUs that checks may use."""


def arrange(config: pytest.Config, run: Run) -> Arrangement:
    """Return the arrangement and, for workers, set pytest-xdist's options to it.

    OptionError for options that contradict it. Called before pytest-xdist reads its options in pytest_configure.
    """
    option = config.option
    gpus = select_gpus(visible_gpus(run.stack.gpus, os.environ.get("CUDA_VISIBLE_DEVICES")), run.settings.gpus)
    if option.collectonly:
        return Arrangement("not_needed")
    why = _why_in_process(config)
    if why:
        return Arrangement("in_process", notes=(f"{why}: checks ran in pytest's own process",), gpu_count=len(gpus))
    asked = option.numprocesses
    check_xdist_options({"dist": option.dist, "tx": None if asked else option.tx})
    if not asked and not _needs_workers(config, run):
        return Arrangement("not_needed", gpu_count=len(gpus))
    chosen = places(gpus, asked)
    option.dist, option.numprocesses = "load", len(chosen)
    option.tx = [place.spec for place in chosen]
    if option.maxworkerrestart is None:
        option.maxworkerrestart = str(RESTARTS_PER_WORKER * len(chosen))
    return Arrangement("workers", chosen, gpu_count=len(gpus))


def _why_in_process(config: pytest.Config) -> str:
    if not hasattr(config.option, "numprocesses"):
        return "pytest-xdist is not active"
    if config.option.numprocesses == 0:
        return "-n0"
    if config.option.usepdb:
        return "--pdb"
    return ""


def _needs_workers(config: pytest.Config, run: Run) -> bool:
    """Say whether anything may run native code here: a bundled suite, or what the user named."""
    if run.settings.level is Level.STATIC:
        return False
    from pytest_trtcheck.session.collect import native_suites

    return config.args_source is pytest.Config.ArgsSource.ARGS or bool(native_suites(config, run))
