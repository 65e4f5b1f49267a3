"""The wheel, built once, and fresh venvs that hold it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.venvs import CHECKOUT, Venv, clean_env

# PyYAML 5.4, which some images have from their distribution, has no wheel for Python 3.10 and does not build any more.
NO_WHEEL = {"PyYAML"}
SOURCES = ("pyproject.toml", "README.md", "pytest_trtcheck", "matrix", "suites")


@dataclass(frozen=True)
class Installation:
    """A venv with the wheel, and what pip listed before and after the wheel went in."""

    venv: Venv
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of its sources, so that the checkout stays as it is."""
    copy = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, copy)
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(copy / "dist"), str(copy)]
    done = subprocess.run(command, env=clean_env(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((copy / "dist").glob("*.whl"))


@pytest.fixture(scope="session")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """Return a venv with the wheel and the newest of what it needs."""
    venv = Venv.create(tmp_path_factory.mktemp("fresh"))
    venv.install(str(wheel))
    return venv


@pytest.fixture(scope="session")
def lowest(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Return a venv with the lowest releases that pyproject.toml allows, installed before the wheel."""
    venv = Venv.create(tmp_path_factory.mktemp("lowest"))
    venv.install(*lowest_requirements(wheel))
    before = venv.packages()
    venv.install(str(wheel))
    return Installation(venv, before, venv.packages())


def lowest_requirements(wheel: Path) -> list[str]:
    """Return each base dependency of the wheel, pinned to its lower bound."""
    info = "-".join(wheel.name.split("-")[:2]) + ".dist-info/"
    with zipfile.ZipFile(wheel) as archive:
        lines = PathDistribution(zipfile.Path(archive, info)).requires or ()
        base = [needed for needed in map(Requirement, lines) if needed.marker is None]
    return [needed.name if needed.name in NO_WHEEL else f"{needed.name}=={_lower_bound(needed)}" for needed in base]


def _lower_bound(needed: Requirement) -> str:
    (bound,) = needed.specifier
    assert bound.operator == ">=", f"{needed}: a base dependency has a lower bound and no other"
    return bound.version


@pytest.fixture
def rejected_stack(tmp_path: Path) -> Path:
    """Return a folder whose conftest gives a stack with cuDNN 9 beside TensorRT 8.6 to be judged."""
    from pytest_trtcheck.model.codec import encode
    from tests.plugin.conftest import CONFTEST
    from tests.plugin.test_selection import BROKEN

    stack = tmp_path / "stack.json"
    stack.write_text(json.dumps(encode(BROKEN)), encoding="utf-8")
    (tmp_path / "conftest.py").write_text(CONFTEST.format(path=str(stack)), encoding="utf-8")
    return tmp_path
