"""The checks of the engine suite on the stand-in: what each sees, in which words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

# NumPy comes with the venv that has torch.
pytestmark = pytest.mark.torch
np = pytest.importorskip("numpy")

from pytest_trtcheck._suites.engine.broken import BROKEN  # noqa: E402
from pytest_trtcheck._suites.engine.cases import cases  # noqa: E402
from pytest_trtcheck._suites.engine.elsewhere import load_elsewhere  # noqa: E402
from pytest_trtcheck._suites.engine.judge import ASPECTS, Bench  # noqa: E402
from pytest_trtcheck._suites.engine.plan import CHECK_OF_ASPECT  # noqa: E402
from pytest_trtcheck._suites.engine.proof import aspects_of, prove  # noqa: E402
from pytest_trtcheck._suites.engine.sound import SOUND  # noqa: E402
from pytest_trtcheck._suites.engine.standin import Standin  # noqa: E402
from pytest_trtcheck._suites.support.proof import about  # noqa: E402
from pytest_trtcheck.cli import main  # noqa: E402
from pytest_trtcheck.model.level import Level  # noqa: E402
from pytest_trtcheck.providers.base import Refused, Where  # noqa: E402
from pytest_trtcheck.providers.engine import BuildRequest, Built, EngineCase  # noqa: E402

CASES = {case.name: case for case in cases(Level.STANDARD)}
GEMM = CASES["gemm_bias-fp16"]
KINDS = {kind.name: kind for kind in BROKEN}


def judged(name: str, aspect: str = "", case: EngineCase = GEMM) -> str:
    provider = KINDS[f"broken_{name}"]()
    found = Bench(case, provider, 1).judge(aspect or provider.aspect)
    assert found.state == "failed"
    assert "\n" not in found.message
    return found.message


@pytest.mark.slow
def test_every_broken_provider_is_caught_and_no_sound_one_is_flagged() -> None:
    proof = prove(Level.QUICK, range(1), enough=1)
    assert proof.escaped == []
    assert [f"{tally.provider}: {tally.first}: {tally.words}" for tally in proof.sound if tally.flagged] == []
    assert proof.holds


def test_mistakes_and_variants_are_many_and_each_says_what_it_is() -> None:
    kinds = [kind() for kind in (*BROKEN, *SOUND)]
    assert len(BROKEN) >= 50
    assert len(SOUND) >= 8
    for said in ([kind.name for kind in kinds], [about(kind) for kind in kinds]):
        assert len(set(said)) == len(said)
        assert all(said)
    assert {kind.aspect for kind in BROKEN} == set(ASPECTS) - {
        "onnx", "bad_onnx", "version_compatible", "hardware_compatible", "weight_streaming",
    }  # fmt: skip
    assert set(CHECK_OF_ASPECT) == set(ASPECTS)


@pytest.mark.parametrize("name", ["gemm_bias-fp32", "decoder-bf16", "loop-fp16"])
def test_the_sound_stand_in_passes_every_check(name: str) -> None:
    bench = Bench(CASES[name], Standin(), 2)
    for aspect in [*aspects_of(CASES[name]), "elsewhere", "version_compatible"]:
        found = bench.judge(aspect)
        assert found.state == "passed", (aspect, found.message)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("takes_any_size", "sizes {'batch': 5} are beyond the profile, built for {'batch': (1, 2, 4)}, and were run"),
        ("refuses_without_words", "the refusal does not say so: no words"),
        ("dead_after_refusal", "output y at batch 2: NaN or infinity in the wrong place"),
        ("profile_reversed", "PlanError: input x: batch is 4, built for 4 to 1"),
        ("uninitialized_output", "output y at batch 4: NaN or infinity in the wrong place"),
        ("changes_inputs", "running changed the inputs x"),
        ("changes_constants", "building changed the constants w"),
        ("other_bits", "elements have other bits in a second run"),
        ("no_timing_cache", "the first build gave no timing cache back"),
        ("no_layers", "expected layers from the engine's inspector, found none"),
        ("empty_plan", "expected a plan of some bytes from build, found Built"),
        ("takes_damaged_plans", "an empty plan was loaded without a word"),
        ("dies_of_damaged_plans", "an empty plan: the child process was ended by SIGSEGV"),
        ("silent_on_damaged_plans", "an empty plan: the refusal does not say why: PlanError: no words"),
        ("takes_any_profile", "a profile whose smallest size is above its largest was taken without a word"),
        ("leaks", "bytes of GPU memory are left after 2 engines were freed"),
        ("crashes_elsewhere", "in a fresh process, while it loaded the plan: the child process was ended by SIGSEGV"),
    ],
)
def test_what_is_wrong_is_told_in_words(name: str, words: str) -> None:
    assert words in judged(name)


def test_a_narrow_type_in_an_engine_of_single_precision_is_told() -> None:
    assert "the graph is fp32 alone, and the engine has layers in fp16" in judged(
        "half_layers", case=CASES["gemm_bias-fp32"]
    )


class Refusing(Standin):
    def build(self, case: EngineCase, weights: Mapping[str, Any], request: BuildRequest) -> Built:
        raise Refused("no kernel for this GPU")


class Raising(Standin):
    def load(self, plan: bytes, options: frozenset[str] = frozenset()) -> Any:
        raise MemoryError("first line\nsecond line")


def test_a_refusal_is_no_failure_and_an_exception_is_one_with_its_first_line() -> None:
    refused = Bench(GEMM, Refusing(), 0).judge("numbers")
    assert (refused.state, refused.message) == ("refused", "no kernel for this GPU")
    raised = Bench(GEMM, Raising(), 0).judge("numbers")
    assert (raised.state, raised.message) == ("failed", "MemoryError: first line")
    assert "second line" in raised.text


def test_what_was_built_serves_the_next_check_and_every_build_is_measured() -> None:
    bench = Bench(GEMM, Standin(), 0)
    bench.judge("numbers")
    assert [figure.name for figure in bench.measurements] == ["build"]
    bench.judge("repeat")
    assert bench.measurements == []
    bench.judge("timing_cache")
    assert [figure.name for figure in bench.measurements] == [
        "build with an empty timing cache", "build with that timing cache",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (b"", "PlanError: no plan of the stand-in"),
        (b"ftrt\0\0", "PlanError: no plan of the stand-in: it begins with 66747274"),
        (b"numpy stand-in 1\nrest", "PlanError: a damaged plan"),
    ],
)
def test_a_damaged_plan_is_told_by_the_process_that_loads_it(plan: bytes, words: str) -> None:
    found = load_elsewhere(Standin(), plan, {}, {}, 30)
    assert found.problem.startswith(f"in a fresh process: {words}")
    assert not found.died


class Hanging(Standin):
    def load(self, plan: bytes, options: frozenset[str] = frozenset()) -> Any:
        import time

        time.sleep(1000)


def test_a_process_that_hangs_is_ended() -> None:
    found = load_elsewhere(Hanging(), b"", {}, {}, 3)
    assert "while it loaded the plan: the child process hung and was killed after" in found.problem
    assert found.died


def test_the_stand_ins_plan_is_whole() -> None:
    case = CASES["loop-fp16"]
    bench = Bench(case, Standin(), 0)
    session = Standin().load(bench.built().plan)
    assert session.graph == case.graph
    assert all(np.array_equal(session.weights[name], array) for name, array in bench.drawn.weights.items())


def test_the_command_prints_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    proof = "pytest_trtcheck._suites.engine.proof"
    monkeypatch.setattr(f"{proof}.cases", lambda level: (GEMM,))
    monkeypatch.setattr(f"{proof}.BROKEN", (KINDS["broken_transposed_weight"],))
    assert main(["prove", "engine", "--seeds", "2", "--first-seed", "7"]) == 0
    printed = capsys.readouterr().out
    assert "nothing of TensorRT" in printed
    assert "1 of 1 broken providers caught, 1 cases, seed 7" in printed
    assert f"0 false alarms in {2 * len(SOUND)} runs of {len(SOUND)} variants, seeds 7 to 8" in printed
    monkeypatch.setattr(f"{proof}.BROKEN", (KINDS["broken_relu_forgotten"],))
    assert main(["prove", "engine"]) == 1
    assert "escaped: broken_relu_forgotten" in capsys.readouterr().out


def test_cases_and_what_a_provider_says_of_them_are_plain_data() -> None:
    assert json.dumps(sorted(GEMM.features)) == '["dynamic", "fp16", "gemm"]'
    assert Standin().why_not(GEMM, Where("cpu")) == ""
    assert GEMM.outside() == {"batch": 5}


CALIBRATED = CASES["int8_calibrated-fp32"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("calibrator_ignored", "the calibrator was asked for 0 of 4 batches"),
        ("first_batch_only", "the calibrator was asked for 1 of 4 batches"),
        ("batches_of_other_input", "tensor narrow was calibrated for magnitudes up to 32, expected 0.5 to 2.0 times 1"),
        ("scale_of_other_tensor", "output from_broad at fixed shapes"),
        ("calibration_cache_ignored", "asked for 4 batches beside a calibration cache"),
        ("calibration_cache_misread", "the second has other ranges of"),
        ("no_calibration_cache", "the calibrator wrote no cache"),
    ],
)
def test_what_is_wrong_with_a_calibration_is_told(name: str, words: str) -> None:
    assert words in judged(name, case=CALIBRATED)


def test_a_provider_without_a_calibrator_is_told() -> None:
    class Silent(Standin):
        def build(self, case: EngineCase, weights: Mapping[str, Any], request: BuildRequest) -> Built:
            return Built(super().build(case, weights, request).plan)

    found = Bench(CALIBRATED, Silent(), 1).judge("numbers")
    assert found.message == "expected what the calibrator found, found nothing: no calibrator was in this build"


def test_a_second_build_takes_the_first_ones_calibration_cache() -> None:
    bench = Bench(CALIBRATED, Standin(), 1)
    found = bench.judge("calibration")
    assert (found.state, found.message) == ("passed", "ranges narrow 1, broad 32; layers in fp32")
    assert [figure.name for figure in bench.measurements] == ["build", "build with that calibration cache"]
