"""xFormers as its docstrings describe it (xformers/ops/fmha/__init__.py, attn_bias.py)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch  # noqa: TID253 - imported by tests that need torch only

from tests.attention.libraries import UNLIMITED, Recorded, attend, by_sequence, module, packed, paged, releases

# What the library says, from xformers/ops/fmha/dispatch.py and common.py.
DESCRIPTION = """\
     query       : shape=(1, 3, 1, 8, 128) (torch.float16)
     key         : shape=(1, 640, 1, 8, 128) (torch.float16)
     value       : shape=(1, 640, 1, 8, 128) (torch.float16)
     attn_bias   : <class 'xformers.ops.fmha.attn_bias.PagedBlockDiagonalPaddedKeysMask'>
     p           : 0.0"""
NO_OPERATOR = f"""No operator found for `memory_efficient_attention_forward` with inputs:
{DESCRIPTION}
`fa3F@0.0.0` is not supported because:
    xFormers wasn't build with CUDA support
    requires device with capability <= (9, 0) but your GPU has capability (12, 0) (too new)
`cutlassF-pt` is not supported because:
    xFormers wasn't build with CUDA support"""
NOT_THIS_OPERATOR = f"""Operator `memory_efficient_attention` does not support inputs:
{DESCRIPTION}
`triton_splitKF` is not supported because:
    xFormers wasn't build with CUDA support"""


class XFormers:
    """``memory_efficient_attention`` and the bias classes of one release."""

    def __init__(self, release: str) -> None:
        self.recorded = Recorded("xformers", release)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the package where imports find it."""
        recorded = releases("xformers")[self.recorded.release]["functions"]
        names = {name.partition(".")[0] for name in recorded if "Mask" in name}
        kinds = {name: type(name, (_Bias,), {"recorded": self.recorded}) for name in names}
        for name, kind in kinds.items():
            setattr(kind, "kinds", kinds)  # noqa: B010 - a class made here has no such field to type
            assert kind.__name__ == name
        fmha = SimpleNamespace(attn_bias=SimpleNamespace(**kinds), triton_splitk=SimpleNamespace(FwOp="splitk"))
        functions = {"memory_efficient_attention": self.memory_efficient_attention}
        ops = module(monkeypatch, "xformers.ops", fmha=fmha, **functions)
        module(monkeypatch, "xformers", ops=ops)

    def memory_efficient_attention(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        call = self.recorded.bind("memory_efficient_attention", *args, **kwargs)
        q, k, v, bias = call.query, call.key, call.value, call.attn_bias
        shape = q.shape
        if q.ndim == 5:
            assert k.stride(3) == 0, "one key head is expanded over its group"
            q, k, v = (part.flatten(2, 3) for part in (q, k, v))
        if isinstance(bias, torch.Tensor):
            assert bias.stride(-2) % 8 == 0, "rows of a bias are aligned"
            assert bias.shape[1:-2] == shape[2:-1]
            bias = bias.flatten(1, -3)
        assert (call.op == ("splitk", None)) == (isinstance(bias, _Bias) and bias.name.startswith("Paged"))
        if bias is None or isinstance(bias, torch.Tensor) or bias.name.startswith("Lower"):
            rows = [_dense(index, q, k, v, call.scale, bias) for index in range(len(q))]
            return torch.stack(rows).view(shape)
        assert len(q) == len(k) == 1
        return _blocks(q[0], k[0], v[0], call.scale, bias).view(shape)


class _Bias:
    """Any bias class: its name says what it masks, the constructor's arguments where."""

    recorded: Recorded
    kinds: dict[str, type[_Bias]]

    def __init__(self, window: int = 0, call: SimpleNamespace | None = None) -> None:
        self.window, self.call = window, call

    @property
    def name(self) -> str:
        return type(self).__name__

    @classmethod
    def _recorded_name(cls, method: str) -> str:
        # The one class that inherits it.
        owner = cls.__name__.replace("PagedBlockDiagonalCausalWithOffset", "PagedBlockDiagonal")
        return f"{owner}.{method}"

    @classmethod
    def from_seqlens(cls, *args: Any, **kwargs: Any) -> _Bias:
        return cls(call=cls.recorded.bind(cls._recorded_name("from_seqlens"), *args, **kwargs))

    @classmethod
    def from_seqlens_local(cls, *args: Any, **kwargs: Any) -> _Bias:
        call = cls.recorded.bind(cls._recorded_name("from_seqlens_local"), *args, **kwargs)
        return cls(call.window_size, call)

    def make_causal_from_bottomright(self) -> _Bias:
        self.recorded.bind(self._recorded_name("make_causal_from_bottomright"))
        return _kind("BlockDiagonalCausalFromBottomRightMask")(call=self.call)

    def make_local_attention_from_bottomright(self, *args: Any, **kwargs: Any) -> _Bias:
        call = self.recorded.bind(self._recorded_name("make_local_attention_from_bottomright"), *args, **kwargs)
        return _kind("BlockDiagonalCausalLocalAttentionFromBottomRightMask")(call.window_size, self.call)

    def make_local_attention(self, *args: Any, **kwargs: Any) -> _Bias:
        call = self.recorded.bind(self._recorded_name("make_local_attention"), *args, **kwargs)
        return _kind("LowerTriangularFromBottomRightLocalAttentionMask")(call.window_size)

    @property
    def how(self) -> dict[str, Any]:
        causal = any(word in self.name for word in ("Causal", "Triangular"))
        return {"causal": causal, "left": self.window - 1 if self.window else UNLIMITED}


def _kind(name: str) -> type[_Bias]:
    return type(name, (_Bias,), {})


def _dense(
    index: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float | None, bias: Any
) -> torch.Tensor:
    if isinstance(bias, torch.Tensor):
        return attend(q[index], k[index], v[index], scale=scale, bias=bias[index])
    return attend(q[index], k[index], v[index], scale=scale, **(bias.how if bias else {}))


def _blocks(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float | None, bias: _Bias) -> torch.Tensor:
    call = bias.call
    assert call is not None
    starts = torch.tensor([0, *call.q_seqlen]).cumsum(0)
    if bias.name.startswith("Paged"):
        assert call.page_size % 64 == 0
        k, v = (part.unflatten(0, (-1, call.page_size)) for part in (k, v))
        keys = paged(k, v, list(call.block_tables), torch.tensor(call.kv_seqlen))
    elif "PaddedKeys" in bias.name:
        k, v = (part.unflatten(0, (-1, call.kv_padding)) for part in (k, v))
        keys = paged(k, v, list(torch.arange(len(k))[:, None]), torch.tensor(call.kv_seqlen))
    else:
        keys = packed(k, v, torch.tensor([0, *(call.kv_seqlen or call.q_seqlen)]).cumsum(0))
    return by_sequence(q, starts, keys, scale=scale, **bias.how)
