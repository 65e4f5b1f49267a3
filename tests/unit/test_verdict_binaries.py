"""What the files say becomes a verdict: loading, GPU code, and what stays open."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_trtcheck.model.facts import Fact, Stack, State
from pytest_trtcheck.model.finding import Finding, Severity, Verdict
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.rules.catalogue import load_catalogue
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.verdict import Unasked, evaluate
from tests.stacks import dist, fact, stack

MATRIX, CATALOGUE = load_matrix(), load_catalogue()
COMPATIBLE, INCOMPATIBLE, UNKNOWN = Verdict.COMPATIBLE, Verdict.INCOMPATIBLE, Verdict.UNKNOWN


def answers(given: Stack) -> dict[str, Finding | Unasked]:
    return evaluate(given, MATRIX, CATALOGUE, level=Level.STATIC).by_key()


def finding(given: Stack, key: str) -> Finding:
    answer = answers(given)[key]
    assert isinstance(answer, Finding)
    return answer


def module(component: str = "vllm", path: str = "/site/vllm/_C.abi3.so", **more: Any) -> dict[str, Any]:
    loads = not {"missing", "nodes", "undefined"} & more.keys()
    return {"component": component, "path": path, "essential": True, "loads": loads, **more}


def image(*modules: dict[str, Any], copies: tuple[dict[str, Any], ...] = (), **values: Any) -> Stack:
    dists = values.pop("dists", ())
    loading = fact("loading", "some", details={"modules": list(modules), "copies": list(copies)})
    return stack(loading, kind="image", dists=dists, **values)


MISSING: dict[str, Any] = {
    "missing": [{"library": "libcublas.so.12", "needed_by": "/site/vllm/_C.abi3.so", "reason": ""}]
}
NODE: dict[str, Any] = {
    "nodes": [{"node": "GLIBC_2.38", "library": "/lib/libc.so.6", "needed_by": "/site/vllm/_C.abi3.so"}]
}
GONE: dict[str, Any] = {
    "symbol": "_ZN3c106DeviceC1ERKSs", "name": "c10::Device::Device(std::string const&)", "provider": "torch",
    "needed_by": "/site/vllm/_C.abi3.so", "searched": ["/site/torch/lib/libc10.so"], "old_strings": True,
}  # fmt: skip


def test_a_sound_package_passes_all_that_is_asked() -> None:
    told = answers(image(module(python="abi3", interpreter="3.12")))
    asked = {key: one for key, one in told.items() if key.startswith("TRC-ELF")}
    assert set(asked) == {f"TRC-ELF-00{number}-vllm" for number in (1, 2, 3, 4)}
    assert all(isinstance(one, Finding) and one.verdict is COMPATIBLE for one in asked.values())


def test_a_missing_library_rejects_with_the_command_that_brings_it() -> None:
    told = answers(image(module(**MISSING), torch_cuda="12.8"))
    found = told["TRC-ELF-001-vllm"]
    assert isinstance(found, Finding)
    assert (found.verdict, found.components) == (INCOMPATIBLE, ("cublas", "vllm"))
    assert "pip install nvidia-cublas-cu12" in found.remedy
    for key in ("TRC-ELF-002-vllm", "TRC-ELF-003-vllm"):
        assert isinstance(told[key], Unasked)


def test_what_the_import_can_do_without_is_a_warning() -> None:
    extra = module(path="/site/vllm/_moe_C.abi3.so", **MISSING) | {"essential": False}
    found = finding(image(module(), extra), "TRC-ELF-001-vllm")
    assert (found.verdict, found.severity) == (COMPATIBLE, Severity.WARNING)
    assert "_moe_C.abi3.so" in found.detail


def test_what_checks_of_the_components_own_files_tell_is_told_once() -> None:
    needs = {"needed": {"/site/torch_tensorrt/lib/libtorchtrt.so": ["libnvinfer.so.10"]}}
    lost: dict[str, Any] = {"missing": [{"library": "libnvinfer.so.10", "needed_by": "/site/x.so", "reason": ""}]}
    given = image(module("torch_tensorrt", **lost), dists=[dist("torch-tensorrt", "2.8.0")])
    given = stack(given.facts["loading"], fact("torch_tensorrt", "2.8.0", details=needs), kind="image")
    told = answers(given)
    assert finding(given, "TRC-LIB-003-torch_tensorrt").verdict is INCOMPATIBLE
    other = told["TRC-ELF-001-torch_tensorrt"]
    assert isinstance(other, Unasked)
    assert (other.reason, "TRC-LIB-003-torch_tensorrt" in other.message) == (Reason.NOT_APPLICABLE, True)


def test_a_version_node_is_told_with_the_systems_that_have_it() -> None:
    found = finding(image(module(**NODE)), "TRC-ELF-002-vllm")
    assert (found.verdict, found.components) == (INCOMPATIBLE, ("glibc", "vllm"))
    assert "Ubuntu 24.04" in found.detail
    assert "Ubuntu 22.04" not in found.detail


def test_an_undefined_symbol_names_the_library_that_should_define_it_and_the_release_that_does() -> None:
    given = image(module(undefined=[GONE], undefined_count=7), torch="2.13.0", vllm="0.11.0", torch_cxx11_abi="true",
                  dists=[dist("vllm", "0.11.0", "torch==2.8.0")])  # fmt: skip
    found = finding(given, "TRC-ELF-003-vllm")
    assert (found.verdict, found.components) == (INCOMPATIBLE, ("torch", "vllm"))
    assert "c10::Device::Device(std::string const&) and 6 more" in found.found
    assert "PyTorch 2.13.0 (libc10.so)" in found.detail
    assert "before C++11" in found.detail
    assert "torch==2.8.0" in found.detail
    assert "torch==2.8.0" in found.remedy


def test_a_symbol_that_another_copy_defines_is_open_when_python_code_may_take_that_copy() -> None:
    one = {**GONE, "elsewhere": ["/other/libc10.so"]}
    loaded = finding(image(module(undefined=[one])), "TRC-ELF-003-vllm")
    assert loaded.verdict is INCOMPATIBLE
    assert "/other/libc10.so" in loaded.remedy
    assert finding(image(module(undefined=[{**one, "is_open": True}])), "TRC-ELF-003-vllm").verdict is UNKNOWN


def test_a_module_for_another_python_rejects() -> None:
    found = finding(image(module(python="3.10", interpreter="3.12") | {"loads": False}), "TRC-ELF-004-vllm")
    assert (found.verdict, found.found) == (INCOMPATIBLE, "modules for Python 3.10")


def test_several_copies_are_told_with_the_one_that_wins() -> None:
    one = {"component": "cudnn", "taken": "/opt/a/libcudnn.so.9", "by": "LD_LIBRARY_PATH", "for": "torch",
           "others": ["/usr/lib/libcudnn.so.9"]}  # fmt: skip
    found = finding(image(module(), copies=(one,)), "TRC-ELF-005-cudnn")
    assert (found.verdict, found.severity) == (COMPATIBLE, Severity.INFO)
    assert found.found == "/opt/a/libcudnn.so.9 wins (by LD_LIBRARY_PATH) over /usr/lib/libcudnn.so.9"
    other = {**one, "taken": "/opt/b/libcudnn.so.9", "for": "tensorrt"}
    assert finding(image(module(), copies=(one, other)), "TRC-ELF-005-cudnn").severity is Severity.WARNING


def carrying(component: str, path: str, *sets: str, gpu: str = "H100", sm: str = "9.0", **values: Any) -> Stack:
    file = {"component": component, "path": path, "sets": dict.fromkeys(sets, 3)}
    return stack(fact("gpu_code", "1 files", details={"files": [file]}), kind="image", gpu=gpu, sm=sm, **values)


def test_machine_code_for_the_gpu_is_compatible_and_names_it() -> None:
    found = finding(carrying("nccl", "/site/libnccl.so.2", "sm_80 sm_90 compute_90:8.7"), "TRC-GPU-001-nccl")
    assert (found.verdict, found.severity) == (COMPATIBLE, Severity.INFO)
    assert "H100 (9.0)" in found.expected
    assert found.found == "sm_90 in libnccl.so.2"


def test_no_code_for_the_gpu_is_incompatible_with_what_there_is() -> None:
    found = finding(carrying("nccl", "/site/libnccl.so.2", "sm_80 sm_86"), "TRC-GPU-001-nccl")
    assert (found.verdict, found.components) == (INCOMPATIBLE, ("nccl", "gpu"))
    assert found.found == "sm_80, sm_86 in /site/libnccl.so.2"
    assert "sm_90" in found.remedy


@pytest.mark.parametrize(
    ("values", "verdict", "severity"),
    [
        ({"driver": "580.65.06", "driver_cuda": "13.0"}, COMPATIBLE, Severity.WARNING),
        ({"driver": "565.57.01"}, INCOMPATIBLE, Severity.ERROR),
        ({"driver": "565.57.01", "driver_cuda": "12.7"}, INCOMPATIBLE, Severity.ERROR),
        ({"driver": "565.57.01", "driver_cuda": "12.8"}, COMPATIBLE, Severity.WARNING),
        ({"driver": "570.86.10"}, COMPATIBLE, Severity.WARNING),
        ({}, COMPATIBLE, Severity.WARNING),
    ],
)
def test_ptx_is_judged_by_the_driver(values: dict[str, str], verdict: Verdict, severity: Severity) -> None:
    given = carrying("nccl", "/site/libnccl.so.2", "sm_80 compute_80:8.7", **values)
    found = finding(given, "TRC-GPU-001-nccl")
    assert (found.verdict, found.severity) == (verdict, severity)
    assert "PTX 8.7 needs the driver of CUDA 12.8 (>=570)" in found.detail
    assert found.source.row == "ptx/8.7"


def test_ptx_newer_than_the_matrix_is_open() -> None:
    given = carrying("nccl", "/site/libnccl.so.2", "compute_80:19.9", driver="580.65.06")
    assert finding(given, "TRC-GPU-001-nccl").verdict is UNKNOWN


@pytest.mark.parametrize("component", ["tensorrt", "cudnn"])
def test_what_may_hold_code_in_its_own_form_is_never_rejected(component: str) -> None:
    found = finding(carrying(component, "/site/libx.so", "sm_70 sm_80"), f"TRC-GPU-001-{component}")
    assert (found.verdict, found.severity) == (UNKNOWN, Severity.INFO)


def test_sets_for_single_gpus_do_not_stand_for_the_rest() -> None:
    sets = ("sm_80 sm_86", "sm_90a", "sm_52 compute_52:8.7")
    rejected = finding(carrying("vllm", "/site/vllm/_C.abi3.so", *sets), "TRC-GPU-001-vllm")
    assert rejected.verdict is INCOMPATIBLE
    assert finding(carrying("vllm", "/site/vllm/_C.abi3.so", *sets, sm="8.9"), "TRC-GPU-001-vllm").verdict is COMPATIBLE


def test_the_main_file_of_a_package_decides() -> None:
    given = carrying("vllm", "/site/vllm/_C.abi3.so", "sm_80 sm_86")
    files = given.facts["gpu_code"].details["files"]
    files.append({"component": "vllm", "path": "/site/vllm/_moe_C.abi3.so", "sets": {"sm_80 sm_90": 1}})
    assert finding(given, "TRC-GPU-001-vllm").verdict is INCOMPATIBLE


def test_a_jetson_takes_no_code_of_other_boards() -> None:
    given = carrying("nccl", "/site/libnccl.so.2", "sm_80 sm_86", gpu="Jetson AGX Orin", sm="8.7")
    assert finding(given, "TRC-GPU-001-nccl").verdict is INCOMPATIBLE


def test_each_capability_is_judged_and_named() -> None:
    given = carrying("nccl", "/site/libnccl.so.2", "sm_80 sm_86")
    several = {"sm": fact("sm", "9.0", details={"all": ["9.0", "8.9", "8.9"]}),
               "gpu": fact("gpu", "H100", details={"all": ["H100", "L40S", "L4"]})}  # fmt: skip
    given = Stack(given.kind, given.name, {**given.facts, **several})
    assert finding(given, "TRC-GPU-001-nccl-sm_90").verdict is INCOMPATIBLE
    assert finding(given, "TRC-GPU-001-nccl-sm_89").expected == "code that runs on L40S (8.9) and L4 (8.9)"


def test_strangers_are_told_and_never_rejected() -> None:
    found = finding(carrying("", "/opt/mine/libplugin.so", "sm_80"), "TRC-GPU-001-others")
    assert (found.verdict, found.severity) == (COMPATIBLE, Severity.WARNING)
    assert "/opt/mine/libplugin.so" in found.found


def test_without_a_gpu_the_question_is_left_open() -> None:
    given = carrying("nccl", "/site/libnccl.so.2", "sm_80")
    facts = {**given.facts, "sm": Fact("sm", State.NOT_PROBED, reason="name it"), "gpu": Fact("gpu", State.NOT_PROBED)}
    answer = answers(Stack("image", "made by hand", facts))["TRC-GPU-001-all"]
    assert isinstance(answer, Unasked)
    assert (answer.reason, answer.message) == (Reason.NO_GPU, "name it")
