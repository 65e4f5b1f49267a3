"""What is said of real wheels as they lie, without loading any: the same as imports and dlopen say of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_trtcheck.binaries.loading import Python, probe_loading
from pytest_trtcheck.image.facts import probe_image
from pytest_trtcheck.image.opened import open_image
from pytest_trtcheck.image.survey import survey
from pytest_trtcheck.image.target import read_target
from pytest_trtcheck.model.finding import Finding, Severity, Verdict
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.probe.root import Root
from pytest_trtcheck.rules.catalogue import load_catalogue
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.verdict import evaluate
from tests.real.conftest import Use
from tests.real.stand_in import empty_libraries
from tests.real.wheels import site_of, unpacked

pytestmark = pytest.mark.real_stack
MATRIX, CATALOGUE = load_matrix(), load_catalogue()


def _broken(folder: Path) -> dict[str, Finding]:
    with open_image(str(folder)) as image:
        stack = probe_image(image, read_target("H100,RTX 3090", "580.65.06", MATRIX), MATRIX)
    found = evaluate(stack, MATRIX, CATALOGUE, level=Level.STATIC).findings
    # An unknown of severity info says that the matrix has no row, whatever the files are like.
    telling = (one for one in found if one.verdict is not Verdict.COMPATIBLE and one.severity is not Severity.INFO)
    return {f"{one.id}-{one.subject}": one for one in telling}


@pytest.mark.parametrize("name", ["tensorrt-8.6.0-cudnn8", "tensorrt-lean", "torch-cpu"])
def test_a_healthy_stack_raises_no_alarm(name: str, real_stack: Use) -> None:
    assert _broken(real_stack(name).folder) == {}


@pytest.mark.parametrize(
    ("name", "key", "words"),
    [
        ("tensorrt-8.6.0", "TRC-DNN-001-tensorrt", "pip install 'nvidia-cudnn-cu12>=8,<9'"),
        ("tensorrt-bindings", "TRC-LIB-003-tensorrt", "the whole of TensorRT 11"),
    ],
)
def test_a_broken_stack_is_rejected_once_with_what_mends_it(name: str, key: str, words: str, real_stack: Use) -> None:
    broken = _broken(real_stack(name).folder)
    assert set(broken) == {key}
    assert broken[key].verdict is Verdict.INCOMPATIBLE
    assert words in broken[key].remedy


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize(
    ("wheel", "has_old_strings"),
    [("torch-tensorrt==2.2.0", True), ("torch-tensorrt==2.8.0", False), ("torchvision==0.16.2", False)],
)
def test_an_extension_of_another_torch_is_told_with_torch_at_fault(
    wheel: str, has_old_strings: bool, real_stack: Use, tmp_path: Path
) -> None:
    venv = real_stack("torch-cpu")
    packages = next(venv.folder.glob("lib/python3*/site-packages"))
    site = site_of(tmp_path / "site-packages", [packages, unpacked(wheel)])
    stand_ins = empty_libraries(tmp_path)
    root, env = Root("/"), {"LD_LIBRARY_PATH": str(stand_ins)}
    python = Python(root.resolve(venv.python), "", (str(site),))
    fact = probe_loading(root, env, python, survey(Root(site)).libraries)
    component = wheel.partition("==")[0].replace("-", "_")
    lost = [one for module in fact.details["modules"] if module["component"] == component and module["essential"]
            for one in module.get("undefined", ())]  # fmt: skip
    by_torch = [one for one in lost if one.get("provider") == "torch"]
    assert by_torch, fact.details
    assert {one["name"].partition("::")[0] for one in by_torch} & {"c10", "at", "torch"}
    assert not has_old_strings or any(one.get("old_strings") for one in by_torch)
    assert all(module["loads"] for module in fact.details["modules"] if module["component"] == "torch")
