"""A LoRA adapter beside the weights, so that requests with and without it can share a step."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import torch

from pytest_trtcheck._suites.probe_llm.engine.model import Linear
from pytest_trtcheck._suites.probe_llm.tensors import read_tensors


def read_adapter(folder: Path, dtype: torch.dtype, device: str) -> dict[str, Linear]:
    """Return what the adapter adds to each layer's output, ``alpha / r * B A x``, by the layer's name."""
    settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    parts = {
        name.removeprefix("base_model.model."): tensor.to(device, dtype)
        for name, tensor in read_tensors(folder / "adapter_model.safetensors").items()
    }
    ending = ".lora_A.weight"
    return {
        name.removesuffix(ending): partial(
            _delta, a, parts[name.replace(".lora_A.", ".lora_B.")], settings["lora_alpha"] / settings["r"]
        )
        for name, a in parts.items()
        if name.endswith(ending)
    }


def _delta(a: torch.Tensor, b: torch.Tensor, scale: float, x: torch.Tensor) -> torch.Tensor:
    return x @ a.T @ b.T * scale
