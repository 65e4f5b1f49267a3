"""modelopt's own configurations say what the matrix says of each algorithm; read from a real wheel, not imported."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pytest_trtcheck._suites.quantization.providers.modelopt import ModelOpt
from pytest_trtcheck.providers import LlmCase, Setup, Where
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.rules.quantization import ALGORITHMS

NUMBERS: dict[str, object] = {"int8": 8, "int4": 4, "fp8_e4m3": "e4m3", "e2m1": "e2m1"}
NEWEST = "0.47.0"


@pytest.fixture
def wheel(tmp_path: Path, request: pytest.FixtureRequest) -> zipfile.ZipFile:
    version = request.param
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "-d",
        str(tmp_path),
        f"nvidia-modelopt=={version}",
    ]
    subprocess.run(command, check=True, timeout=300)
    return zipfile.ZipFile(next(tmp_path.glob("*.whl")))


@pytest.mark.real_stack
@pytest.mark.parametrize("wheel", ["0.29.0", "0.40.0", NEWEST], indirect=True)
def test_a_real_wheel_has_the_configurations_that_the_matrix_names(wheel: zipfile.ZipFile) -> None:
    text = wheel.read("modelopt/torch/quantization/config.py").decode()
    there = set(re.findall(r"^([A-Z0-9_]+_CFG)\b", text, re.MULTILINE))
    version = re.search(r"-(\d+)\.(\d+)\.", Path(str(wheel.filename)).name)
    assert version is not None
    release = (int(version[1]), int(version[2]))
    rows = load_matrix().rows(ALGORITHMS)
    for row in rows:
        name, since = row.value("modelopt_config"), row.value("modelopt_since")
        if name and tuple(map(int, since.split(".")[:2])) <= release:
            # Releases before 0.37 import the NVFP4 configurations from a compiled companion.
            assert name in there or f" {name}," in text, name


def preset(wheel: zipfile.ZipFile, path: str) -> str:
    """Return the text of a preset and of all that it imports."""
    text = wheel.read(f"modelopt_recipes/{path}.yaml").decode()
    parts = re.findall(r"^  \w+: (configs/\S+)$", text, re.MULTILINE)
    return "\n".join([text, *(preset(wheel, part) for part in parts)])


@pytest.mark.real_stack
@pytest.mark.parametrize("wheel", [NEWEST], indirect=True)
def test_the_newest_wheels_presets_have_the_bits_groups_and_scales_of_the_matrix(wheel: zipfile.ZipFile) -> None:
    source = wheel.read("modelopt/torch/quantization/config.py").decode()
    for row in load_matrix().rows(ALGORITHMS):
        name = row.value("modelopt_config")
        if not name:
            continue
        path = re.search(rf'^{name}\b[^"]*"([^"]+)"', source, re.MULTILINE)
        assert path is not None, name
        told = preset(wheel, path[1])
        for cell in ("weights", "activations", "kv_cache"):
            if row.value(cell):
                assert re.search(rf"num_bits: {NUMBERS[row.value(cell)]}$", told, re.MULTILINE), (name, cell)
        if row.value("group_size"):
            assert re.search(rf"-1: {row.value('group_size')}$", told, re.MULTILINE), name
        if row.value("scale") != "fp32":
            assert f"scale_bits: {row.value('scale')}" in told, name
        if row.value("channel_scaling"):
            assert row.value("channel_scaling") in told, name


def test_the_backend_asks_for_transformers_and_tells_what_needs_a_gpu() -> None:
    case = LlmCase("one", Setup("fp32", "int8_weight_only"), ())
    with_it = Where("cpu", versions={"modelopt": NEWEST}, distributions={"transformers": "5.23.0"})
    assert ModelOpt().why_not(case, Where("cpu")) == "needs transformers, for the model that is quantized"
    assert ModelOpt().why_not(case, with_it) == ""
    assert ModelOpt().why_not(LlmCase("two", Setup("fp32", "nvfp4"), ()), with_it) == "no nvfp4"
    assert ModelOpt().why_not(LlmCase("three", Setup(), ()), with_it) == "no quantization asked for"
