"""Libraries of attention kernels played from their recorded signatures: they take what the release took, and compute
what its documentation says, on a CPU."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import torch

API = Path(__file__).parents[1] / "data" / "api"
UNLIMITED = -1


@cache
def releases(library: str) -> dict[str, Any]:
    """Return what is recorded of each release of a library."""
    found: dict[str, Any] = json.loads((API / f"{library}.json").read_text())["releases"]
    return found


@cache
def signature(library: str, release: str, function: str) -> inspect.Signature:
    """Return a recorded signature; AttributeError where the release has no such function."""
    recorded = releases(library)[release]["functions"].get(function)
    if recorded is None:
        raise AttributeError(f"{library} {release} has no {function}")
    space: dict[str, Any] = {}
    exec(f"def function({recorded['parameters']}): pass", space)
    return inspect.signature(space["function"])


class Recorded:
    """Binds calls the way one release of a library does."""

    def __init__(self, library: str, release: str) -> None:
        self.library, self.release = library, release
        self.calls: list[str] = []

    def bind(self, function: str, *args: Any, **kwargs: Any) -> SimpleNamespace:
        """Return the arguments by name, None where the default holds; TypeError for what the release does not take."""
        found = signature(self.library, self.release, function)
        given = found.bind(*args, **kwargs).arguments
        self.calls.append(function)
        return SimpleNamespace(**{name: given.get(name) for name in found.parameters})


def module(monkeypatch: pytest.MonkeyPatch, name: str, **contents: Any) -> ModuleType:
    """Put a module where imports find it."""
    made = ModuleType(name)
    vars(made).update(contents)
    monkeypatch.setitem(sys.modules, name, made)
    return made


def attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    scale: float | None,
    causal: bool = False,
    left: int = UNLIMITED,
    soft_cap: float = 0.0,
    slopes: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return plain attention of one sequence, ``[tokens, heads, head_size]``, masks aligned to the last key."""
    import torch

    group = q.shape[1] // k.shape[1]
    keys, values = (part.repeat_interleave(group, 1).transpose(0, 1).float() for part in (k, v))
    logits = q.transpose(0, 1).float() @ keys.transpose(-1, -2) * (scale or q.shape[-1] ** -0.5)
    logits = soft_cap * (logits / soft_cap).tanh() if soft_cap else logits
    ahead = torch.arange(len(k)) - (torch.arange(len(q))[:, None] + len(k) - len(q))
    logits = logits - slopes[:, None, None] * ahead.abs() if slopes is not None else logits
    logits = logits + bias.float() if bias is not None else logits
    hidden = (ahead > 0) if causal else torch.zeros_like(ahead, dtype=torch.bool)
    hidden = hidden | (ahead < -left) if left != UNLIMITED else hidden
    weights = logits.masked_fill(hidden, -torch.inf).softmax(-1)
    return (weights @ values).transpose(0, 1).to(q.dtype)


def by_sequence(
    q: torch.Tensor, starts_q: torch.Tensor, keys: Callable[[int], tuple[torch.Tensor, torch.Tensor]], **how: Any
) -> torch.Tensor:
    """Return the answers of packed queries; ``keys`` gives K and V of a sequence."""
    import torch

    parts = q.split(starts_q.diff().tolist())
    return torch.cat([attend(part, *keys(index), **how) for index, part in enumerate(parts)])


def packed(
    k: torch.Tensor, v: torch.Tensor, starts: torch.Tensor
) -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    """Return K and V of a sequence by its number, from where they lie end to end."""
    return lambda index: (k[starts[index] : starts[index + 1]], v[starts[index] : starts[index + 1]])


def paged(
    k: torch.Tensor, v: torch.Tensor, table: list[torch.Tensor], lengths: torch.Tensor
) -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    """Return K and V of a sequence by its number, from the blocks of a cache."""

    def read(index: int) -> tuple[torch.Tensor, torch.Tensor]:
        blocks, count = table[index].long(), int(lengths[index])
        return k[blocks].flatten(0, 1)[:count], v[blocks].flatten(0, 1)[:count]

    return read


def turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *, interleaved: bool) -> torch.Tensor:
    """Rotate ``[tokens, heads, head_size]`` by cos and sin of its tokens, in fp32."""
    import torch

    cos, sin = cos.float()[:, None], sin.float()[:, None]
    if interleaved:
        a, b = x.float()[..., 0::2], x.float()[..., 1::2]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)
    a, b = x.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1).to(x.dtype)
