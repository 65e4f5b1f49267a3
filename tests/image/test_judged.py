"""What the engine makes of an image: no driver of its own, no imports, and the target's driver and GPUs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_trtcheck.image.facts import probe_image
from pytest_trtcheck.image.opened import open_image
from pytest_trtcheck.image.target import read_target
from pytest_trtcheck.model.finding import Finding, Verdict
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.rules.catalogue import load_catalogue
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.verdict import Unasked, evaluate
from tests.fakeroot import SITE, FakeRoot
from tests.images import Built, plan_bytes, serving_tree, tar_of

MATRIX, CATALOGUE = load_matrix(()), load_catalogue()


@pytest.fixture
def tree(tmp_path: Path) -> FakeRoot:
    return serving_tree(tmp_path / "root")


def judged(tree: FakeRoot, gpus: str = "H100,L40S", driver: str = "580.65.06") -> dict[str, Finding | Unasked]:
    path = Built([tar_of(tree)]).docker_blobs(tree.path.parent / "image.tar")
    with open_image(str(path)) as image:
        stack = probe_image(image, read_target(gpus, driver, MATRIX), MATRIX)
    return evaluate(stack, MATRIX, CATALOGUE, level=Level.STATIC).by_key()


def finding(answers: dict[str, Finding | Unasked], key: str) -> Finding:
    answer = answers[key]
    assert isinstance(answer, Finding)
    return answer


@pytest.mark.parametrize(
    ("driver", "verdict"), [("580.65.06", Verdict.COMPATIBLE), ("450.80.02", Verdict.INCOMPATIBLE)]
)
def test_the_assumed_driver_decides(tree: FakeRoot, driver: str, verdict: Verdict) -> None:
    assert finding(judged(tree, driver=driver), "TRC-DRV-001-cuda_runtime").verdict is verdict


def test_without_a_driver_the_question_is_left_open_with_the_option_that_answers_it(tree: FakeRoot) -> None:
    answer = judged(tree, driver="")["TRC-DRV-001-cuda_runtime"]
    assert isinstance(answer, Unasked)
    assert answer.reason is Reason.NO_GPU
    assert "--trtcheck-target-driver" in answer.message


def test_each_target_gpu_is_judged_and_none_is_said_to_answer(tree: FakeRoot) -> None:
    tree.dist("tensorrt-llm", "1.2.1")
    answers = judged(tree, gpus="H100,RTX 3090")
    asked = {key for key in answers if key.startswith("TRC-ARC")}
    assert {key for key in asked if key.endswith(("9.0", "sm_90"))}
    assert {key for key in asked if key.endswith(("8.6", "sm_86"))}
    assert not [key for key in answers if key.startswith(("TRC-DEV", "TRC-IMP"))]


def test_a_library_that_is_missing_is_told_with_who_needs_it(tree: FakeRoot) -> None:
    tree.library(f"{SITE}/tensorrt_libs/libnvinfer.so.10", needed=["libcudart.so.11.0"])
    found = finding(judged(tree), "TRC-LIB-003-tensorrt")
    assert found.verdict is Verdict.INCOMPATIBLE
    assert "needs libcudart.so.11.0" in found.detail


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ((10, 14, 1, 48), Verdict.COMPATIBLE),
        ((10, 9, 0, 34), Verdict.UNKNOWN),
        ((8, 6, 1, 6), Verdict.UNKNOWN),
        ((8, 5, 3, 1), Verdict.INCOMPATIBLE),
        ((11, 1, 0, 10), Verdict.INCOMPATIBLE),
        ((7, 2, 3, 4), Verdict.INCOMPATIBLE),
    ],
)
def test_engines_are_held_against_the_tensorrt_of_the_image(
    tree: FakeRoot, version: tuple[int, ...], verdict: Verdict
) -> None:
    for path in ("/models/llama/1/model.plan", "/models/llm/rank0.engine"):
        tree.file(path, plan_bytes(*version))
    assert finding(judged(tree), "TRC-ENG-001-tensorrt").verdict is verdict


def test_engines_of_several_builds_are_judged_one_by_one(tree: FakeRoot) -> None:
    tree.file("/models/old/1/model.plan", plan_bytes(7, 2, 3, 4))
    answers = judged(tree)
    verdicts = {key: finding(answers, key).verdict for key in answers if key.startswith("TRC-ENG-001")}
    assert verdicts == {
        "TRC-ENG-001-tensorrt_10.14.1.48": Verdict.COMPATIBLE,
        "TRC-ENG-001-tensorrt_7.2.3.4": Verdict.INCOMPATIBLE,
    }


def test_engine_folders_of_several_releases_are_judged_one_by_one(tree: FakeRoot) -> None:
    tree.dist("tensorrt-llm", "1.2.1")
    assert finding(judged(tree), "TRC-ENG-003-tensorrt_llm").verdict is Verdict.COMPATIBLE
    for name, version in (("old", "0.20.0"), ("odd", "no version")):
        tree.file(f"/models/{name}/rank0.engine", plan_bytes(10, 14, 1, 48))
        tree.file(f"/models/{name}/config.json", json.dumps({"version": version}))
    answers = judged(tree)
    assert {key: finding(answers, key).verdict for key in answers if key.startswith("TRC-ENG-003")} == {
        "TRC-ENG-003-tensorrt_llm_1.2.1": Verdict.COMPATIBLE,
        "TRC-ENG-003-tensorrt_llm_0.20.0": Verdict.INCOMPATIBLE,
    }


def test_markers_of_requirements_are_those_of_the_image(tree: FakeRoot) -> None:
    tree.dist("vllm", "0.11.2", requires=['numpy<2; python_version == "3.12"', 'torch<1; python_version < "3.12"'])
    found = finding(judged(tree), "TRC-PKG-001-vllm")
    assert found.expected == "numpy<2"
    assert "2.1.3" in found.found
