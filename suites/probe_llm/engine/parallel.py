"""Layers that several devices share, as tensor parallelism shares them: half of the heads and half of the MLP on each.

What comes out of layers that widen stays where it was made until the next one needs it elsewhere; here it is brought
together after every layer, so that the rest of the engine knows nothing of it. On GPUs every layer copies between them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pytest_trtcheck._suites.probe_llm.engine.model import Linear, LinearFactory, plain_linear
from pytest_trtcheck.providers import Refused

BY_INPUT = ("o_proj", "down_proj")
"""Layers of which each device holds some input channels: their parts are summed. Of others it holds output channels."""


def devices_for(device: str, count: int) -> list[str]:
    """Return the devices that share layers; on a CPU all of them are it. Refused where there are too few GPUs."""
    if device != "cuda":
        return [device] * count
    if torch.cuda.device_count() < count:
        raise Refused(f"tensor parallelism over {count} GPUs: torch sees {torch.cuda.device_count()}")
    return [f"cuda:{number}" for number in range(count)]


class Shared:
    """Makes layers that devices share. Each step is a method, so that a variant replaces one."""

    def __init__(self, devices: Sequence[str]) -> None:
        self.devices = tuple(devices)

    def layer(self, name: str, weight: torch.Tensor) -> Linear:
        """Return a layer from its name and its weight ``[out, in]``, parts of which are copied to the devices."""
        if not name.endswith("_proj"):
            return plain_linear(name, weight)
        if name.endswith(BY_INPUT):
            parts = self.spread(weight.chunk(len(self.devices), 1))
            return lambda x: self.summed(self.products(x.chunk(len(parts), -1), parts), x.device)
        parts = self.spread(weight.chunk(len(self.devices), 0))
        return lambda x: self.joined(self.products([x] * len(parts), parts), x.device)

    def spread(self, parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return each part on its device."""
        return [part.contiguous().to(device) for part, device in zip(parts, self.devices, strict=True)]

    def products(self, inputs: Sequence[torch.Tensor], parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return what each device makes of its input, ``[tokens, some]``."""
        return [x.to(part.device) @ part.T for x, part in zip(inputs, parts, strict=True)]

    def summed(self, found: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
        """Return the sum of what devices made, on one of them."""
        total = found[0].to(device, torch.promote_types(found[0].dtype, torch.float32))
        for part in found[1:]:
            total = total + part.to(device)
        return total.to(found[0].dtype)

    def joined(self, found: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
        """Return what devices made side by side, on one of them."""
        return torch.cat([part.to(device) for part in found], -1)


def shared_linear(device: str, count: int, kind: type[Shared] = Shared) -> LinearFactory:
    """Return what makes layers that ``count`` devices share."""
    return kind(devices_for(device, count)).layer
