"""The Llama architecture for training: parameters named as in a Hugging Face checkpoint, rows of several widths.

Everything but attention works on a flat run of tokens of one length, so torch.compile sees one shape; attention alone
cuts it into its groups of rows. The residual stream is fp32, matrix products are in ``compute`` dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own habit

Groups = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Shape:
    """Sizes of a checkpoint, named as in its config.json."""

    num_hidden_layers: int
    hidden_size: int = 256
    intermediate_size: int = 512
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 64
    vocab_size: int = 128
    max_position_embeddings: int = 2048
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5

    def as_dict(self) -> dict[str, Any]:
        """Fields by name."""
        return asdict(self)


MAIN = Shape(num_hidden_layers=6)
DRAFT = Shape(num_hidden_layers=2, intermediate_size=256)
TINY = Shape(num_hidden_layers=3, hidden_size=128, intermediate_size=256, num_attention_heads=2, num_key_value_heads=1)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Llama's RMS norm of an fp32 tensor."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE with halves paired, as Hugging Face stores Llama. ``x`` is [tokens, heads, head_dim], cos and sin fp32."""
    low, high = x.float().chunk(2, dim=-1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1).to(x.dtype)


def before_attention(
    x: Tensor,
    norm: Tensor,
    wq: Tensor,
    wk: Tensor,
    wv: Tensor,
    cos: Tensor,
    sin: Tensor,
    eps: float,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values of every token, [tokens, heads, head_dim]."""
    size = 2 * cos.shape[-1]
    h = rms_norm(x, norm, eps).to(dtype)
    q = F.linear(h, wq.to(dtype)).view(x.shape[0], -1, size)
    k = F.linear(h, wk.to(dtype)).view(x.shape[0], -1, size)
    v = F.linear(h, wv.to(dtype)).view(x.shape[0], -1, size)
    return rotate(q, cos, sin), rotate(k, cos, sin), v


def after_attention(
    x: Tensor, mixed: Tensor, wo: Tensor, norm: Tensor, gate: Tensor, up: Tensor, down: Tensor, eps: float
) -> Tensor:
    """Return the residual stream after the attention's output projection and the MLP."""
    dtype = mixed.dtype
    x = x + F.linear(mixed, wo.to(dtype)).float()
    h = rms_norm(x, norm, eps).to(dtype)
    h = F.silu(F.linear(h, gate.to(dtype))) * F.linear(h, up.to(dtype))
    return x + F.linear(h, down.to(dtype)).float()


def attend(q: Tensor, k: Tensor, v: Tensor, groups: Groups) -> Tensor:
    """Causal attention within each row of each group; [tokens, heads * head_dim]."""
    out, start, share = [], 0, q.shape[1] // k.shape[1]
    for rows, width in groups:
        end = start + rows * width
        query, key, value = (t[start:end].view(rows, width, t.shape[1], t.shape[2]).transpose(1, 2) for t in (q, k, v))
        key, value = key.repeat_interleave(share, dim=1), value.repeat_interleave(share, dim=1)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        out.append(mixed.transpose(1, 2).reshape(end - start, -1))
        start = end
    return torch.cat(out)


Around = tuple[Callable[..., Any], Callable[..., Any]]
PLAIN: Around = (before_attention, after_attention)


def compiled() -> Around:
    """Return what lies around attention, compiled; a failure shows at the first call."""
    return torch.compile(before_attention, dynamic=False), torch.compile(after_attention, dynamic=False)


class Adapter(nn.Module):
    """Low-rank additions to attention projections, in the form that PEFT stores."""

    TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")

    def __init__(self, network: Network, rank: int = 8, alpha: int = 16) -> None:
        super().__init__()
        self.rank, self.alpha = rank, alpha
        self.a, self.b = nn.ParameterDict(), nn.ParameterDict()
        for name, weight in network.named_parameters():
            if name.split(".")[-2] in self.TARGETS:
                key = name.replace(".", "/")
                self.a[key] = nn.Parameter(torch.randn(rank, weight.shape[1]) / math.sqrt(weight.shape[1]))
                self.b[key] = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def merged(self, name: str, weight: Tensor) -> Tensor:
        """Return the weight with this adapter's addition, if it has one for that name."""
        key = name.replace(".", "/")
        if key not in self.a:
            return weight
        return weight.detach() + (self.alpha / self.rank) * (self.b[key] @ self.a[key])


class Network(nn.Module):
    """A Llama whose state_dict is its Hugging Face checkpoint."""

    def __init__(self, shape: Shape, compute: torch.dtype) -> None:
        super().__init__()
        self.shape, self.compute = shape, compute
        self.adapter: Adapter | None = None
        hidden, head = shape.hidden_size, shape.head_dim
        deep = 0.02 / math.sqrt(2 * shape.num_hidden_layers)
        self._matrix("model.embed_tokens", shape.vocab_size, hidden, 0.02)
        for i in range(shape.num_hidden_layers):
            at = f"model.layers.{i}"
            self._ones(f"{at}.input_layernorm", hidden)
            self._matrix(f"{at}.self_attn.q_proj", shape.num_attention_heads * head, hidden, 0.04)
            self._matrix(f"{at}.self_attn.k_proj", shape.num_key_value_heads * head, hidden, 0.04)
            self._matrix(f"{at}.self_attn.v_proj", shape.num_key_value_heads * head, hidden, 0.04)
            self._matrix(f"{at}.self_attn.o_proj", hidden, shape.num_attention_heads * head, 2 * deep)
            self._ones(f"{at}.post_attention_layernorm", hidden)
            self._matrix(f"{at}.mlp.gate_proj", shape.intermediate_size, hidden, 0.04)
            self._matrix(f"{at}.mlp.up_proj", shape.intermediate_size, hidden, 0.04)
            self._matrix(f"{at}.mlp.down_proj", hidden, shape.intermediate_size, 2 * deep)
        self._ones("model.norm", hidden)
        self._matrix("lm_head", shape.vocab_size, hidden, 0.02)

    def _place(self, name: str, value: Tensor) -> None:
        """Register a parameter under a dotted name, with plain modules on the way."""
        at: nn.Module = self
        for part in name.split("."):
            if part not in at._modules:  # noqa: SLF001 - get_submodule raises instead of telling
                at.add_module(part, nn.Module())
            at = at.get_submodule(part)
        at.register_parameter("weight", nn.Parameter(value))

    def _matrix(self, name: str, rows: int, columns: int, std: float) -> None:
        self._place(name, torch.randn(rows, columns) * std)

    def _ones(self, name: str, size: int) -> None:
        self._place(name, torch.ones(size))

    def angles(self, groups: Groups, device: torch.device) -> tuple[Tensor, Tensor]:
        """Cosine and sine per token, [tokens, 1, head_dim / 2], fp32."""
        half = self.shape.head_dim // 2
        exponent = torch.arange(half, dtype=torch.float64, device=device) / half
        places = torch.cat([torch.arange(width, device=device).repeat(rows) for rows, width in groups])
        angle = (places.double()[:, None] * self.shape.rope_theta**-exponent)[:, None, :]
        return angle.cos().float(), angle.sin().float()

    def forward(self, tokens: Tensor, groups: Groups, cos: Tensor, sin: Tensor, around: Around = PLAIN) -> Tensor:
        """Logits of every token, [tokens, vocabulary], fp32; ``around`` is what runs before and after attention."""
        before, after = around
        w = dict(self.named_parameters())
        if self.adapter is not None:
            w = {name: self.adapter.merged(name, weight) for name, weight in w.items() if "adapter" not in name}
        eps = self.shape.rms_norm_eps
        x = F.embedding(tokens, w["model.embed_tokens.weight"])
        for i in range(self.shape.num_hidden_layers):
            at = f"model.layers.{i}"
            qkv = [w[f"{at}.self_attn.{name}_proj.weight"] for name in "qkv"]
            q, k, v = before(x, w[f"{at}.input_layernorm.weight"], *qkv, cos, sin, eps, self.compute)
            mixed = attend(q, k, v, groups)
            mlp = [w[f"{at}.mlp.{name}_proj.weight"] for name in ("gate", "up", "down")]
            norm = w[f"{at}.post_attention_layernorm.weight"]
            x = after(x, mixed, w[f"{at}.self_attn.o_proj.weight"], norm, *mlp, eps)
        # Logits rounded to bf16 would teach the draws a staircase; backends in bf16 round them, as evaluation does.
        dtype = torch.float32 if self.training else self.compute
        return F.linear(rms_norm(x, w["model.norm.weight"], eps).to(dtype), w["lm_head.weight"].to(dtype)).float()
