"""Truth by the loader: what the model predicts of real files in real environments is what dlopen says of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_trtcheck.binaries.closure import Process
from tests.real.conftest import Use
from tests.real.loader import Step, dlopen, is_as_predicted, predict, process_of, torch_steps
from tests.real.stand_in import defining_library, empty_libraries
from tests.real.wheels import site_of, unpacked
from tests.venvs import CHECKOUT

TABLE = CHECKOUT / "tests" / "data" / "binaries" / "loader_pairs.yaml"
PAIRS: list[dict[str, Any]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))["pairs"]
HAS_DRIVER = any(Path(folder, "libcuda.so.1").exists() for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64"))

pytestmark = [
    pytest.mark.real_stack,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed"),
]


@pytest.fixture(scope="session")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty library for each SONAME that is stood in for."""
    return empty_libraries(tmp_path_factory.mktemp("stand-in"))


@pytest.fixture(scope="session")
def started() -> Callable[[str, tuple[Step, ...], str], Process]:
    """Return a function that gives the model of a process after some steps; equal ones are made once."""
    return cache(process_of)


def _parameters() -> list[Any]:
    return [
        pytest.param(pair, id=pair["id"], marks=[pytest.mark.real_large] if pair.get("large") else []) for pair in PAIRS
    ]


@pytest.mark.parametrize("pair", _parameters())
def test_prediction_is_what_dlopen_says(
    pair: dict[str, Any],
    real_stack: Use,
    stubs: Path,
    started: Callable[[str, tuple[Step, ...], str], Process],
    tmp_path: Path,
) -> None:
    venv = real_stack(pair["stack"])
    packages = next(venv.folder.glob("lib/python3*/site-packages"))
    site = site_of(tmp_path / "site", [packages, *map(unpacked, pair.get("wheels", ()))])
    file = str(site / pair["file"])
    library_path = ":".join(
        [
            *(str(site / folder) for folder in pair.get("library_path", ())),
            *([str(stubs)] if "stand_in" in pair else []),
        ]
    )
    steps = torch_steps(packages) if pair.get("torch") else []
    model = started(venv.python, tuple(steps), library_path).branch()
    more: list[Step] = [(str(site / name), False) for name in pair.get("first", ())]
    if "beside" in pair:
        more.append((str(unpacked(pair["beside"]) / pair["beside_first"]), False))
    if "stand_in" in pair:
        more.append((str(defining_library(tmp_path / "libstand_in.so", [Path(file)])), True))
    for path, is_global in more:
        assert model.open(path, is_global=is_global).loads
    truth = dlopen(venv.python, [*steps, *more], file, library_path)
    predicted = predict(model, file)
    assert is_as_predicted(truth, predicted), f"the loader: {truth}; predicted: {predicted[:8]}"
    if not (HAS_DRIVER and "libcuda" in pair["answer"]):
        assert truth == pair["answer"]


def test_the_table_has_answers_of_each_kind() -> None:
    assert len(PAIRS) >= 40
    assert len({pair["id"] for pair in PAIRS}) == len(PAIRS)
    small = [pair["answer"].partition(" ")[0] for pair in PAIRS if not pair.get("large")]
    assert {"loads", "no", "undefined"} <= set(small)
    assert min(small.count(kind) for kind in ("loads", "no", "undefined")) >= 5
