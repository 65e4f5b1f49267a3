"""Which layer it was: from what a session tells of its layers, and from log-probabilities alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck.providers import Model, Setup

if TYPE_CHECKING:
    import torch

    from pytest_trtcheck._suites.quantization.layers import LayerError

pytestmark = pytest.mark.torch

LAYERS = ("model.layers.0.self_attn.q_proj", "model.layers.2.mlp.down_proj", "model.layers.5.self_attn.o_proj")


def errors_of(setup: Setup, model: Model, **parts: Any) -> list[LayerError]:
    """Return the errors of the layers of the built-in engine with some parts replaced."""
    from pytest_trtcheck._suites.quantization.layers import layer_errors, prompt
    from pytest_trtcheck._suites.quantization.session import QuantizedSession

    session = type("Changed", (QuantizedSession,), parts)(setup, model, "cpu")
    told = session.layers(prompt())
    session.close()
    return layer_errors(told, setup, model)


def breaking(layer: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    from pytest_trtcheck._suites.quantization.fake import Quantizer

    class Breaking(Quantizer):
        def weights(self, name: str, weight: torch.Tensor) -> torch.Tensor:
            found = super().weights(name, weight)
            return change(found) if name == layer else found

    return Breaking


def leaving(*layers: str) -> Any:
    from pytest_trtcheck._suites.quantization.fake import Quantizer

    class Leaving(Quantizer):
        def is_quantized(self, name: str) -> bool:
            return super().is_quantized(name) and name not in layers

    return Leaving


def test_sound_layers_are_all_within(model: Model) -> None:
    errors = errors_of(Setup("fp32", "int4_weight_only", "int8"), model)
    assert len(errors) == 43 + 12
    assert [error.describe() for error in errors if not error.is_within] == []


@pytest.mark.parametrize("layer", LAYERS)
def test_a_break_in_one_layer_names_this_layer_and_no_other(layer: str, model: Model) -> None:
    changed = breaking(layer, lambda weight: weight.roll(1, 1))
    errors = errors_of(Setup("fp32", "int8_weight_only"), model, quantizer_class=changed)
    assert [error.name for error in errors if not error.is_within] == [layer]
    assert errors[0].describe().startswith(f"{layer} is off by ")
    assert ", more than the usual " in errors[0].describe()


def test_a_layer_that_was_left_and_one_that_should_have_been_are_both_named(model: Model) -> None:
    from pytest_trtcheck._suites.quantization.fake import Quantizer

    class Exchanged(Quantizer):
        def is_quantized(self, name: str) -> bool:
            return name == "lm_head" or (name != LAYERS[1] and super().is_quantized(name))

    errors = errors_of(Setup("fp32", "int4_weight_only"), model, quantizer_class=Exchanged)
    wrong = {error.name: error.describe() for error in errors if not error.is_within}
    assert set(wrong) == {"lm_head", LAYERS[1]}
    assert "less than the usual" in wrong[LAYERS[1]]
    assert "more than the usual" in wrong["lm_head"]


@pytest.mark.parametrize(
    ("setup", "convention"),
    [
        (Setup("fp32", "int8_smooth_quant"), {"activation_granularity": "tensor"}),
        (Setup("fp32", "int4_weight_only"), {"group_size": 64}),
        (Setup("fp32", "fp8", "fp8_e4m3"), {"unit_kv_scale": True, "calibration_seed": 3}),
        (Setup("fp32", "", "int8"), {"calibration_seed": 11}),
    ],
)
def test_layers_of_every_family_and_calibration_are_within(
    setup: Setup, convention: dict[str, Any], model: Model
) -> None:
    from pytest_trtcheck._suites.quantization.fake import Convention

    errors = errors_of(setup, model, convention=Convention(**convention))
    assert [error.describe() for error in errors if not error.is_within] == []


def test_a_cache_with_a_wrong_scale_names_its_layer(model: Model) -> None:
    from pytest_trtcheck._suites.quantization.fake import QuantizedStore

    class Wrong(QuantizedStore):
        def read(self, layer: int, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            k, v = super().read(layer, places)
            return k, v * (1.3 if layer == 4 else 1.0)

    errors = errors_of(Setup("fp32", "", "int8"), model, quantized_store_class=Wrong)
    assert [error.name for error in errors if not error.is_within] == ["model.layers.4.self_attn.v_cache"]


@pytest.mark.parametrize(
    ("name", "shapes", "words"),
    [
        ("model.layers.9.mlp.up_proj", ((2, 256), (2, 512)), "is no layer of the probe model"),
        ("model.layers.0.mlp.up_proj", ((2, 255), (2, 512)), r"inputs of shape \(2, 255\)"),
        ("model.layers.0.mlp.up_proj", ((2, 256), (2, 511)), r"expected outputs of shape \(2, 512\), found \(2, 511\)"),
    ],
)
def test_what_is_told_of_no_such_layer_is_refused_in_words(
    name: str, shapes: tuple[tuple[int, int], tuple[int, int]], words: str, model: Model
) -> None:
    import torch

    from pytest_trtcheck._suites.quantization.layers import layer_errors

    told = {name: tuple(torch.zeros(shape) for shape in shapes)}
    with pytest.raises(ValueError, match=words):
        layer_errors(told, Setup("fp32", "int8_weight_only"), model)


def rows_of(model: Model, quantizer_class: Any = None, **convention: Any) -> dict[int, torch.Tensor]:
    """Return log-probabilities of a foreign quantization, as a backend would tell them."""
    import torch

    from pytest_trtcheck._suites.probe_llm.engine.model import Llama
    from pytest_trtcheck._suites.quantization import fingerprint
    from pytest_trtcheck._suites.quantization.algorithms import algorithm_of
    from pytest_trtcheck._suites.quantization.calibration import SEED, calibrate
    from pytest_trtcheck._suites.quantization.fake import Convention, Quantizer

    made = (quantizer_class or Quantizer)(
        algorithm_of("int8_weight_only"), calibrate(model, "cpu", SEED), Convention(**convention)
    )
    return fingerprint._forward(Llama(model.main, torch.float32, "cpu", fingerprint.LONGEST, made.layer))


def test_log_probabilities_alone_tell_by_which_convention_a_backend_rounds(model: Model) -> None:
    from pytest_trtcheck._suites.quantization.fingerprint import read

    for convention, name in (
        ({}, "usual"),
        ({"full_range": 1.0}, "range to 2^(b-1)"),
        ({"group_size": 128}, "groups of 128"),
    ):
        reading = read(rows_of(model, **convention), "int8_weight_only", model)
        assert (reading.convention, reading.left) == (name, ())
        assert reading.unexplained < 1e-6


def test_log_probabilities_alone_name_the_layers_that_were_left(model: Model) -> None:
    from pytest_trtcheck._suites.quantization.fingerprint import read

    for layers in (LAYERS[:1], LAYERS):
        for ties in ("even", "away"):
            reading = read(rows_of(model, leaving(*layers), ties=ties), "int8_weight_only", model)
            assert set(reading.left) == set(layers)
            assert all(abs(reading.coefficients[layer]) < 0.2 for layer in layers)
    sound = read(rows_of(model, ties="away"), "int8_weight_only", model)
    assert sound.left == ()
    assert min(sound.coefficients.values()) > 0.7


def test_noise_beside_a_known_convention_is_told_from_another_convention(model: Model) -> None:
    import torch

    from pytest_trtcheck._suites.quantization.fake import Quantizer
    from pytest_trtcheck._suites.quantization.fingerprint import read

    class CutScales(Quantizer):
        def restored(self, codes: torch.Tensor, scales: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            cut = (scales.contiguous().view(torch.int32) & -65536).view(torch.float32)
            return super().restored(codes, cut, weight)

    cut = read(rows_of(model, CutScales), "int8_weight_only", model)
    assert (cut.foreign, cut.can_tell) == ("usual", False)
    kept_in_bf16 = read(rows_of(model, scale_dtype="bfloat16"), "int8_weight_only", model)
    assert kept_in_bf16.foreign == ""
    assert kept_in_bf16.left == ()


def test_a_convention_that_nobody_knows_is_told_as_such(model: Model) -> None:
    from pytest_trtcheck._suites.quantization.fingerprint import read

    reading = read(rows_of(model, full_range=0.83), "int8_weight_only", model)
    assert not reading.can_tell
    assert not reading.foreign
    assert reading.left == ()
