"""The pytest plugin: options, ini keys, markers and thin fixtures. Without ``--trtcheck`` it does nothing at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_trtcheck.model.facts import Stack

# Options default to None and the ini keys hold the real defaults, so that "not given" can be told from a value.
_OPTIONS: tuple[tuple[str, str, str], ...] = (
    (
        "profile",
        "NAME",
        "What must have run: auto, tensorrt_llm, tensorrt, triton_server, torch, or a JSON file (default: auto)",
    ),
    ("level", "NAME", "How much to look at: static (files only), quick, standard, full (default: quick)"),
    (
        "report",
        "DIR",
        "Folder for the files of the report (default: trtcheck-report under the rootdir)",
    ),
    (
        "format",
        "LIST",
        "What to write there, such as default,sarif: json, junit, markdown, html, sarif, ctrf, gitlab, ... or all",
    ),
    (
        "source",
        "FILE",
        "Dockerfile or requirements file that chose this stack, for formats that show problems in a file",
    ),
    ("waivers", "FILE", "Failures that somebody answers for, YAML or JSON: check, scope, reason, owner, link, expiry"),
    ("baseline", "FILE", "report.json of an earlier run: tell what changed since, and reject the run for a regression"),
    ("stack", "FILE", "Judge the stack that this file describes instead of this machine: YAML, JSON or pasted text"),
    (
        "image",
        "IMAGE",
        "Judge an image (archive, OCI layout, root folder, /proc/PID/root) instead of this machine, without running it",
    ),
    ("target-gpu", "NAMES", "GPUs that the image is for, such as H100,L40S"),
    ("target-driver", "VERSION", "Driver that the image is to run with, such as 580.65.06"),
    ("freeze", "FILE", "Write down what the image contains, unless it is rejected"),
    ("pins", "FILE", "Reject an image that differs from what --trtcheck-freeze wrote to this file"),
    ("gpus", "LIST", "Numbers of the GPUs to use, such as 0,2 (default: all that are visible)"),
    ("deadline", "SECONDS", "Time for a check that declares none of its own (default: by level)"),
    (
        "seed",
        "NUMBER",
        "What inputs are drawn from, to repeat a run (default: a fresh one, told in every report)",
    ),
    ("triton-url", "URL", "Check this running Triton server, which is not ours, such as http://127.0.0.1:8000"),
    ("model-repository", "DIR", "Check the model configurations in this Triton model repository"),
    ("openai-url", "URL", "Judge this server of the probe model too: OpenAI's completions, http://127.0.0.1:8000/v1"),
    ("openai-model", "NAME", "Name of the probe model on that server (default: the first that it lists)"),
    ("serving-limits", "LIST", "Limits for what the serving suite measures, such as latency_p99=50,throughput=200"),
    ("fail-on", "NAME", "Mildest finding that rejects the run: error, warning, unknown (default: error)"),
)
_INI_DEFAULTS = {
    "profile": "auto",
    "level": "quick",
    "report": "",
    "format": "default",
    "source": "",
    "waivers": "",
    "baseline": "",
    "stack": "",
    "image": "",
    "target-gpu": "",
    "target-driver": "",
    "freeze": "",
    "pins": "",
    "gpus": "",
    "deadline": "",
    "seed": "",
    "triton-url": "",
    "model-repository": "",
    "openai-url": "",
    "openai-model": "",
    "serving-limits": "",
    "fail-on": "error",
}

_MARKERS = (
    "trtcheck_check(id): id of the check in the catalogue that this test answers, such as TRC-DRV-001",
    "trtcheck_gpus(count): GPUs that this check needs; with more than one, nothing else runs beside it",
    "trtcheck_deadline(seconds): time that this check has, setup and teardown included",
    "trtcheck_group(name): checks of one name run on one worker, one after the other, to share what they compute",
    "trtcheck_level(name): lowest level at which this check runs",
    "trtcheck_needs(*components): components that must import, such as torch, or this check does not run",
    "trtcheck_provider(name, *features): implementation under test, and what this check asks of it",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare options and ini keys."""
    group = parser.getgroup("trtcheck", "NVIDIA LLM inference stack checks (pytest-trtcheck)")
    group.addoption(
        "--trtcheck", action="store_true", default=False,
        help="Detect the stack of this machine, judge it, run the bundled suites and write reports",
    )  # fmt: skip
    group.addoption(
        "--trtcheck-selftest", action="store_true", default=False,
        help="Inject crashes, hangs and worse on purpose, show in a table that each costs one check, and exit",
    )  # fmt: skip
    for name, metavar, text in _OPTIONS:
        ini = "trtcheck_" + name.replace("-", "_")
        group.addoption(f"--trtcheck-{name}", dest=ini, metavar=metavar, default=None, help=text)
        parser.addini(ini, text, default=_INI_DEFAULTS[name])
    group.addoption(
        "--trtcheck-no-redact", action="store_true", default=False,
        help="Leave host names, user names, home folders, GPU UUIDs and what looks like a secret in the reports",
    )  # fmt: skip
    group.addoption(
        "--trtcheck-engine", dest="trtcheck_engine", metavar="PATH", action="append", default=None,
        help="TensorRT engine, or folder of engines, to be loaded here in a child process; may be given several times",
    )  # fmt: skip
    text = "Folder of site rows added to the version matrix; may be given several times"
    group.addoption(
        "--trtcheck-matrix", dest="trtcheck_matrix", metavar="DIR", action="append", default=None, help=text
    )
    parser.addini("trtcheck_matrix", text, type="paths", default=[])


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Publish the hooks of ``hookspec``."""
    from pytest_trtcheck import hookspec

    pluginmanager.add_hookspecs(hookspec)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run the self-test in place of everything else when it is asked for."""
    if not config.option.trtcheck_selftest:
        return None
    from pytest_trtcheck.selftest import run_selftest

    return run_selftest(print)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    """In an xdist worker of a ``--trtcheck`` run, leave native output to the worker's log.

    Capture of file descriptors would keep it in a file that is gone when the worker dies, and with it the last words.
    """
    known = early_config.known_args_namespace
    if known.trtcheck and known.capture == "fd" and "PYTEST_XDIST_WORKER" in os.environ:
        known.capture = "sys"
    yield


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register markers; with ``--trtcheck``, read the settings and start the run object."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    if config.option.trtcheck:
        from pytest_trtcheck.session import start

        start(config)
        return
    names = (*(name for name, *_ in _OPTIONS), "no-redact")
    given = [f"--trtcheck-{name}" for name in names if getattr(config.option, f"trtcheck_{name}".replace("-", "_"))]
    if given:
        raise pytest.UsageError(f"{given[0]} has no effect without --trtcheck; add --trtcheck")


@pytest.fixture(scope="session")
def trtcheck_stack(pytestconfig: pytest.Config) -> Stack:
    """Return the facts of the stack, probed on first use, once per run."""
    from pytest_trtcheck.session import run_of

    return run_of(pytestconfig).stack
