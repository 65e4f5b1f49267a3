"""Stacks that are written down: what is implied, what each rule says of a broken stack and of its mended twin."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_trtcheck.described.describe import describe
from pytest_trtcheck.model.finding import Finding, Severity, Source, Verdict
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.rules.catalogue import load_catalogue
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.verdict import evaluate, overall, spans
from pytest_trtcheck.verdict.base import IMPLIED
from pytest_trtcheck.verdict.boards import board
from pytest_trtcheck.verdict.imply import imply

MATRIX, CATALOGUE = load_matrix(), load_catalogue()
SAMPLE = Path(__file__).parent.parent / "data" / "environments.yaml"

Environment = dict[str, Any]


def findings(environment: Environment) -> tuple[Finding, ...]:
    return evaluate(describe(environment, "test", "test"), MATRIX, CATALOGUE, level=Level.STATIC).findings


def errors(environment: Environment) -> dict[str, Finding]:
    return {one.id: one for one in findings(environment) if one.verdict is Verdict.INCOMPATIBLE}


def implied(environment: Environment) -> dict[str, tuple[str | None, str | None]]:
    facts = imply(describe(environment, "test", "test"), MATRIX).facts
    return {key: (fact.value, fact.where) for key, fact in facts.items() if fact.how == IMPLIED}


def finding(verdict: Verdict, severity: Severity) -> Finding:
    one = findings({"sm": "9.0", "tensorrt": "10.14.1"})[0]
    return replace(one, verdict=verdict, severity=severity, components=("tensorrt",))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], Verdict.UNKNOWN),
        ([(Verdict.COMPATIBLE, Severity.INFO)], Verdict.COMPATIBLE),
        ([(Verdict.COMPATIBLE, Severity.INFO), (Verdict.UNKNOWN, Severity.INFO)], Verdict.COMPATIBLE),
        ([(Verdict.COMPATIBLE, Severity.INFO), (Verdict.UNKNOWN, Severity.WARNING)], Verdict.UNKNOWN),
        ([(Verdict.UNKNOWN, Severity.WARNING), (Verdict.INCOMPATIBLE, Severity.ERROR)], Verdict.INCOMPATIBLE),
    ],
)
def test_one_verdict_of_all_findings(given: list[tuple[Verdict, Severity]], expected: Verdict) -> None:
    assert overall(finding(*one) for one in given) is expected


@pytest.mark.parametrize(
    ("value", "wanted", "expected"),
    [
        ("535.104.05", ">=525.60.13", True),
        ("470.57.02", ">=525.60.13", False),
        ("525", ">=525.60.13", None),
        ("<520", ">=525.60.13", False),
        (">=530", ">=525.60.13", True),
        ("<526", ">=525.60.13", None),
        ("12.1", ">=12.1.1", None),
        (None, ">=12.1", None),
    ],
)
def test_bounds_and_short_versions_are_three_valued(value: str | None, wanted: str, expected: bool | None) -> None:
    assert spans.within(value, wanted) is expected


@pytest.mark.parametrize(
    ("environment", "key", "value", "where"),
    [
        ({"gpu": "NVIDIA GeForce RTX 3090"}, "sm", "8.6", "gpu/GeForce RTX 3090"),
        ({"torch": "2.4.0+cu121"}, "torch_cuda", "12.1", "label of torch 2.4.0+cu121"),
        ({"triton_container": "24.07-trtllm-python-py3"}, "tensorrt_llm", "0.11.0", "triton_container/24.07"),
        ({"container": "nvcr.io/nvidia/pytorch:24.01-py3"}, "os", "Ubuntu 22.04", "ngc_pytorch/24.01"),
        ({"jetpack": "4.6.3"}, "tensorrt", None, None),
        ({"os": "Ubuntu 20.04.6 LTS"}, "glibc", "2.31", "os/Ubuntu 20.04"),
    ],
)
def test_what_a_name_implies_is_marked(
    environment: Environment, key: str, value: str | None, where: str | None
) -> None:
    found = implied(environment)
    assert key in found
    if value is not None:
        assert found[key] == (value, where)


@pytest.mark.parametrize(
    ("written", "sm"),
    [("4090", "8.9"), ("8x H100", "9.0"), ("RTX3090Ti", "8.6"), ("1080ti", "6.1"), ("A6000", "8.6"),
     ("2 x A100", "8.0"),
     ("RTX PRO 6000", "12.0"), ("Orin Nano", "8.7"), ("Tesla-T4", "7.5"), ("NVIDIA A100 80GB PCIe", "8.0")],
)  # fmt: skip
def test_gpu_names_are_known_as_people_write_them(written: str, sm: str) -> None:
    assert implied({"gpu": written})["sm"][0] == sm


def test_makers_names_stay_as_they_are() -> None:
    for row in MATRIX.rows("gpu"):
        assert MATRIX.match("gpu", board(row.version)) is row


def test_what_is_given_is_never_implied() -> None:
    assert "sm" not in implied({"gpu": "NVIDIA GeForce RTX 3090", "sm": "8.9"})
    assert "glibc" not in implied({"os": "Ubuntu 20.04", "glibc": "2.35"})


PAIRS: list[tuple[str, str, Environment, Environment]] = [
    ("TRC-DRV-001", "driver", {"driver": "470.57.02", "torch": "2.4.0+cu121"}, {"driver": "535.54.03"}),
    ("TRC-DRV-005", "driver", {"driver": "525.60.13", "gpu": "NVIDIA GeForce RTX 5090"}, {"driver": "575.57.08"}),
    ("TRC-DRV-006", "driver", {"driver_cuda": "12.4", "required_cuda": "12.8"}, {"required_cuda": "12.4"}),
    ("TRC-ARC-001", "cuda_toolkit", {"cuda_toolkit": "11.7", "sm": "8.9"}, {"cuda_toolkit": "11.8"}),
    ("TRC-ARC-002", "torch", {"torch": "2.6.0+cu124", "sm": "12.0"}, {"torch": "2.7.0+cu128"}),
    ("TRC-ARC-003", "tensorrt", {"tensorrt": "8.6.1", "sm": "12.0"}, {"tensorrt": "10.9.0"}),
    ("TRC-ARC-005", "gpu", {"vllm": "0.6.0", "gpu": "Tesla P40"}, {"gpu": "NVIDIA A10"}),
    ("TRC-ARC-005", "gpu", {"vllm": "0.6.0", "gpu": "Tesla P40"}, {"vllm": "0.6.0+cpu"}),
    ("TRC-ARC-007", "triton_container", {"triton_container": "24.02-py3", "gpu": "Tesla K80"}, {"gpu": "Tesla T4"}),
    ("TRC-PRC-001", "gpu", {"gpu": "NVIDIA A100-SXM4-80GB", "precision": "fp8", "tensorrt_llm": "0.9.0"},
     {"gpu": "NVIDIA H100 80GB HBM3"}),
    ("TRC-PRC-001", "gpu", {"gpu": "Tesla T4", "precision": "bf16"}, {"precision": "fp16"}),
    ("TRC-PRC-002", "gpu", {"gpu": "NVIDIA L40", "tensorrt_llm": "0.10.0", "feature": "FP8 context FMHA"},
     {"tensorrt_llm": "0.16.0"}),
    ("TRC-ABI-001", "flash_attn", {"flash_attn": "2.5.5+cu118torch2.2cxx11abiTRUE", "torch": "2.1.2+cu118"},
     {"torch": "2.2.0+cu118", "torch_cxx11_abi": "on"}),
    ("TRC-ENG-001", "tensorrt", {"engine_built_with_tensorrt": "8.6.1", "tensorrt": "9.2.0"}, {"tensorrt": "8.6.1"}),
    ("TRC-TRI-001", "backend",
     {"triton_container": "24.10-trtllm-python-py3", "backend": "tensorrtllm", "backend_version": "0.15.0"},
     {"triton_container": "24.11-trtllm-python-py3"}),
    ("TRC-TRI-002", "backend", {"tritonbackend_api_server": "1.0", "tritonbackend_api_backend": "1.2"},
     {"tritonbackend_api_server": "1.4"}),
    ("TRC-CUD-001", "tensorrt", {"tensorrt": "8.2.1", "cuda_toolkit": "12.1"}, {"cuda_toolkit": "11.4"}),
    ("TRC-CUD-003", "onnxruntime", {"onnxruntime": "1.19.0", "cuda_toolkit": "11.7"}, {"cuda_toolkit": "12.4"}),
    ("TRC-DNN-003", "cudnn", {"cudnn": "8.2.1", "cudnn_expected_by_torch": "8.7.0"}, {"cudnn": "8.9.0"}),
    ("TRC-DNN-004", "cudnn", {"onnxruntime": "1.17.1", "cudnn": "9.0"}, {"cudnn": "8.9"}),
    ("TRC-NCL-001", "nccl", {"nccl": "2.18.3", "nccl_built_against": "2.19.3"}, {"nccl": "2.20.5"}),
    ("TRC-NCL-003", "nccl", {"nvidia_wheels": ["nvidia-nccl-cu12==2.29.3", "nvidia-nccl-cu13==2.29.7"]},
     {"nvidia_wheels": ["nvidia-nccl-cu12==2.29.3"]}),
    ("TRC-SYS-001", "glibc", {"vllm": "0.5.2", "glibc": "2.31"}, {"glibc": "2.35"}),
    ("TRC-SYS-002", "libstdcxx", {"triton_container": "23.05-py3", "libstdcxx": "11"}, {"libstdcxx": "12"}),
    ("TRC-SYS-004", "jetpack", {"jetpack": "4.6.3", "tensorrt": "8.5"}, {"tensorrt": "8.2"}),
    ("TRC-PYV-001", "python", {"tensorrt": "8.6.1", "python": "3.12", "install": "pip"}, {"python": "3.10"}),
    ("TRC-PYV-003", "python", {"triton_container": "24.07-py3", "python_packages_built_for": "3.8"},
     {"python_packages_built_for": "3.10"}),
    ("TRC-MPI-001", "mpi4py", {"openmpi": "4.1.5", "libmpi_soname": "libmpi.so.12"}, {"libmpi_soname": "libmpi.so.40"}),
    ("TRC-PIN-003", "driver", {"pynvml": "11.5.0", "driver": "<526", "tensorrt_llm": "0.8.0"}, {"driver": "535.54.03"}),
    ("TRC-PIN-004", "numpy", {"numpy": "2.0.1", "torch": "2.0.1"}, {"numpy": "1.26.4"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "component", "broken", "change"), PAIRS, ids=[f"{n}-{pair[0]}" for n, pair in enumerate(PAIRS)]
)
def test_a_broken_stack_is_told_and_its_mended_twin_is_not(
    check: str, component: str, broken: Environment, change: Environment
) -> None:
    found = errors(broken)
    assert check in found
    told = found[check]
    assert component in told.components
    assert told.expected
    assert told.found
    assert told.remedy
    assert told.source
    assert errors({**broken, **change}) == {}


def test_what_nothing_could_judge_is_named_with_a_way_to_know_more() -> None:
    (open_,) = [one for one in findings({"vllm": "unspecified"}) if one.id == "TRC-KNW-001"]
    assert (open_.verdict, open_.severity) == (Verdict.UNKNOWN, Severity.WARNING)
    assert open_.remedy


def test_a_release_newer_than_the_matrix_is_unknown_with_its_date() -> None:
    (open_,) = [one for one in findings({"tensorrt_llm": "9.0.0", "sm": "9.0"}) if one.id == "TRC-KNW-002"]
    assert open_.verdict is Verdict.UNKNOWN
    assert MATRIX.identity.date in open_.detail


def test_the_sample_is_judged_right() -> None:
    """Hold the aims: at least 95 of 100 broken stacks with the right component, and no healthy one refused."""
    missed, broken, alarms = [], 0, []
    for case in yaml.safe_load(SAMPLE.read_text(encoding="utf-8"))["cases"]:
        at_fault = {name for one in errors(case["environment"]).values() for name in one.components}
        if case["expected_verdict"] == "incompatible":
            broken += 1
            if not at_fault & set(case["faulty_components"]):
                missed.append(case["id"])
        elif case["expected_verdict"] == "compatible" and at_fault:
            alarms.append(case["id"])
    assert len(missed) <= broken * 0.05, missed
    assert alarms == []


def test_two_rows_that_answer_one_question_give_one_answer_the_weightiest() -> None:
    from pytest_trtcheck.verdict import _one_each

    def answer(verdict: Verdict, severity: Severity) -> Finding:
        fault = ("torch",) if verdict is Verdict.INCOMPATIBLE else ()
        return Finding("TRC-PIN-004", "x", verdict, severity, "", fault, "", "", (), Source("by hand"))

    yes, doubtful = answer(Verdict.COMPATIBLE, Severity.INFO), answer(Verdict.COMPATIBLE, Severity.WARNING)
    unknown, no = answer(Verdict.UNKNOWN, Severity.WARNING), answer(Verdict.INCOMPATIBLE, Severity.ERROR)
    ordered = [yes, doubtful, unknown, no]
    for weaker, stronger in pairwise(ordered):
        assert _one_each([weaker, stronger]) == _one_each([stronger, weaker]) == [stronger]
