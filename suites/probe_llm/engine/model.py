"""One forward of a Llama over new tokens of several sequences, through a paged cache."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import silu

from pytest_trtcheck._suites.probe_llm.engine.kv import Store
from pytest_trtcheck._suites.probe_llm.tensors import read_tensors

Linear = Callable[[torch.Tensor], torch.Tensor]
"""A layer from ``[tokens, in]`` to ``[tokens, out]``."""

LinearFactory = Callable[[str, torch.Tensor], Linear]
"""Makes a layer from its name, such as ``model.layers.0.mlp.up_proj``, and its weight ``[out, in]``."""


@dataclass(frozen=True)
class Part:
    """New tokens of one sequence in one step."""

    tokens: Sequence[int]
    first: int
    """Place of the first of them in its sequence; all before it are in the cache."""
    blocks: Sequence[int]
    """Block table of the sequence, up to the last of the new tokens at least."""
    rows: int = 1
    """For how many of them, counted from the last, logits are asked for; 0 in the middle of a prompt."""
    adapter: bool = False
    """True: with the LoRA deltas in ``Llama.adapters``."""


@dataclass(frozen=True)
class Group:
    """Parts with equally many new tokens, which go through attention together."""

    index: torch.Tensor
    """``[parts, new]``: where their tokens stand among all of the step."""
    places: torch.Tensor
    """``[parts, keys]``: where their keys lie in the store, padded to the longest."""
    hidden: torch.Tensor
    """``[parts, new, keys]``: True where a token must not look."""


def plain_linear(name: str, weight: torch.Tensor) -> Linear:  # noqa: ARG001 - others choose by it
    """Return a layer that multiplies with its weight."""
    return lambda x: x @ weight.T


class Llama:
    """Weights and the forward. In bf16 and fp16, norms, rotations and softmax are computed in fp32."""

    def __init__(
        self, folder: Path, dtype: torch.dtype, device: str, context: int, make_linear: LinearFactory = plain_linear
    ) -> None:
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.dtype, self.device = dtype, device
        self.wide = torch.promote_types(dtype, torch.float32)
        tensors = {
            name: tensor.to(device, dtype) for name, tensor in read_tensors(folder / "model.safetensors").items()
        }
        self.embedding = tensors.pop("model.embed_tokens.weight")
        self.norms = {name: tensor for name, tensor in tensors.items() if tensor.ndim == 1}
        self.linears = {
            name.removesuffix(".weight"): make_linear(name.removesuffix(".weight"), tensor)
            for name, tensor in tensors.items()
            if tensor.ndim == 2
        }
        self.adapters: Mapping[str, Linear] = {}
        """What a LoRA adapter adds to a layer's output, by the layer's name."""
        self.head_size = int(self.config["head_dim"])
        self.rotation = self.angles(context)

    def angles(self, context: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosine and sine of the angle of each place and pair, ``[context, head_size / 2]``."""
        half = self.head_size // 2
        base = float(self.config["rope_theta"])
        pairs = torch.arange(half, dtype=torch.float64, device=self.device)
        places = torch.arange(context, dtype=torch.float64, device=self.device)
        angle = places[:, None] * base ** -(pairs / half)
        return angle.cos().to(self.wide), angle.sin().to(self.wide)

    def forward(self, parts: Sequence[Part], store: Store) -> list[torch.Tensor]:
        """Write keys and values of all new tokens to the store; return logits ``[rows, vocabulary]`` for each part."""
        tokens = self.tensor([token for part in parts for token in part.tokens])
        where = self.tensor([self.positions(part) for part in parts], ragged=True)
        slots = self.tensor([self.slots(part, store.block_size) for part in parts], ragged=True)
        adapted = self.adapted(parts)
        groups = self.groups(parts, store.block_size)
        x = self.embedding[tokens]
        for layer in range(self.config["num_hidden_layers"]):
            at = f"model.layers.{layer}"
            h = self.norm(x, f"{at}.input_layernorm")
            q, k, v = (self.heads(self.linear(f"{at}.self_attn.{name}_proj", h, adapted)) for name in "qkv")
            q, k = self.rotate(q, where), self.rotate(k, where)
            store.write(layer, slots, k, v)
            mixed = self.attend(layer, q, groups, store)
            x = x + self.linear(f"{at}.self_attn.o_proj", mixed, adapted)
            h = self.norm(x, f"{at}.post_attention_layernorm")
            gate, up = (self.linear(f"{at}.mlp.{name}_proj", h, adapted) for name in ("gate", "up"))
            x = x + self.linear(f"{at}.mlp.down_proj", silu(gate) * up, adapted)
        return self.logits(x, parts, adapted)

    def positions(self, part: Part) -> list[int]:
        """Return the place in its sequence of each new token, by which it is rotated."""
        return list(range(part.first, part.first + len(part.tokens)))

    def slots(self, part: Part, block_size: int) -> list[int]:
        """Return where in the store each new token's keys and values go."""
        places = range(part.first, part.first + len(part.tokens))
        return [part.blocks[place // block_size] * block_size + place % block_size for place in places]

    def keys(self, part: Part, block_size: int) -> list[int]:
        """Return where in the store the keys lie that the last of the new tokens sees, in the order of places."""
        seen = part.first + len(part.tokens)
        return [block * block_size + offset for block in part.blocks for offset in range(block_size)][:seen]

    def groups(self, parts: Sequence[Part], block_size: int) -> list[Group]:
        """Return the parts by their number of new tokens."""
        members: dict[int, list[tuple[int, Part]]] = defaultdict(list)
        start = 0
        for part in parts:
            members[len(part.tokens)].append((start, part))
            start += len(part.tokens)
        return [self.group(new, found, block_size) for new, found in members.items()]

    def group(self, new: int, members: Sequence[tuple[int, Part]], block_size: int) -> Group:
        """Return what attention has to know of parts with ``new`` tokens each; beside each, its first token's index."""
        places = [self.keys(part, block_size) for _, part in members]
        longest = max(map(len, places))
        starts = self.tensor([start for start, _ in members])
        firsts = self.tensor([part.first for _, part in members])
        steps = torch.arange(new, device=self.device)
        last_seen = firsts[:, None] + steps
        hidden = torch.arange(longest, device=self.device) > last_seen[..., None]
        padded = self.tensor([found + [0] * (longest - len(found)) for found in places])
        return Group(starts[:, None] + steps, padded, hidden)

    def attend(self, layer: int, q: torch.Tensor, groups: Sequence[Group], store: Store) -> torch.Tensor:
        """Return ``[tokens, heads * head_size]`` from queries ``[tokens, heads, head_size]``."""
        answer = torch.empty_like(q)
        for group in groups:
            k, v = (found.transpose(1, 2) for found in store.read(layer, group.places))
            parts, new = group.index.shape
            kv_heads = k.shape[1]
            # Queries that share keys lie side by side: [parts, kv_heads, heads / kv_heads * new, head_size].
            queries = q[group.index].view(parts, new, kv_heads, -1, self.head_size).permute(0, 2, 3, 1, 4)
            rows = queries.reshape(parts, kv_heads, -1, self.head_size)
            scores = (rows @ k.transpose(2, 3) / self.head_size**0.5).to(self.wide)
            scores = scores.view(parts, kv_heads, -1, new, scores.shape[-1])
            shares = scores.masked_fill(group.hidden[:, None, None], float("-inf")).softmax(-1).to(v.dtype)
            mixed = shares.view(parts, kv_heads, -1, shares.shape[-1]) @ v
            mixed = mixed.view(parts, kv_heads, -1, new, self.head_size).permute(0, 3, 1, 2, 4)
            answer[group.index] = mixed.reshape(parts, new, -1, self.head_size)
        return answer.view(len(q), -1)

    def linear(self, name: str, x: torch.Tensor, adapted: torch.Tensor | None) -> torch.Tensor:
        """Apply a layer, and the adapter's part of it to the tokens that have one."""
        answer = self.linears[name](x)
        if adapted is not None and name in self.adapters:
            answer[adapted] = answer[adapted] + self.adapters[name](x[adapted])
        return answer

    def adapted(self, parts: Sequence[Part]) -> torch.Tensor | None:
        """Return ``[tokens]``, True for those with the adapter; None when there are none."""
        if not any(part.adapter for part in parts):
            return None
        return torch.tensor([part.adapter for part in parts for _ in part.tokens], device=self.device)

    def logits(self, x: torch.Tensor, parts: Sequence[Part], adapted: torch.Tensor | None) -> list[torch.Tensor]:
        """Return logits of the last rows of each part, in the wide type."""
        ends: list[int] = []
        end = 0
        for part in parts:
            end += len(part.tokens)
            ends += range(end - part.rows, end)
        index = self.tensor(ends)
        chosen = None if adapted is None else adapted[index]
        rows = self.linear("lm_head", self.norm(x[index], "model.norm"), chosen).to(self.wide)
        return list(rows.split([part.rows for part in parts]))

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """Scale each token to a root mean square of one, then by the weight."""
        wide = x.to(self.wide)
        scale = (wide.square().mean(-1, keepdim=True) + self.config["rms_norm_eps"]).rsqrt()
        return (wide * scale).to(x.dtype) * self.norms[f"{name}.weight"]

    def heads(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``[tokens, heads, head_size]``."""
        return x.view(len(x), -1, self.head_size)

    def rotate(self, x: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        """Rotate ``[tokens, heads, head_size]`` by the places ``[tokens]``."""
        cos, sin = (table[where][:, None] for table in self.rotation)
        low, high = x.to(self.wide).chunk(2, dim=-1)
        return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1).to(x.dtype)

    def tensor(self, numbers: Sequence[Any], *, ragged: bool = False) -> torch.Tensor:
        """Return whole numbers as a tensor on the device; lists in a ragged one are laid end to end."""
        flat = [number for row in numbers for number in row] if ragged else numbers
        return torch.tensor(flat, dtype=torch.int64, device=self.device)
