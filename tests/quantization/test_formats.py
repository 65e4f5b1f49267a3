"""Number formats: every number of each, every midpoint between two, and torch's own types where it has them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_trtcheck._suites.quantization.formats import FloatForm

pytestmark = pytest.mark.torch

E2M1_NUMBERS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
"""OCP Microscaling Formats Specification 1.0, table 5, codes 0 to 7."""


def numbers_of(form: FloatForm) -> list[float]:
    """Return all numbers from 0 on, from sign, exponent and mantissa as the specification reads them."""
    steps = 1 << form.mantissa_bits
    found = [m / steps * 2.0 ** (1 - form.bias) for m in range(steps)]
    exponent = 1 - form.bias
    while found[-1] < form.largest:
        found += [(1 + m / steps) * 2.0**exponent for m in range(steps)]
        exponent += 1
    return [number for number in found if number <= form.largest]


def test_e2m1_has_the_numbers_of_the_specification() -> None:
    from pytest_trtcheck._suites.quantization.formats import E2M1

    assert numbers_of(E2M1) == E2M1_NUMBERS


def test_e4m3_has_the_numbers_that_torch_has() -> None:
    import torch

    from pytest_trtcheck._suites.quantization.formats import E4M3

    codes = torch.arange(127, dtype=torch.uint8).view(torch.float8_e4m3fn).float().tolist()
    assert numbers_of(E4M3) == codes


@pytest.mark.parametrize("name", ["fp8_e4m3", "e2m1"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_every_number_stays_and_every_midpoint_goes_where_ties_go(name: str, sign: float) -> None:
    import torch

    from pytest_trtcheck._suites.quantization.formats import FLOATS, round_float

    numbers = numbers_of(FLOATS[name])
    exact = sign * torch.tensor(numbers)
    for ties in ("even", "away", "zero"):
        assert torch.equal(round_float(exact, FLOATS[name], ties), exact)
    for index, (low, high) in enumerate(pairwise(numbers)):
        middle = torch.tensor([sign * (low + high) / 2])
        found = {ties: abs(float(round_float(middle, FLOATS[name], ties))) for ties in ("even", "away", "zero")}
        # Codes count up with the numbers, so the even mantissa is the even code.
        assert found == {"even": high if index % 2 else low, "away": high, "zero": low}
        for nearest in (low, high):
            beside = torch.nextafter(middle, torch.tensor([sign * nearest]))
            assert abs(float(round_float(beside, FLOATS[name]))) == nearest


def test_e4m3_rounds_as_torch_does_at_every_fp16_number() -> None:
    import torch

    from pytest_trtcheck._suites.quantization.formats import E4M3, FloatForm, round_float

    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.float16)
    every = every[every.isfinite()].float()
    ours = round_float(every, FloatForm(E4M3.mantissa_bits, E4M3.bias, E4M3.largest))
    assert ours.dtype == torch.float32
    assert torch.equal(ours, every.clamp(-448, 448).to(torch.float8_e4m3fn).float())
    assert torch.equal(round_float(every, E4M3), ours)


def test_what_is_too_large_becomes_the_largest_number() -> None:
    import torch

    from pytest_trtcheck._suites.quantization.formats import round_to

    wide = torch.tensor([-1e9, 1e9])
    for kind, least, largest in (("fp8_e4m3", -448, 448), ("e2m1", -6, 6), ("int8", -128, 127), ("int4", -8, 7)):
        assert round_to(wide, kind).tolist() == [least, largest]


def test_e8m0_scales_are_powers_of_two_with_which_the_largest_fills_the_format() -> None:
    import torch

    from pytest_trtcheck._suites.quantization.formats import E2M1, power_of_two_scale

    largest = torch.tensor([1e-30, 0.2, 1.0, 5.9, 6.0, 7.9, 8.0, 1e30])
    scales = power_of_two_scale(largest, E2M1)
    # Section 6.3: the exponent of the largest number less 2, that of E2M1's largest.
    assert scales.log2().tolist() == [math.floor(math.log2(one)) - 2 for one in largest.tolist()]
    assert torch.equal(scales.to(torch.float8_e8m0fnu).float(), scales)
    assert bool((largest / scales < 8).all())
    assert bool((largest / scales >= 4).all())
