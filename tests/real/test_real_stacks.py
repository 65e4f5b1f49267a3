"""``pytest --trtcheck`` on real wheels: conflicts that pip lets through, crashes without a driver, a CPU build."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.conftest import Use

pytestmark = pytest.mark.real_stack

CUDNN_REMEDY = "pip install 'nvidia-cudnn-cu12>=8,<9'"


def test_tensorrt_8_as_pip_resolves_it_is_rejected_for_its_cudnn(real_stack: Use, tmp_path: Path) -> None:
    run = real_stack("tensorrt-8.6.0").trtcheck(folder=tmp_path)
    assert (run.status, run.report["verdict"]) == (1, "rejected")
    cudnn = run.fact("cudnn")["value"]
    assert cudnn.startswith("9."), "pip no longer resolves cuDNN 9"
    conflict = run.finding("TRC-DNN-001-tensorrt")
    assert conflict["verdict"] == "incompatible"
    assert conflict["components"] == ["cudnn", "tensorrt"]
    assert "libcudnn.so.8" in conflict["expected"]
    assert conflict["found"] == f"cuDNN {cudnn} (libcudnn.so.9)"
    assert CUDNN_REMEDY in conflict["remedy"]
    loader = run.finding("TRC-IMP-001-tensorrt")
    assert loader["verdict"] == "incompatible"
    assert "libcudnn.so.8: cannot open shared object file" in loader["found"]
    assert CUDNN_REMEDY in loader["remedy"]
    assert CUDNN_REMEDY in run.stdout


def test_tensorrt_8_with_cudnn_9_is_rejected_from_files_alone(real_stack: Use, tmp_path: Path) -> None:
    run = real_stack("tensorrt-8.6.0").trtcheck("--trtcheck-level=static", folder=tmp_path)
    assert (run.status, run.report["verdict"]) == (1, "rejected")
    assert run.results()["TRC-DNN-001-tensorrt"] == ("failed", None)
    assert run.results()["TRC-IMP-001-tensorrt"] == ("not_run", "level")
    assert run.report["stack"]["imports"] == []
    assert CUDNN_REMEDY in run.finding("TRC-DNN-001-tensorrt")["remedy"]


def test_tensorrt_8_with_cudnn_8_imports_and_is_accepted(real_stack: Use, tmp_path: Path) -> None:
    run = real_stack("tensorrt-8.6.0-cudnn8").trtcheck(folder=tmp_path)
    assert run.fact("cudnn")["value"].startswith("8.")
    assert run.results()["TRC-DNN-001-tensorrt"] == ("passed", None)
    assert run.results()["TRC-IMP-001-tensorrt"] == ("passed", None)
    assert (run.status, run.report["verdict"]) == (0, "accepted"), run.stdout


def test_tensorrt_8_crash_without_a_driver_costs_one_unknown_finding(real_stack: Use, tmp_path: Path) -> None:
    run = real_stack("tensorrt-8.6.0-cudnn8").trtcheck(folder=tmp_path)
    if run.fact("driver")["state"] == "found":
        pytest.skip("this machine has a driver: TensorRT 8.6.0 does not crash here")
    crash = run.finding("TRC-IMP-002-tensorrt")
    assert crash["verdict"] == "unknown"
    assert "SIGSEGV" in crash["found"]
    assert "no NVIDIA driver" in crash["detail"]
    assert run.results()["TRC-IMP-002-tensorrt"] == ("not_run", "undecided")
    assert [finding["id"] for finding in run.report["findings"] if finding["verdict"] != "compatible"] == [
        "TRC-IMP-002"
    ]


def test_bindings_without_their_library_are_broken_and_not_absent(real_stack: Use, tmp_path: Path) -> None:
    run = real_stack("tensorrt-bindings").trtcheck(folder=tmp_path)
    assert (run.status, run.report["verdict"]) == (1, "rejected")
    assert run.fact("tensorrt")["state"] == "found"
    assert run.results()["TRC-IMP-001-tensorrt"] == ("failed", None)
    assert run.results()["TRC-LIB-003-tensorrt"] == ("failed", None)
    assert "libnvinfer.so.11" in run.finding("TRC-LIB-003-tensorrt")["expected"]


def test_lean_runtime_that_dies_at_exit_is_a_warning(real_stack: Use, tmp_path: Path) -> None:
    run = real_stack("tensorrt-lean").trtcheck(folder=tmp_path)
    assert (run.status, run.report["verdict"]) == (0, "accepted"), run.stdout
    assert run.results()["TRC-IMP-001-tensorrt_lean"] == ("passed", None)
    if run.fact("driver")["state"] == "found":
        pytest.skip("this machine has a driver: whether the lean runtime dies at exit here is not known")
    exits = run.finding("TRC-IMP-003-tensorrt_lean")
    assert (exits["verdict"], exits["severity"]) == ("compatible", "warning")
    assert "SIGSEGV" in exits["found"]


def test_torch_for_the_cpu_is_accepted_in_profile_auto(real_stack: Use, tmp_path: Path) -> None:
    run = real_stack("torch-cpu").trtcheck(folder=tmp_path)
    build = run.fact("torch")["value"]
    if not build.endswith("+cpu"):
        pytest.skip(f"the package index gives torch {build} here, not a CPU build")
    assert (run.status, run.report["verdict"]) == (0, "accepted"), run.stdout
    assert run.results()["TRC-IMP-001-torch"] == ("passed", None)


def test_torch_alone_is_inconclusive_in_profile_tensorrt_llm(real_stack: Use, tmp_path: Path) -> None:
    run = real_stack("torch-cpu").trtcheck("--trtcheck-profile=tensorrt_llm", folder=tmp_path)
    assert (run.status, run.report["verdict"]) == (10, "inconclusive")
    assert any("TensorRT-LLM, which is not there" in reason for reason in run.report["verdict_reasons"])
