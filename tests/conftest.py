"""Options and order of the test run. Being here makes ``tests`` importable from every folder below it."""

from __future__ import annotations

import importlib.util
import os
import shutil

import pytest
from hypothesis import HealthCheck, settings

# Machines that run the tests are shared and noisy: no example is judged by its time.
# In CI the examples are the same each time: a change is judged, not the luck of the draw. Elsewhere they roam.
settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("untimed")

# pytest takes this in the topmost conftest only.
pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-golden",
        action="store_true",
        help="Write the files of tests/golden/expected and the captured blocks of README.md anew instead of comparing "
        "with them; then read the diff",
    )
    parser.addoption(
        "--all-pairs",
        action="store_true",
        help="Run the tests marked real_large as well, which download 4 GB more",
    )
    parser.addoption(
        "--all-serving",
        action="store_true",
        help="Run the tests marked serving_long as well: 50 starts, the whole proof, a short soak; some 10 minutes",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start what downloads first, so that another worker runs all the rest meanwhile; leave out what cannot run here.

    Tests marked with the name of a library run in venvs that have it, those marked ``serving`` where there is a server.
    """
    items.sort(key=lambda item: item.get_closest_marker("real_stack") is None)
    absent = [library for library in ("torch", "transformers", "vllm") if importlib.util.find_spec(library) is None]
    if importlib.util.find_spec("pytriton") is None and shutil.which("tritonserver") is None:
        absent.append("serving")
    long = {"real_large": "--all-pairs", "serving_long": "--all-serving"}
    absent += [marker for marker, option in long.items() if not config.getoption(option)]
    for marker in absent:
        left_out = [item for item in items if item.get_closest_marker(marker)]
        items[:] = [item for item in items if not item.get_closest_marker(marker)]
        config.hook.pytest_deselected(items=left_out)
