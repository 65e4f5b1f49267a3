"""What must hold for every stack that is only written down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_trtcheck.described.describe import describe
from pytest_trtcheck.described.vocabulary import VOCABULARY
from pytest_trtcheck.model.finding import Finding, Severity, Verdict
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.model.versions import Capability, DottedVersion
from pytest_trtcheck.rules.catalogue import load_catalogue
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.rules.rows import Row
from pytest_trtcheck.verdict import evaluate, overall
from pytest_trtcheck.verdict.base import Context
from pytest_trtcheck.verdict.families import _BY_VERSION, asked_of
from pytest_trtcheck.verdict.imply import imply

MATRIX, CATALOGUE = load_matrix(), load_catalogue()
DATA = Path(__file__).parent.parent / "data"
CASES: list[dict[str, Any]] = [
    case
    for name in ("environments.yaml", "more_environments.yaml")
    for case in yaml.safe_load((DATA / name).read_text(encoding="utf-8"))["cases"]
]
ENVIRONMENTS = st.sampled_from([case["environment"] for case in CASES])
# Facts that no rule reads: a model's name decides nothing, nor does where a device sits.
IRRELEVANT = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["llama2", "Qwen3-8B", "custom"]),
        "pci_id": st.just("10de:2330"),
        "extra": st.just({"note": "cuda 99"}),
    },
)


def plain_cuda(row: Row) -> Any:
    """Return CUDA of the plain image: its own cell, else that of the PyTorch image of the month."""
    same = MATRIX.row("ngc_pytorch", row.version)
    return row.value("py3_cuda") or (same.value("cuda") if same else None) or row.value("cuda")


def findings(environment: Mapping[str, Any]) -> tuple[Finding, ...]:
    return evaluate(describe(environment, "drawn", "drawn"), MATRIX, CATALOGUE, level=Level.STATIC).findings


def verdict(environment: Mapping[str, Any]) -> Verdict:
    return overall(findings(environment))


@given(ENVIRONMENTS, IRRELEVANT)
def test_an_irrelevant_fact_changes_no_finding(environment: dict[str, Any], more: dict[str, Any]) -> None:
    assert findings({**more, **environment}) == findings(environment)


@given(ENVIRONMENTS, st.randoms(use_true_random=False))
def test_the_order_of_facts_never_matters(environment: dict[str, Any], random: Any) -> None:
    keys = list(environment)
    random.shuffle(keys)
    assert findings({key: environment[key] for key in keys}) == findings(environment)


# Facts that can excuse what another fact would be blamed for: how a part was built, which engine runs, which board.
EXCUSES = {
    "driver_cuda",  # what libcuda reports may be a cuda-compat package at work
    "install",
    "vllm",
    "tensorrt_llm",
    "jetpack",
    "torch",
    "torch_cuda",
    "feature",
    "triton_container",
    "container",
}


@settings(max_examples=400)
@given(ENVIRONMENTS, st.data())
def test_saying_less_never_makes_an_open_case_incompatible(environment: dict[str, Any], data: st.DataObject) -> None:
    kept = data.draw(st.sets(st.sampled_from(sorted(environment)))) | (EXCUSES & set(environment))
    before, after = verdict(environment), verdict({key: environment[key] for key in kept})
    assert not (before is not Verdict.INCOMPATIBLE and after is Verdict.INCOMPATIBLE)


_TEXTS = st.one_of(
    st.sampled_from(["unspecified", "<526", ">=12.1", "12", "8.6", "2.9.0+cu128", "25.08-py3", "fp8", "nightly", "on"]),
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}", fullmatch=True),
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(sorted(VOCABULARY)), _TEXTS, max_size=8))
def test_any_values_are_judged_and_every_finding_is_in_the_catalogue(environment: dict[str, str]) -> None:
    from pytest_trtcheck.errors import TrtcheckError

    try:
        answers = findings(environment)
    except TrtcheckError:
        return
    assert {finding.id for finding in answers} <= set(CATALOGUE)
    keys = [finding.key for finding in answers]
    assert len(keys) == len(set(keys))
    assert all(finding.remedy for finding in answers if finding.verdict is not Verdict.COMPATIBLE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_families_that_are_not_asked_have_nothing_to_say(case: dict[str, Any]) -> None:
    stack = imply(describe(case["environment"], "case", "case"), MATRIX)
    context = Context(stack, MATRIX, CATALOGUE, Level.STATIC)
    asked = set(asked_of(context))
    assert not [answer for family in _BY_VERSION if family not in asked for answer in family(context)]


def test_every_implied_fact_says_so_and_names_its_row_and_no_given_fact_is_replaced() -> None:
    for case in CASES:
        given_stack = describe(case["environment"], "case", "case")
        implied = imply(given_stack, MATRIX)
        for key, fact in implied.facts.items():
            if key in given_stack.facts:
                assert fact is given_stack.facts[key]
            else:
                assert fact.how == "implied"
                assert fact.where


def errors(environment: Mapping[str, Any]) -> list[str]:
    return [f"{one.key}: {one.expected}; found {one.found}" for one in findings(environment)
            if one.severity is Severity.ERROR]  # fmt: skip


def driver_for(cuda: object, otherwise: str) -> str:
    """Return the driver that came with a CUDA release, by its own row; the other where no source gives the CUDA."""
    number = DottedVersion.leading(str(cuda))
    if number is None:
        return otherwise
    rows = MATRIX.candidates("cuda_toolkit", str(cuda)) or MATRIX.candidates("cuda_toolkit", number.major_minor)
    return str(rows[-1].value("driver_bundled") or str(rows[-1].value("min_driver")).lstrip(">="))


def gpu_for(capabilities: object) -> str:
    """Return a data centre capability among those a row supports."""
    supported = [str(one) for one in capabilities] if isinstance(capabilities, tuple) else ["9.0"]
    return max((one for one in supported if Capability.parse(one) <= Capability.parse("9.0")), key=Capability.parse)


@pytest.mark.parametrize("row", MATRIX.rows("tensorrt_llm"), ids=lambda row: row.version)
def test_each_tensorrt_llm_release_goes_with_its_own_partners(row: Row) -> None:
    sm = gpu_for(row.value("sm_supported"))
    environment = {"tensorrt_llm": row.version, "driver": driver_for(row.value("cuda"), "590.44.01"), "sm": sm}
    for cell, key in (("tensorrt", "tensorrt"), ("torch", "torch"), ("cuda", "cuda_runtime"), ("cudnn", "cudnn"),
                      ("nccl", "nccl")):  # fmt: skip
        if row.value(cell):
            environment[key] = str(row.value(cell))
    if row.value("python"):
        environment["python"] = row.value("python")[-1]
    assert errors(environment) == []


@pytest.mark.parametrize("row", MATRIX.rows("triton_container"), ids=lambda row: row.version)
@pytest.mark.parametrize("variant", ["py3", "trtllm-python-py3"])
def test_each_triton_image_goes_with_its_own_contents(row: Row, variant: str) -> None:
    cuda = row.value("cuda") if variant != "py3" and row.value("cuda") else plain_cuda(row)
    # 9.0 from CUDA 11.8 on, before that the newest data centre GPU of the day.
    number = DottedVersion.leading(str(cuda)) or DottedVersion.parse("10.0")
    sm = "9.0" if number >= DottedVersion.parse("11.8") else "8.0" if number.major == 11 else "7.0"
    environment = {"triton_container": f"{row.version}-{variant}", "driver": driver_for(cuda, "470.57.02"), "sm": sm}
    if row.value("tensorrt_llm") and variant != "py3":
        environment["tensorrt_llm"] = row.value("tensorrt_llm")
        environment["backend"], environment["backend_version"] = "tensorrtllm", row.value("tensorrt_llm")
    if row.value("triton_server"):
        environment["triton_server"] = row.value("triton_server")
    assert errors(environment) == []


@pytest.mark.parametrize("row", MATRIX.rows("ngc_pytorch"), ids=lambda row: row.version)
def test_each_ngc_pytorch_image_goes_with_its_own_contents(row: Row) -> None:
    # A month whose CUDA no source gives is tried with a driver and a GPU of before.
    sm = "9.0" if row.value("cuda") else "8.0"
    image = f"nvcr.io/nvidia/pytorch:{row.version}-py3"
    environment = {"container": image, "driver": driver_for(row.value("cuda"), "470.57.02"), "sm": sm}
    for cell in ("torch", "cudnn", "nccl", "tensorrt"):
        if row.value(cell):
            environment[cell] = str(row.value(cell))
    assert errors(environment) == []
