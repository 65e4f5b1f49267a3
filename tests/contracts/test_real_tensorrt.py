"""The TensorRT adapter on a real TensorRT 8.6.0, as far as it goes without a driver, in a process of its own."""

from __future__ import annotations

from pathlib import Path

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
for name, members in {enums!r}.items():
    assert set(members) <= set(getattr(api.module, name).__members__), name
try:
    api.draft(precisions=["bf16"])
except TensorRTRefusal as refusal:
    print("refused:", refusal)
except TensorRTError as error:
    print("failed:", error)
"""


@pytest.mark.real_stack
def test_the_adapter_fits_tensorrt_8_6_0(real_stack: Use, tmp_path: Path) -> None:  # noqa: F811
    done = real_stack("tensorrt-8.6.0-cudnn8").run("-c", _SCRIPT.format(**tables.layers()), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    # With a GPU the builder starts, and bf16 is what 8.6 lacks.
    without_driver = "failed: TensorRT 8.6.0 failed to make a Builder" in done.stdout
    assert without_driver or "refused: TensorRT 8.6.0 has no builder flag for bf16" in done.stdout
    assert not without_driver or "CUDA initialization failure" in done.stdout
