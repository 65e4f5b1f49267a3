"""Number formats of low precision: which numbers there are, how others are rounded to them, and what scales may be."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class FloatForm:
    """A small floating-point type without infinities."""

    mantissa_bits: int
    bias: int
    largest: float

    @property
    def smallest_exponent(self) -> int:
        """Exponent of the smallest normal number; subnormal ones have its spacing."""
        return 1 - self.bias


E4M3 = FloatForm(mantissa_bits=3, bias=7, largest=448.0)
"""OCP 8-bit Floating Point Specification 1.0, table 1; the all-ones pattern is NaN, so the largest number is 448."""
E2M1 = FloatForm(mantissa_bits=1, bias=1, largest=6.0)
"""OCP Microscaling Formats Specification 1.0, section 5.3.3: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives."""

FLOATS = {"fp8_e4m3": E4M3, "e2m1": E2M1}
INTEGER_BITS = {"int8": 8, "int4": 4}

_SMALLEST_E8M0, _LARGEST_E8M0 = -127, 127


def round_float(x: torch.Tensor, form: FloatForm, ties: str = "even") -> torch.Tensor:
    """Return the nearest numbers of a floating type, in the type of ``x``; what is too large becomes the largest.

    ``ties``: ``even`` (IEEE 754), ``away`` from zero, or ``zero``: everything is cut towards zero.
    """
    if form is E4M3 and ties == "even":
        return x.clamp(-form.largest, form.largest).to(torch.float8_e4m3fn).to(x.dtype)
    size = x.abs()
    exponent = (size.frexp().exponent - 1).clamp(min=form.smallest_exponent)
    step = torch.ldexp(torch.ones_like(x), exponent - form.mantissa_bits)
    return (round_whole(size / step, ties) * step).clamp(max=form.largest).copysign(x)


def round_whole(x: torch.Tensor, ties: str = "even") -> torch.Tensor:
    """Return whole numbers; ``ties`` as for ``round_float``."""
    if ties == "even":
        return x.round()
    return ((x.abs() + 0.5).floor() if ties == "away" else x.abs().floor()).copysign(x)


def whole_numbers(kind: str) -> tuple[int, int]:
    """Return the smallest and the largest number of an integer type."""
    half = 1 << (INTEGER_BITS[kind] - 1)
    return -half, half - 1


def round_to(x: torch.Tensor, kind: str, ties: str = "even") -> torch.Tensor:
    """Return the nearest numbers of a type by its name in the matrix; too large ones become the largest."""
    if kind in FLOATS:
        return round_float(x, FLOATS[kind], ties)
    return round_whole(x, ties).clamp(*whole_numbers(kind))


def power_of_two_scale(largest: torch.Tensor, form: FloatForm) -> torch.Tensor:
    """Return scales in e8m0 for groups whose largest magnitudes are given: powers of two, none of them zero.

    The exponent is that of the largest magnitude less that of the format's largest number, as in section 6.3 of the
    Microscaling specification; numbers between the largest of the format and the next power of two are cut.
    """
    top = torch.tensor(form.largest).frexp().exponent
    exponent = (largest.frexp().exponent - top).clamp(_SMALLEST_E8M0, _LARGEST_E8M0)
    return torch.ldexp(torch.ones_like(largest), exponent)
