"""The TensorRT adapter and the engine suite on a real TensorRT 8.6.0, as far as they go without a driver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contracts import tables
from tests.real.conftest import Use, real_stack  # noqa: F401 - a fixture

_SCRIPT = """
from pytest_trtcheck._suites.support.tensorrt import TensorRT, TensorRTError, TensorRTRefusal

api = TensorRT()
enum = api.module.NetworkDefinitionCreationFlag
assert api.creation_flags(strongly_typed=False) == 1 << int(enum.EXPLICIT_BATCH)
assert not api.can_be_strongly_typed and not api.is_always_strongly_typed
assert api.dtype("fp16") == api.module.DataType.HALF
assert api.precision_flags(["fp16"]) == [api.module.BuilderFlag.FP16]
for layer, names in {layers!r}.items():
    assert not set(names) - set(dir(getattr(api.module, layer))), layer
for name, methods in {methods!r}.items():
    assert not set(methods) - set(dir(getattr(api.module, name))), name
for name, members in {enums!r}.items():
    assert set(members) <= set(getattr(api.module, name).__members__), name
try:
    api.draft(precisions=["bf16"])
except TensorRTRefusal as refusal:
    print("refused:", refusal)
except TensorRTError as error:
    print("failed:", error)
"""
_PROVIDER = """
import numpy as np
from pytest_trtcheck._suites.engine.calibrator import Calibrating, _make
from pytest_trtcheck._suites.engine.cases import cases
from pytest_trtcheck._suites.engine.layers import weights_of
from pytest_trtcheck._suites.engine.numerics import Drawn
from pytest_trtcheck._suites.engine.providers.tensorrt import TensorRTEngines
from pytest_trtcheck._suites.support.gpu_memory import GpuError, libcudart
from pytest_trtcheck._suites.support.tensorrt import TensorRT
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import Where
from pytest_trtcheck.providers.engine import BuildRequest

api, provider = TensorRT(), TensorRTEngines()
where = Where("cuda", "9.0", {"tensorrt": "8.6.0"})
able = [case for case in cases(Level.STANDARD) if not provider.why_not(case, where)]
print("cases:", len(able))
for dtype in ("fp32", "fp16", "int32", "int8"):
    held, weights = weights_of(api, np.arange(6.0).reshape(2, 3), dtype)
    assert weights.dtype == api.dtype(dtype) and weights.size == 6
    assert np.array_equal(weights.numpy(), np.arange(6)), dtype
api.module.Permutation([0, 2, 1, 3])
calibrating = Calibrating(api, None, BuildRequest(calibration_cache=b"TRT-8600-x"))
calibrator = _make(calibrating._base, calibrating)
assert isinstance(calibrator, api.module.IInt8Calibrator)
assert calibrator.get_batch_size() == 1 and calibrator.get_batch(["x"]) is None
assert calibrator.read_calibration_cache() == b"TRT-8600-x"
calibrator.write_calibration_cache(memoryview(b"found"))
assert calibrating.cache == b"found" and not calibrating.problems
assert hasattr(api.module.BuilderFlag, "PREFER_PRECISION_CONSTRAINTS")
assert hasattr(api.module.IBuilderConfig, "int8_calibrator")
try:
    provider.build(able[0], Drawn.of(able[0], 0).weights, BuildRequest())
except Exception as error:
    print("build:", error)
try:
    libcudart()
except GpuError as error:
    print("memory:", error)
"""
_HEADER = b"ftrt" + bytes(20)
PLANS = {
    "other.engine": (
        _HEADER + bytes([10, 9, 0, 34]) + bytes(99),
        "expected TensorRT 10.9.0.34, which built the engine, found TensorRT 8.6.0",
    ),
    "same.engine": (_HEADER + bytes([8, 6, 0, 12]) + bytes(99), "expected TensorRT 8.6.0.12"),
    "empty.plan": (b"", "cut short: 0 bytes, a plan's header alone takes 28"),
    "short.plan": (b"ftrt" + bytes(10), "cut short: 14 bytes, a plan's header alone takes 28"),
    "foreign.plan": (b"\x7fELF" + bytes(99), "no TensorRT plan: it begins with 7f454c46"),
    "flipped.plan": (b"fprt" + _HEADER[4:] + bytes([8, 6, 0, 12]), "no TensorRT plan: it begins with 66707274"),
}
"""Files that are no plan of this release but one, with what is said of each."""


@pytest.mark.real_stack
def test_the_adapter_fits_tensorrt_8_6_0(real_stack: Use, tmp_path: Path) -> None:  # noqa: F811
    done = real_stack("tensorrt-8.6.0-cudnn8").run("-c", _SCRIPT.format(**tables.layers()), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    # With a GPU the builder starts, and bf16 is what 8.6 lacks.
    without_driver = "failed: TensorRT 8.6.0 failed to make a Builder" in done.stdout
    assert without_driver or "refused: TensorRT 8.6.0 has no builder flag for bf16" in done.stdout
    assert not without_driver or "CUDA initialization failure" in done.stdout


@pytest.mark.real_stack
def test_the_engine_provider_goes_as_far_as_the_driver(real_stack: Use, tmp_path: Path) -> None:  # noqa: F811
    done = real_stack("tensorrt-8.6.0-numpy").run("-c", _PROVIDER, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cases: 16" in done.stdout
    if "memory:" in done.stdout:
        assert "memory: cudaStreamCreate: cudaError" in done.stdout
        assert "build: TensorRT 8.6.0 failed to make a Builder" in done.stdout


@pytest.mark.real_stack
def test_the_suite_on_tensorrt_8_6_0_without_a_gpu(real_stack: Use, tmp_path: Path) -> None:  # noqa: F811
    for name, (data, _) in PLANS.items():
        (tmp_path / name).write_bytes(data)
    args = ("--trtcheck", "-p", "no:cacheprovider", *(f"--trtcheck-engine={name}" for name in PLANS))
    real_stack("tensorrt-8.6.0-numpy").run("-m", "pytest", *args, folder=tmp_path)
    report: dict[str, Any] = json.loads((tmp_path / "trtcheck-report" / "report.json").read_text())
    if report["stack"]["gpus"]:
        pytest.skip("there is a GPU here: this test is about none")
    found = {entry["name"]: entry for entry in report["results"] if entry["suite"] == "engine"}
    registry = found.pop("TRC-BLD-012-tensorrt")
    assert registry["outcome"] == "passed"
    assert registry["measurements"][0]["value"] > 50
    same = found.pop("TRC-BLD-011-same.engine")
    assert (same["outcome"], same["reason"]) == ("not_run", "no_gpu")
    for name, (_, words) in PLANS.items():
        file = found.pop(f"TRC-BLD-011-{name}", same)
        assert words in file["message"]
        assert file["message"].endswith("not loaded: TensorRT loads plans on a GPU only, and there is none to use")
        assert file is same or file["outcome"] == "failed"
    assert {(entry["outcome"], entry["reason"]) for entry in found.values()} == {("not_run", "no_gpu")}
    assert len(found) == 9


@pytest.mark.real_stack
def test_loading_a_plan_without_a_driver_costs_a_child_and_no_more(real_stack: Use, tmp_path: Path) -> None:  # noqa: F811
    script = """
from pathlib import Path
from pytest_trtcheck._suites.engine.loading import load_files
from pytest_trtcheck._suites.engine.plans import LOADER

for one in load_files(LOADER, [Path("a.plan"), Path("b.plan")], 60):
    print(one.died, one.problem)
"""
    for name in ("a.plan", "b.plan"):
        (tmp_path / name).write_bytes(b"ftrt" + bytes(20) + bytes([8, 6, 0, 12]) + bytes(99))
    done = real_stack("tensorrt-8.6.0-numpy").run("-c", script, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    # 8.6.0 without a driver ends its process in the runtime's constructor; with one it refuses the plan in words.
    assert all("ended by SIGSEGV" in line or "failed to load the plan" in line for line in lines), lines
