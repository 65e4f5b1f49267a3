"""The probe model in plain torch: what every backend is compared with.

Written to be read: no fused kernels, no cache pages, one sequence at a time, so that nothing of one request can reach
another. Weights are read from the checkpoint and widened to fp32 or fp64. In bf16 and fp16 it rounds where transformers
does: norms and softmax are computed in fp32. torch is imported where it is used.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.probe_llm.tensors import read_tensors

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Cache:
    """Keys and values of the tokens seen so far, one pair per layer, [heads, tokens, head_dim]."""

    pairs: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """How many tokens it holds."""
        return int(self.pairs[0][0].shape[1]) if self.pairs else 0


@dataclass(frozen=True)
class Generated:
    """Greedy tokens, the end mark included if it came, and the log-probabilities over the vocabulary at each."""

    tokens: list[int]
    log_probs: Tensor

    def margins(self) -> Tensor:
        """Distance in nats between the two most likely tokens at each place."""
        best = self.log_probs.topk(2, dim=-1).values
        return best[:, 0] - best[:, 1]


class Reference:
    """A Llama checkpoint in any floating-point type of torch, with an adapter merged in where one is given."""

    def __init__(self, folder: Path, dtype: str = "float32", adapter: Path | None = None, device: str = "cpu") -> None:
        import torch

        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.wide = torch.promote_types(self.dtype, torch.float32)
        self.device = device
        self.weights = self._read(folder / "model.safetensors")
        if adapter is not None:
            self._merge(adapter)

    def _read(self, path: Path) -> dict[str, Tensor]:
        return {name: tensor.to(self.device, self.dtype) for name, tensor in read_tensors(path).items()}

    def _merge(self, folder: Path) -> None:
        """Add a PEFT adapter to the weights it names: W + alpha / r * B A."""
        settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        parts = self._read(folder / "adapter_model.safetensors")
        for name, a in parts.items():
            if name.endswith(".lora_A.weight"):
                b = parts[name.replace(".lora_A.", ".lora_B.")]
                target = name.removeprefix("base_model.model.").replace(".lora_A.", ".")
                self.weights[target] = self.weights[target] + settings["lora_alpha"] / settings["r"] * (b @ a)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        x = x.to(self.wide)
        scale = (x.square().mean(-1, keepdim=True) + self.config["rms_norm_eps"]).rsqrt()
        return (x * scale).to(self.dtype) * self.weights[f"{name}.weight"]

    def _angles(self, first: int, tokens: int, pairs: int) -> Tensor:
        """Angles ``[tokens, pairs]`` in fp64; the first token stands at place ``first``."""
        import torch

        theta = float((self.config.get("rope_parameters") or self.config)["rope_theta"])
        places = torch.arange(first, first + tokens, dtype=torch.float64, device=self.device)
        numbers = torch.arange(pairs, dtype=torch.float64, device=self.device)
        return places[:, None] * theta ** -(numbers / pairs)

    def _rope(self, x: Tensor, first: int) -> Tensor:
        """Rotate [heads, tokens, head_dim]; the first token stands at place ``first``."""
        import torch

        low, high = x.chunk(2, dim=-1)
        angle = self._angles(first, x.shape[1], low.shape[-1])
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1)

    def _attend(self, x: Tensor, at: str, layer: int, cache: Cache) -> Tensor:
        """Attention of new tokens [tokens, hidden] over the cache and themselves."""
        import torch

        size = self.config["head_dim"]
        seen = cache.pairs[layer][0].shape[1] if layer < len(cache.pairs) else 0
        q, k, v = (
            (x @ self.weights[f"{at}.{name}_proj.weight"].T).view(len(x), -1, size).transpose(0, 1) for name in "qkv"
        )
        q, k = self._rope(q, seen), self._rope(k, seen)
        if seen:
            k, v = torch.cat((cache.pairs[layer][0], k), 1), torch.cat((cache.pairs[layer][1], v), 1)
            cache.pairs[layer] = (k, v)
        else:
            cache.pairs.append((k, v))
        share = q.shape[0] // k.shape[0]
        scores = q @ k.repeat_interleave(share, 0).transpose(1, 2) / size**0.5
        later = torch.ones(len(x), seen + len(x), dtype=torch.bool, device=self.device).triu(seen + 1)
        shares = scores.to(self.wide).masked_fill(later, float("-inf")).softmax(-1).to(self.dtype)
        mixed = shares @ v.repeat_interleave(share, 0)
        return mixed.transpose(0, 1).reshape(len(x), -1) @ self.weights[f"{at}.o_proj.weight"].T

    def logits(self, tokens: Sequence[int], cache: Cache | None = None) -> Tensor:
        """Logits [tokens, vocabulary] of one sequence, or of what follows the tokens in ``cache``, which grows."""
        import torch
        from torch.nn.functional import silu

        cache = Cache() if cache is None else cache
        x = self.weights["model.embed_tokens.weight"][torch.tensor(tokens, device=self.device)]
        for layer in range(self.config["num_hidden_layers"]):
            at = f"model.layers.{layer}"
            x = x + self._attend(self._norm(x, f"{at}.input_layernorm"), f"{at}.self_attn", layer, cache)
            h = self._norm(x, f"{at}.post_attention_layernorm")
            gate, up, down = (self.weights[f"{at}.mlp.{name}_proj.weight"] for name in ("gate", "up", "down"))
            x = x + (silu(h @ gate.T) * (h @ up.T)) @ down.T
        return self._norm(x, "model.norm") @ self.weights["lm_head.weight"].T

    def log_probs(self, tokens: Sequence[int]) -> Tensor:
        """Log-probabilities of what follows each token, [tokens, vocabulary], in fp32 at least."""
        return self.logits(tokens).to(self.wide).log_softmax(-1)

    def generate(self, prompt: Sequence[int], limit: int, end: int | None = 2) -> Generated:
        """Greedy decoding through the cache, up to ``limit`` tokens or the end mark (None: ignore it)."""
        import torch

        with torch.inference_mode():
            cache = Cache()
            tokens: list[int] = []
            rows = []
            new: Sequence[int] = prompt
            while len(tokens) < limit:
                rows.append(self.logits(new, cache)[-1].to(self.wide).log_softmax(-1))
                tokens.append(int(rows[-1].argmax()))
                if tokens[-1] == end:
                    break
                new = tokens[-1:]
            return Generated(tokens, torch.stack(rows))
