"""What calibration keeps, and which algorithms look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.quantization.cases import SETUPS
from pytest_trtcheck.providers import Model, Setup

if TYPE_CHECKING:
    from pytest_trtcheck._suites.quantization.session import QuantizedSession

pytestmark = pytest.mark.torch

NAME = "model.layers.1.mlp.down_proj"


def test_what_is_kept_is_in_host_memory_and_no_view_of_more(model: Model) -> None:
    from pytest_trtcheck._suites.quantization.calibration import SEED, calibrate

    for seen in calibrate(model, "cpu", SEED).inputs.values():
        for kept in (seen.largest, seen.total, seen.sample):
            assert kept.device.type == "cpu"
            assert kept.untyped_storage().nbytes() == kept.numel() * kept.element_size()


def outputs(quantization: str, seed: int, model: Model) -> list[float]:
    """Return what a layer makes of ones, calibrated on questions of a seed."""
    import torch

    from pytest_trtcheck._suites.probe_llm.tensors import read_tensors
    from pytest_trtcheck._suites.quantization.algorithms import algorithm_of
    from pytest_trtcheck._suites.quantization.calibration import SEED, calibrate
    from pytest_trtcheck._suites.quantization.fake import Quantizer

    weight = read_tensors(model.main / "model.safetensors")[f"{NAME}.weight"].float()
    x = torch.linspace(-3, 3, weight.shape[1])[None]
    layer = Quantizer(algorithm_of(quantization), calibrate(model, "cpu", SEED + seed)).layer(NAME, weight)
    found: list[float] = layer(x)[0].tolist()
    return found


def test_another_calibration_changes_those_algorithms_that_are_said_to_look_at_it_and_no_others(model: Model) -> None:
    from pytest_trtcheck._suites.quantization.variants import calibrations_of

    told = {quantization for quantization, kv in SETUPS if not kv and calibrations_of(quantization, kv, 1)}
    asked = [quantization for quantization, kv in SETUPS if not kv]
    changed = {one for one in asked if outputs(one, 0, model) != outputs(one, 1, model)}
    assert told == changed == {"fp8", "int8_smooth_quant", "int4_awq", "w4a8_awq", "nvfp4"}


def session_of(setup: Setup, model: Model) -> QuantizedSession:
    from pytest_trtcheck._suites.quantization.session import QuantizedSession

    return QuantizedSession(setup, model, "cpu")


def test_nothing_is_calibrated_for_an_algorithm_that_does_not_look_at_it(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_trtcheck._suites.quantization import session

    def refuse(*arguments: object) -> None:
        raise AssertionError("calibrated")

    monkeypatch.setattr(session, "calibrate", refuse)
    session_of(Setup("fp32", "int8_weight_only"), model).close()
    session_of(Setup("fp32", "mxfp4"), model).close()
    with pytest.raises(AssertionError, match="calibrated"):
        session_of(Setup("fp32", "", "int8"), model)


def test_a_closed_session_on_a_gpu_gives_the_memory_back_to_the_driver(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    emptied: list[bool] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    session = session_of(Setup("fp32", "int8_weight_only"), model)
    session.close()
    assert emptied == []
    session = session_of(Setup("fp32", "int8_weight_only"), model)
    # Stands in for a GPU: only the name is looked at.
    session.device = "cuda"
    session.close()
    assert emptied == [True]
