"""Rules of each family, against the bundled matrix."""

from __future__ import annotations

import pytest

from pytest_trtcheck.model.facts import ImportOutcome, ImportStatus, Stack
from pytest_trtcheck.model.finding import Finding, Severity, Verdict
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.rules.catalogue import load_catalogue
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.verdict import Unasked, evaluate
from tests.stacks import copy, dist, fact, gpu, stack

MATRIX, CATALOGUE = load_matrix(), load_catalogue()


def answers(given: Stack, level: Level = Level.QUICK) -> dict[str, Finding | Unasked]:
    return evaluate(given, MATRIX, CATALOGUE, level=level).by_key()


def finding(given: Stack, key: str) -> Finding:
    answer = answers(given)[key]
    assert isinstance(answer, Finding), answer
    return answer


def verdict(given: Stack, key: str) -> tuple[Verdict, Severity, tuple[str, ...]]:
    found = finding(given, key)
    return found.verdict, found.severity, found.components


COMPATIBLE = (Verdict.COMPATIBLE, Severity.INFO, ())
WITH_CONDITION = (Verdict.COMPATIBLE, Severity.WARNING, ())
UNKNOWN = (Verdict.UNKNOWN, Severity.WARNING, ())
NO_ROW = (Verdict.UNKNOWN, Severity.INFO, ())


def at_fault(*components: str) -> tuple[Verdict, Severity, tuple[str, ...]]:
    return Verdict.INCOMPATIBLE, Severity.ERROR, components


@pytest.mark.parametrize(
    ("driver", "cuda", "expected"),
    [
        ("450.80.02", "12.1", at_fault("driver")),
        ("470.141.03", "12.1", at_fault("driver")),
        ("535.230.02", "12.6", COMPATIBLE),
        ("525.60.13", "12.9", COMPATIBLE),
        ("525.60.11", "12.9", at_fault("driver")),
        ("575.51.03", "13.0", at_fault("driver")),
        ("580.65.06", "13.1", COMPATIBLE),
        ("580.65.06", "11.8", COMPATIBLE),
        ("550", "12.8", COMPATIBLE),
        ("525", "12.8", UNKNOWN),
        ("900.1", "99.0", UNKNOWN),
    ],
)
def test_driver_minimum_of_the_cuda_family(driver: str, cuda: str, expected: object) -> None:
    assert verdict(stack(driver=driver, torch="2.5.1", torch_cuda=cuda), "TRC-DRV-001-torch") == expected


def test_driver_finding_says_what_is_needed_found_and_whence() -> None:
    found = finding(stack(driver="470.141.03", torch="2.5.1", torch_cuda="12.1"), "TRC-DRV-001-torch")
    assert ">=525.60.13" in found.expected
    assert "CUDA 12.1" in found.expected
    assert found.found == "driver 470.141.03"
    assert found.source.row == "cuda_driver_family/12.x"
    assert found.source.document
    assert found.source.date


def test_without_a_driver_the_question_is_not_put() -> None:
    answer = answers(stack(torch="2.5.1", torch_cuda="12.1"))["TRC-DRV-001-torch"]
    assert isinstance(answer, Unasked)
    assert answer.reason is Reason.NO_GPU


@pytest.mark.parametrize(
    ("driver_cuda", "expected"), [("11.4", at_fault("driver")), ("12.0", COMPATIBLE), ("13.0", COMPATIBLE)]
)
def test_driver_cuda_version_decides_where_the_driver_version_is_not_known(driver_cuda: str, expected: object) -> None:
    given = stack(fact("driver", None), driver_cuda=driver_cuda, torch="2.4.0", torch_cuda="12.1")
    assert verdict(given, "TRC-DRV-001-torch") == expected


def test_jetson_drivers_are_not_held_against_x86_minima() -> None:
    given = stack(driver="540.4.0", jetpack="6.2.1", torch="2.5.1", torch_cuda="13.0")
    assert verdict(given, "TRC-DRV-001-torch") == UNKNOWN


def test_cpu_build_of_torch_asks_nothing_of_driver_or_gpu() -> None:
    keys = answers(stack(driver="470.141.03", sm="7.0", torch="2.13.0+cpu", torch_cuda="none"))
    assert not [key for key in keys if key.startswith(("TRC-DRV", "TRC-ARC"))]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", COMPATIBLE),
        ("NVIDIA GeForce RTX 4090", at_fault("libcuda", "driver")),
        ("Some GPU of tomorrow", UNKNOWN),
    ],
)
def test_forward_compatibility_depends_on_the_class_of_gpu(name: str, expected: object) -> None:
    compat = fact("libcuda", "580.65.06", details={"compat": True, "path": "/usr/local/cuda/compat/libcuda.so.1"})
    assert verdict(stack(compat, gpu=name, driver="535.230.02"), "TRC-DRV-003-libcuda") == expected


def test_a_compat_package_lifts_an_older_driver() -> None:
    given = stack(driver="535.230.02", driver_cuda="13.0", torch="2.13.0", torch_cuda="13.0")
    assert verdict(given, "TRC-DRV-001-torch") == WITH_CONDITION


@pytest.mark.parametrize(
    ("driver_cuda", "expected"), [("12.4", WITH_CONDITION), ("12.8", COMPATIBLE), ("12.9", COMPATIBLE)]
)
def test_ptx_of_a_newer_minor_release_is_a_condition(driver_cuda: str, expected: object) -> None:
    given = stack(driver="550.144.03", driver_cuda=driver_cuda, torch="2.9.0", torch_cuda="12.8")
    assert verdict(given, "TRC-DRV-004-torch") == expected


@pytest.mark.parametrize(
    ("condition", "component"),
    [
        ("gpu_lost", "gpu"),
        ("mig_without_instances", "gpu"),
        ("driver_not_loaded", "driver"),
        ("not_permitted", "container"),
    ],
)
def test_a_gpu_that_does_not_answer_is_broken_not_absent(condition: str, component: str) -> None:
    given = stack(fact("gpu", None, details={"condition": condition}, reason=f"the words for {condition}"))
    assert verdict(given, "TRC-DEV-001-gpu") == at_fault(component)
    assert finding(given, "TRC-DEV-001-gpu").detail == f"the words for {condition}"


def test_no_gpu_at_all_is_not_asked_about() -> None:
    assert "TRC-DEV-001-gpu" not in answers(stack())


def test_kernel_module_and_nvml_of_two_releases() -> None:
    split = fact("driver", "580.65.06", details={"kernel_module": "580.65.06", "nvml": "575.51.03"})
    assert verdict(stack(split), "TRC-DRV-002-driver") == at_fault("driver")
    same = fact("driver", "580.65.06", details={"kernel_module": "580.65.06", "nvml": "580.65.06"})
    assert verdict(stack(same), "TRC-DRV-002-driver") == COMPATIBLE


def test_uncorrected_memory_errors_are_told() -> None:
    given = stack(
        gpu="NVIDIA H200", gpus=[gpu(), gpu(index=1, ecc_uncorrected_errors=3), gpu(index=2, ecc_uncorrected_errors=0)]
    )
    assert verdict(given, "TRC-DEV-002-gpu") == WITH_CONDITION
    assert finding(given, "TRC-DEV-002-gpu").found == "GPU 1: 3"


@pytest.mark.parametrize(
    ("torch", "cuda", "sm", "expected"),
    [
        ("2.5.1", "12.4", "9.0", COMPATIBLE),
        ("2.5.1", "12.4", "8.9", COMPATIBLE),
        ("2.5.1", "12.4", "12.0", at_fault("torch", "gpu")),
        ("2.13.0", "13.0", "12.1", COMPATIBLE),
        ("2.13.0", "13.0", "7.0", at_fault("torch", "gpu")),
        ("2.13.0", "99.0", "9.0", NO_ROW),
        ("77.0", "13.0", "9.0", NO_ROW),
    ],
)
def test_torch_holds_kernels_for_the_gpu(torch: str, cuda: str, sm: str, expected: object) -> None:
    assert verdict(stack(torch=torch, torch_cuda=cuda, sm=sm), "TRC-ARC-002-torch") == expected


@pytest.mark.parametrize(
    ("tensorrt", "sm", "expected"),
    [
        ("10.5.0.18", "7.0", at_fault("tensorrt", "gpu")),
        ("10.5.0.18", "7.5", COMPATIBLE),
        ("10.0.1", "6.1", at_fault("tensorrt", "gpu")),
        ("8.6.1", "10.0", at_fault("tensorrt", "gpu")),
        ("10.14.1.48", "9.0", COMPATIBLE),
        ("42.0", "9.0", NO_ROW),
    ],
)
def test_tensorrt_supports_the_gpu(tensorrt: str, sm: str, expected: object) -> None:
    assert verdict(stack(tensorrt=tensorrt, sm=sm), "TRC-ARC-003-tensorrt") == expected


@pytest.mark.parametrize(
    ("version", "sm", "expected"),
    [("1.2.1", "9.0", COMPATIBLE), ("1.2.1", "7.0", at_fault("tensorrt_llm", "gpu")), ("99.0", "9.0", NO_ROW)],
)
def test_tensorrt_llm_supports_the_gpu(version: str, sm: str, expected: object) -> None:
    assert verdict(stack(tensorrt_llm=version, sm=sm), "TRC-ARC-004-tensorrt_llm") == expected


@pytest.mark.parametrize(
    ("toolkit", "sm", "expected"),
    [
        ("12.4", "12.0", at_fault("cuda_toolkit", "gpu")),
        ("12.8.1", "12.0", COMPATIBLE),
        ("13.0", "7.0", at_fault("cuda_toolkit", "gpu")),
    ],
)
def test_toolkit_compiles_for_the_gpu(toolkit: str, sm: str, expected: object) -> None:
    assert verdict(stack(cuda_toolkit=toolkit, sm=sm), "TRC-ARC-001-cuda_toolkit") == expected


def test_mixed_gpus_are_judged_each() -> None:
    given = stack(fact("sm", "9.0", details={"all": ["9.0", "12.0", "9.0"]}), torch="2.5.1", torch_cuda="12.4")
    assert verdict(given, "TRC-ARC-002-torch-sm_90") == COMPATIBLE
    assert verdict(given, "TRC-ARC-002-torch-sm_120") == at_fault("torch", "gpu")


@pytest.mark.parametrize(
    ("key", "value", "check", "expected"),
    [
        ("tensorrt", "10.14.1.48", "TRC-LLM-001-tensorrt", COMPATIBLE),
        ("tensorrt", "10.9.0.34", "TRC-LLM-001-tensorrt", at_fault("tensorrt", "tensorrt_llm")),
        ("tensorrt", "10", "TRC-LLM-001-tensorrt", UNKNOWN),
        ("torch", "2.10.0a0+b4e4ee81d3.nv25.12", "TRC-LLM-002-torch", COMPATIBLE),
        ("torch", "2.5.1", "TRC-LLM-002-torch", at_fault("torch", "tensorrt_llm")),
        ("cuda_runtime", "13.1.80", "TRC-LLM-003-cuda_runtime", COMPATIBLE),
        ("cuda_runtime", "11.8", "TRC-LLM-003-cuda_runtime", at_fault("cuda_runtime", "tensorrt_llm")),
        ("python", "3.12.3", "TRC-LLM-004-python", COMPATIBLE),
        ("python", "3.8.10", "TRC-LLM-004-python", at_fault("python", "tensorrt_llm")),
    ],
)
def test_partners_of_a_tensorrt_llm_release(key: str, value: str, check: str, expected: object) -> None:
    assert verdict(stack(fact(key, value), tensorrt_llm="1.2.1"), check) == expected


@pytest.mark.parametrize(
    ("tag", "version", "expected"),
    [
        ("24.12-trtllm-python-py3", "0.16.0", COMPATIBLE),
        ("24.12-trtllm-python-py3", "0.11.0", at_fault("tensorrt_llm", "triton_container")),
        ("24.12-py3", "0.11.0", NO_ROW),
    ],
)
def test_tensorrt_llm_belongs_to_its_triton_container(tag: str, version: str, expected: object) -> None:
    assert verdict(stack(tensorrt_llm=version, triton_container=tag), "TRC-LLM-005-triton_container") == expected


def test_a_release_that_the_matrix_does_not_know_is_unknown_with_its_date() -> None:
    found = finding(stack(tensorrt_llm="99.0", torch="2.13.0"), "TRC-LLM-002-torch")
    assert found.verdict is Verdict.UNKNOWN
    assert MATRIX.identity.date in found.detail


CUDNN_9 = fact("cudnn", "9.10.2.21", copies=(copy("/site/libcudnn.so.9", "9.10.2.21", "libcudnn.so.9"),), chosen=0)
CUDNN_8 = fact("cudnn", "8.9.7.29", copies=(copy("/site/libcudnn.so.8", "8.9.7.29", "libcudnn.so.8"),), chosen=0)
TENSORRT_8 = fact(
    "tensorrt", "8.6.0", details={"needed": {"/site/libnvinfer.so.8": ["libcudnn.so.8", "libcublas.so.12"]}}
)
CUBLAS_12 = fact("cublas", "12.9.1.4", copies=(copy("/site/libcublas.so.12", "12.9.1.4", "libcublas.so.12"),))


def test_tensorrt_8_with_cudnn_9_names_both_and_the_remedy() -> None:
    found = finding(stack(TENSORRT_8, CUDNN_9, tensorrt_package_cuda="12"), "TRC-DNN-001-tensorrt")
    assert (found.verdict, found.components) == (Verdict.INCOMPATIBLE, ("cudnn", "tensorrt"))
    assert "libcudnn.so.8" in found.expected
    assert "9.10.2.21" in found.found
    assert found.remedy == "Install cuDNN 8: pip install 'nvidia-cudnn-cu12>=8,<9'"


def test_tensorrt_8_with_cudnn_8() -> None:
    assert verdict(stack(TENSORRT_8, CUDNN_8), "TRC-DNN-001-tensorrt") == COMPATIBLE


@pytest.mark.parametrize(
    ("cudnn", "expected"),
    [
        ("8.6.0", at_fault("cudnn", "torch")),
        ("8.9.2", at_fault("cudnn", "torch")),
        ("9.0.0", at_fault("cudnn", "torch")),
        ("9.19.1", COMPATIBLE),
    ],
)
def test_torch_takes_its_cudnn_major_and_no_older_minor(cudnn: str, expected: object) -> None:
    assert verdict(stack(torch="2.9.0", torch_cuda="12.8", cudnn=cudnn), "TRC-DNN-002-torch") == expected


def test_a_needed_library_that_is_nowhere_is_named_with_who_needs_it() -> None:
    found = finding(stack(TENSORRT_8, CUDNN_8), "TRC-LIB-003-tensorrt")
    assert found.components == ("cublas", "tensorrt")
    assert found.detail == "/site/libnvinfer.so.8 needs libcublas.so.12"
    assert verdict(stack(TENSORRT_8, CUDNN_8, CUBLAS_12), "TRC-LIB-003-tensorrt") == COMPATIBLE


def test_two_versions_of_a_library_are_told_with_the_one_that_wins() -> None:
    copies = (copy("/a/libnccl.so.2", "2.23.4", "libnccl.so.2"), copy("/b/libnccl.so.2", "2.27.5", "libnccl.so.2"))
    given = stack(fact("nccl", "2.27.5", copies=copies, chosen=1, why_chosen="LD_LIBRARY_PATH comes first"))
    found = finding(given, "TRC-LIB-001-nccl")
    assert (found.verdict, found.severity) == (Verdict.COMPATIBLE, Severity.WARNING)
    assert "2.27.5 in /b/libnccl.so.2: LD_LIBRARY_PATH comes first" in found.detail


def test_two_cuda_majors_in_one_environment() -> None:
    given = stack(torch="2.9.0", torch_cuda="12.8", dists=[dist("tensorrt-cu13", "10.14.1.48")])
    assert verdict(given, "TRC-LIB-002-python") == WITH_CONDITION
    assert "CUDA 12: torch" in finding(given, "TRC-LIB-002-python").found


def outcome(status: ImportStatus, **fields: str) -> ImportOutcome:
    return ImportOutcome("tensorrt", "tensorrt", status, 1.0, **fields)  # type: ignore[arg-type]


def imported(status: ImportStatus, *, driver: str | None = "580.65.06", **fields: str) -> Stack:
    facts = [CUDNN_9, *([fact("driver", driver)] if driver else [])]
    return stack(*facts, tensorrt="8.6.0", dists=[dist("tensorrt", "8.6.0")], imports=[outcome(status, **fields)])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (imported(ImportStatus.OK), {"1": COMPATIBLE, "2": COMPATIBLE, "3": COMPATIBLE}),
        (imported(ImportStatus.CRASH, phase="import", signal="SIGSEGV"), {"1": at_fault("tensorrt")}),
        (imported(ImportStatus.CRASH, phase="touch", signal="SIGSEGV"), {"1": COMPATIBLE, "2": at_fault("tensorrt")}),
        (imported(ImportStatus.CRASH, driver=None, phase="touch", signal="SIGSEGV"), {"1": COMPATIBLE, "2": UNKNOWN}),
        (
            imported(ImportStatus.CRASH, phase="exit", signal="SIGSEGV"),
            {"1": COMPATIBLE, "2": COMPATIBLE, "3": WITH_CONDITION},
        ),
        (imported(ImportStatus.HANG, phase="import"), {"1": at_fault("tensorrt")}),
        (
            imported(ImportStatus.DRIVER_TOO_OLD, phase="import", provider="driver"),
            {"1": at_fault("driver", "tensorrt")},
        ),
        (imported(ImportStatus.NO_DEVICE, driver=None, phase="import"), {"1": UNKNOWN}),
    ],
    ids=[
        "sound",
        "dies_on_import",
        "dies_on_use",
        "dies_on_use_without_driver",
        "dies_at_exit",
        "hangs",
        "old_driver",
        "no_driver",
    ],
)
def test_import_health(given: Stack, expected: dict[str, object]) -> None:
    for number, words in expected.items():
        assert verdict(given, f"TRC-IMP-00{number}-tensorrt") == words


def test_missing_library_names_who_needs_it_what_is_there_and_the_command() -> None:
    given = imported(
        ImportStatus.MISSING_LIBRARY, phase="import", library="libcudnn.so.8", provider="cudnn",
        needed_by="/site/libnvinfer.so.8",
    )  # fmt: skip
    found = finding(given, "TRC-IMP-001-tensorrt")
    assert found.components == ("cudnn", "tensorrt")
    assert "libcudnn.so.8" in found.found
    assert found.detail == "needed by /site/libnvinfer.so.8; installed is cuDNN 9.10.2.21 (libcudnn.so.9)"
    assert "nvidia-cudnn-cu12>=8,<9" in found.remedy


def test_level_static_says_that_nothing_was_imported() -> None:
    given = stack(tensorrt="8.6.0", dists=[dist("tensorrt", "8.6.0")])
    answer = answers(given, Level.STATIC)["TRC-IMP-001-tensorrt"]
    assert isinstance(answer, Unasked)
    assert answer.reason is Reason.LEVEL


@pytest.mark.parametrize(
    ("requirement", "installed", "expected"),
    [
        ("nvidia-cudnn-cu12==9.1.0.70", "9.1.0.70", COMPATIBLE),
        ("nvidia-cudnn-cu12==9.1.0.70", "9.5.0.50", WITH_CONDITION),
        ("nvidia-cudnn-cu12>=9.1", "9.5.0rc1", COMPATIBLE),
        ('nvidia-cudnn-cu12==9.1.0.70; platform_system == "Windows"', "8.0", None),
        ('nvidia-cudnn-cu12==9.1.0.70; extra == "cudnn"', "8.0", None),
        ("requests>=2", "9.1", None),
        ("not a requirement ==", "9.1", None),
    ],
)
def test_declared_requirements(requirement: str, installed: str, expected: object) -> None:
    given = stack(dists=[dist("torch", "2.5.1", requirement), dist("nvidia-cudnn-cu12", installed)])
    if expected is None:
        assert "TRC-PKG-001-torch" not in answers(given)
    else:
        assert verdict(given, "TRC-PKG-001-torch") == expected


def test_requirement_on_a_package_that_is_not_there() -> None:
    given = stack(dists=[dist("torch", "2.5.1", "nvidia-nccl-cu12==2.21.5")])
    assert finding(given, "TRC-PKG-001-torch").found == "nvidia-nccl-cu12==2.21.5: nvidia-nccl-cu12 is not installed"


def test_package_that_does_not_admit_this_python() -> None:
    given = stack(python="3.13.0", dists=[dist("tensorrt", "8.6.0", python="<3.11,>=3.6")])
    assert verdict(given, "TRC-PKG-003-tensorrt") == at_fault("python", "tensorrt")


def test_every_rule_answers_only_checks_of_the_catalogue_and_every_check_is_asked_by_a_rule_or_a_suite() -> None:
    from pathlib import Path

    import pytest_trtcheck._suites as suites
    import pytest_trtcheck.verdict.families as families

    folders = (families.__path__[0], suites.__path__[0])
    source = "".join(path.read_text() for folder in folders for path in Path(folder).rglob("*.py"))
    assert [check for check in CATALOGUE if check not in source] == []
