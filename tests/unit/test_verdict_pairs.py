"""Parts that must be of one release or of one make: each broken pair beside one that goes together."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_trtcheck.described.describe import describe
from pytest_trtcheck.model.finding import Finding, Verdict
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.rules.catalogue import load_catalogue
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.verdict import evaluate

MATRIX, CATALOGUE = load_matrix(), load_catalogue()
Environment = dict[str, Any]


def findings(environment: Environment) -> tuple[Finding, ...]:
    return evaluate(describe(environment, "test", "test"), MATRIX, CATALOGUE, level=Level.STATIC).findings


def errors(environment: Environment) -> dict[str, Finding]:
    return {one.id: one for one in findings(environment) if one.verdict is Verdict.INCOMPATIBLE}


BROKEN_AND_MENDED: list[tuple[str, str, Environment, Environment]] = [
    ("TRC-PIN-005", "tensorrt_cu12_bindings",
     {"tensorrt_cu12": "10.1.0", "tensorrt_cu12_bindings": "10.0.1"},
     {"tensorrt_cu12_bindings": "10.1.0"}),
    ("TRC-PIN-005", "tensorrt_cu12", {"tensorrt": "10.0.1", "tensorrt_cu12": "10.1.0"}, {"tensorrt_cu12": "10.0.1"}),
    ("TRC-PIN-002", "transformers",
     {"transformers_required_by_tensorrt_llm": "<=4.45.1", "transformers_required_by_vllm": ">=4.45.2"},
     {"transformers_required_by_vllm": ">=4.45.0"}),
    ("TRC-ABI-004", "triton_lang", {"torch": "2.13.0", "triton_lang": "3.9.0"}, {"torch": "2.13.0+cpu"}),
    ("TRC-PIN-004", "pynvml", {"vllm": "0.6.6.post1", "pynvml": "12.0.0"}, {"pynvml": "11.5.3"}),
    ("TRC-PIN-004", "pybind11", {"python": "3.11", "pybind11": "2.6.0"}, {"pybind11": "2.10.4"}),
    ("TRC-PIN-004", "numpy",
     {"triton_container": "24.09-py3", "backend": "python", "numpy": "2.1.2"}, {"triton_container": "24.12-py3"}),
    ("TRC-CUD-002", "vllm_flash_attn",
     {"vllm_flash_attn": "2.5.8.post2", "torch": "2.3.0+cu118"}, {"torch": "2.3.0+cu121"}),
    ("TRC-CUD-002", "vllm", {"vllm_wheel_cuda": "12.1", "cuda_runtime": "11.8"}, {"cuda_runtime": "12.4"}),
    ("TRC-CUD-004", "cuda_toolkit",
     {"torch": "2.1.2+cu121", "cuda_toolkit": "11.8", "install": "pip install -e ."}, {"install": "pip wheel"}),
    ("TRC-CUD-005", "onnxruntime", {"onnxruntime": "1.17.1", "tensorrt": "10.0.1"}, {"tensorrt": "8.6.1"}),
    ("TRC-TRI-007", "triton_container",
     {"triton_container": "23.10-py3", "backend": "tensorrtllm"}, {"triton_container": "23.10-trtllm-python-py3"}),
    ("TRC-TRI-007", "triton_container",
     {"triton_container": "24.08-trtllm-python-py3", "backend": "onnxruntime"}, {"triton_container": "24.08-py3"}),
    ("TRC-TRI-005", "torch",
     {"container": "nvcr.io/nvidia/pytorch:22.04-py3", "torch": "1.12.1"}, {"torch": "1.12.0a0+bd13bc6"}),
    ("TRC-DRV-003", "driver",
     {"gpu": "GeForce RTX 2080 Ti", "driver": "470.57.02", "driver_cuda": "12.1"}, {"gpu": "Tesla T4"}),
    ("TRC-DRV-005", "driver", {"gpu": "RTX 5090", "driver": "565.77"}, {"driver": "570.86.15"}),
    ("TRC-ARC-002", "torch", {"gpu": "RTX 5080", "torch_arch_list": "sm_80 sm_86 sm_90"}, {"gpu": "H100"}),
    ("TRC-ABI-003", "torch", {"torch_tensorrt": "1.0.0", "torch": "1.11.0+cu113"}, {"torch": "1.10.2+cu113"}),
    ("TRC-ABI-002", "torch", {"vllm": "unspecified", "torch": "1.12.0"}, {"torch": "2.4.0"}),
    ("TRC-LLM-002", "torch",
     {"tensorrt_llm": "0.8.0.dev2024012301", "torch": "2.2.0"}, {"torch": "2.1.2"}),
    ("TRC-PRC-002", "gpu", {"gpu": "V100", "vllm": "0.4.0", "precision": "awq"}, {"gpu": "T4"}),
    ("TRC-PRC-002", "gpu", {"gpu": "V100", "tensorrt_llm": "0.7.1", "precision": "int8 smoothquant"}, {"gpu": "A100"}),
    ("TRC-PRC-002", "gpu", {"gpu": "RTX 5090", "tensorrt_llm": "0.19.0", "precision": "nvfp4"}, {"gpu": "B200"}),
    ("TRC-SYS-007", "mig", {"gpu": "H100", "mig": "3g.40gb", "gpu_count": 2, "nccl": "2.21.5"}, {"gpu_count": 1}),
    ("TRC-PYV-002", "wheel_tag",
     {"wheel_tag": "cp310-cp310-linux_x86_64", "python": "3.10", "arch": "aarch64"}, {"arch": "x86_64"}),
    ("TRC-PYV-002", "wheel_tag",
     {"wheel_tag": "cp310-none-win_amd64", "python": "3.10", "os": "Ubuntu 22.04"}, {"os": "Windows 11"}),
    ("TRC-ENG-001", "engine",
     {"trt_container": "21.03-py3", "engine_built_with_tensorrt": "8.0.3.4"},
     {"engine_built_with_tensorrt": "7.2.2.3"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "component", "broken", "change"),
    BROKEN_AND_MENDED,
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_pair_is_told_and_its_mended_twin_is_not(
    check: str, component: str, broken: Environment, change: Environment
) -> None:
    assert component in errors(broken)[check].components
    assert errors({**broken, **change}) == {}


def test_a_wheel_for_an_unknown_python_is_open() -> None:
    open_ = {one.id: one.detail for one in findings({"wheel_tag": "cp310-none-win_amd64", "os": "Windows 10"})
             if one.verdict is Verdict.UNKNOWN}  # fmt: skip
    assert "Python is needed" in open_["TRC-PYV-002"]


def test_another_onnxruntime_provider_may_be_in_use() -> None:
    given = findings({"onnxruntime": "1.17.1", "tensorrt": "10.0.1", "torch": "2.3.0"})
    assert [one.verdict for one in given if one.id == "TRC-CUD-005"] == [Verdict.UNKNOWN]


@pytest.mark.parametrize(("tensorrt", "judged"), [("8.5", True), ("8.2.4", True), ("8.0.0.3", False), ("10.13", False)])
def test_a_patch_without_a_row_is_judged_where_its_minor_is_alike(tensorrt: str, judged: bool) -> None:
    given = findings({"tensorrt": tensorrt, "cuda_toolkit": "11.1"})
    assert ("TRC-CUD-001" in {one.id for one in given}) is judged
