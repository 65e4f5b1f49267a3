"""The dtypes of cases, by the names that cases, matrix and reports use."""

from __future__ import annotations

import torch

DTYPES = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8_e4m3": torch.float8_e4m3fn,
}


def rounded(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return values as they are after a round trip through a dtype."""
    return values.to(dtype).to(values.dtype)
