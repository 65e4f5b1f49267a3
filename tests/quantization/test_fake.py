"""Each algorithm's rounding, against plain loops, against torch's kernels, and by what it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.quantization.algorithms import algorithm_of, all_algorithms
from pytest_trtcheck.providers import Model, Setup

if TYPE_CHECKING:
    import torch

    from pytest_trtcheck._suites.quantization.fake import Quantizer

pytestmark = pytest.mark.torch

NAME = "model.layers.1.mlp.down_proj"


def quantizer(name: str, model: Model) -> Quantizer:
    from pytest_trtcheck._suites.quantization.calibration import SEED, calibrate
    from pytest_trtcheck._suites.quantization.fake import Quantizer

    return Quantizer(algorithm_of(name), calibrate(model, "cpu", SEED))


def weight_of(model: Model) -> torch.Tensor:
    from pytest_trtcheck._suites.probe_llm.tensors import read_tensors

    return read_tensors(model.main / "model.safetensors")[f"{NAME}.weight"].float()


def test_the_algorithms_are_those_that_are_asked_of_backends() -> None:
    from pytest_trtcheck._suites.quantization.cases import SETUPS

    asked = {name for quantization, kv in SETUPS for name in (quantization, f"{kv}_kv" if kv else "") if name}
    assert asked == set(all_algorithms())
    assert [algorithm_of(name).bits for name in ("int4_awq", "w4a8_awq", "fp8", "int8_kv")] == [
        "W4",
        "W4A8",
        "W8A8",
        "KV8",
    ]
    with pytest.raises(ValueError, match="no such algorithm of quantization: 'int5'; there are int8_weight_only, "):
        algorithm_of("int5")


@pytest.mark.parametrize(("name", "top"), [("int8_weight_only", 127), ("int4_weight_only", 7)])
def test_integer_weights_are_rounded_with_a_scale_for_each_output(name: str, top: int, model: Model) -> None:
    weight = weight_of(model)
    found = quantizer(name, model).weights(NAME, weight)
    for before, after in zip(weight[::50].tolist(), found[::50].tolist(), strict=True):
        scale = max(map(abs, before)) / top
        codes = [number / scale for number in after]
        assert codes == pytest.approx([round(code) for code in codes], abs=1e-4)
        assert max(map(abs, codes)) == pytest.approx(top)
        assert all(abs(number / scale - code) < 0.5 + 1e-4 for number, code in zip(before, codes, strict=True))


@pytest.mark.parametrize(("name", "size"), [("nvfp4", 16), ("mxfp4", 32), ("mxfp4_weight_only", 32), ("int4_awq", 128)])
def test_groups_have_scales_of_their_own(name: str, size: int, model: Model) -> None:
    import torch

    weight = weight_of(model)
    before = quantizer(name, model).weights(NAME, weight)
    changed = weight.clone()
    # Not the largest of its tensor, which sets the one scale that nvfp4's groups share.
    changed[5, 3 * size : 4 * size] *= 0.25
    after = quantizer(name, model).weights(NAME, changed)
    moved = (before != after).nonzero()
    assert {int(row) for row in moved[:, 0]} == {5}
    assert {int(column) // size for column in moved[:, 1]} == {3}
    assert torch.equal(before[:5], after[:5])


def test_nvfp4_numbers_are_e2m1_times_an_e4m3_scale_times_one_scale(model: Model) -> None:
    import torch

    weight = weight_of(model)
    found = quantizer("nvfp4", model).weights(NAME, weight)
    whole = float(weight.abs().max()) / (6 * 448)
    for group, codes in zip(weight.view(-1, 16)[:50], found.view(-1, 16)[:50], strict=True):
        scale = float((group.abs().max() / 6 / whole).to(torch.float8_e4m3fn)) * whole
        sizes = (codes / scale).abs()
        assert bool(torch.isin(sizes.round(decimals=4), torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])).all())


def test_awq_factors_make_the_outputs_better_than_plain_groups_do(model: Model) -> None:
    import torch

    weight, awq = weight_of(model), quantizer("int4_awq", model)
    x = awq.calibration.inputs[NAME].sample
    factors = awq.factors(NAME, weight)
    assert not torch.equal(factors, torch.ones_like(factors))
    errors = [
        float((x @ (awq.weights(NAME, weight * scale) / scale - weight).T).square().sum())
        for scale in (factors, torch.ones_like(factors))
    ]
    assert errors[0] < errors[1]


def test_smooth_factors_leave_the_product_as_it_is_and_even_out_the_ranges(model: Model) -> None:
    import torch

    weight, smooth = weight_of(model), quantizer("int8_smooth_quant", model)
    seen = smooth.calibration.inputs[NAME]
    factors = smooth.factors(NAME, weight)
    assert torch.allclose((seen.sample / factors) @ (weight * factors).T, seen.sample @ weight.T, atol=1e-4)
    assert float((seen.largest / factors).std()) < float(seen.largest.std())
    assert torch.allclose((seen.largest / factors), (weight * factors).abs().amax(0), rtol=1e-4)


@pytest.mark.parametrize("name", ["fp8", "int8_smooth_quant"])
def test_torchs_low_precision_products_agree_with_the_fake_ones(name: str, model: Model) -> None:
    import torch

    from pytest_trtcheck._suites.quantization.kernels import KernelQuantizer

    weight, fake = weight_of(model), quantizer(name, model)
    real = KernelQuantizer(fake.algorithm, fake.calibration)
    for rows in (1, 20, 64):
        x = fake.calibration.inputs[NAME].sample[:rows]
        ours, theirs = fake.layer(NAME, weight)(x), real.layer(NAME, weight)(x)
        assert float((ours - theirs).abs().max()) <= 2e-5 * float(ours.abs().max())
        plain = x @ weight.T
        assert float((ours - plain).abs().max()) > 1e-3 * float(plain.abs().max())
    assert torch.equal(real.layer("lm_head", weight)(x), plain)


@pytest.mark.parametrize("name", ["int8_weight_only", "int4_awq"])
def test_torchs_packed_weights_are_the_fake_ones(name: str, model: Model) -> None:
    import torch

    from pytest_trtcheck._suites.quantization.kernels import KernelQuantizer

    weight, fake = weight_of(model).bfloat16(), quantizer(name, model)
    real = KernelQuantizer(fake.algorithm, fake.calibration)
    x = fake.calibration.inputs[NAME].sample[:24].bfloat16()
    ours = fake.layer(NAME, weight.float())(x.float())
    theirs = real.layer(NAME, weight)(x).float()
    assert float((ours - theirs).square().mean().sqrt()) < 0.01 * float(ours.square().mean().sqrt())
    assert torch.isfinite(theirs).all()


@pytest.mark.parametrize("kind", ["fp8_e4m3", "int8"])
def test_a_quantized_cache_gives_back_what_its_type_can_hold(kind: str, model: Model) -> None:
    import torch

    from pytest_trtcheck._suites.probe_llm.engine.kv import Shape
    from pytest_trtcheck._suites.quantization.fake import QuantizedStore

    torch.manual_seed(3)
    k, v = torch.randn(5, 2, 64), torch.randn(5, 2, 64) * 0.1
    store = QuantizedStore(Shape(1, 2, 64, 2, 4), torch.float32, "cpu", kind, [(4 / 127, 0.4 / 127)])
    places = torch.tensor([0, 1, 2, 5, 7])
    store.write(0, places, k, v)
    found = store.read(0, places[None])
    for kept, again in zip((k, v), found, strict=True):
        error = float((kept - again[0]).abs().max() / kept.abs().max())
        assert 1e-4 < error < 0.04


def test_a_session_quantizes_what_the_setup_says_and_tells_of_its_layers(model: Model) -> None:
    from pytest_trtcheck._suites.quantization.session import QuantizedSession

    session = QuantizedSession(Setup("fp32", "int8_weight_only", "int8"), model, "cpu")
    told = session.layers((1, 67, 56, 61))
    session.close()
    assert len(told) == 6 * 7 + 1 + 6 * 2
    assert told["model.layers.0.mlp.up_proj"][1].shape == (4, 512)
    assert told["model.layers.5.self_attn.v_cache"][0].shape == (4, 128)
    assert session._through is None
