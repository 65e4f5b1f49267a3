"""flash-attn as its docstrings describe it (flash_attn/flash_attn_interface.py, flash_attn/layers/rotary.py)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch  # noqa: TID253 - imported by tests that need torch only

from tests.attention.libraries import UNLIMITED, Recorded, attend, by_sequence, module, packed, paged, turn


class FlashAttn:
    """The functions of one release."""

    def __init__(self, release: str) -> None:
        self.recorded = Recorded("flash_attn", release)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the package where imports find it."""
        functions = (self.flash_attn_func, self.flash_attn_varlen_func, self.flash_attn_with_kvcache)
        module(monkeypatch, "flash_attn", **{function.__name__: function for function in functions})
        module(monkeypatch, "flash_attn.layers")
        module(monkeypatch, "flash_attn.layers.rotary", apply_rotary_emb=self.apply_rotary_emb)

    def flash_attn_func(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        call = self.recorded.bind("flash_attn_func", *args, **kwargs)
        rows = zip(call.q, call.k, call.v, strict=True)
        return torch.stack([attend(q, k, v, **_how(call)) for q, k, v in rows])

    def flash_attn_varlen_func(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        call = self.recorded.bind("flash_attn_varlen_func", *args, **kwargs)
        assert call.max_seqlen_q == int(call.cu_seqlens_q.diff().max())
        assert call.max_seqlen_k == int(call.cu_seqlens_k.diff().max())
        keys = packed(call.k, call.v, call.cu_seqlens_k)
        if getattr(call, "block_table", None) is not None:
            assert call.k.shape[1] % 256 == 0
            keys = paged(call.k, call.v, list(call.block_table), call.cu_seqlens_k.diff())
        return by_sequence(call.q, call.cu_seqlens_q, keys, **_how(call))

    def flash_attn_with_kvcache(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        call = self.recorded.bind("flash_attn_with_kvcache", *args, **kwargs)
        assert call.k_cache.shape[1] % 256 == 0
        q, lengths = call.q, call.cache_seqlens
        if call.k is not None:
            q, lengths = self._append(call), lengths + call.k.shape[1]
        keys = paged(call.k_cache, call.v_cache, list(call.block_table), lengths)
        return torch.stack([attend(row, *keys(index), **_how(call)) for index, row in enumerate(q)])

    def _append(self, call: SimpleNamespace) -> torch.Tensor:
        """Rotate and write the new keys, and return the rotated queries."""
        size = call.k_cache.shape[1]
        assert len(call.rotary_cos) >= size * call.block_table.shape[1], "cos/sin seqlen must reach the cache's"
        assert call.rotary_cos.dtype == call.q.dtype
        rows = []
        for index, start in enumerate(call.cache_seqlens.tolist()):
            where = slice(start, start + call.k.shape[1])
            angles = call.rotary_cos[where], call.rotary_sin[where]
            k = turn(call.k[index], *angles, interleaved=call.rotary_interleaved)
            for step, position in enumerate(range(where.start, where.stop)):
                block = call.block_table[index, position // size]
                call.k_cache[block, position % size] = k[step]
                call.v_cache[block, position % size] = call.v[index, step]
            rows.append(turn(call.q[index], *angles, interleaved=call.rotary_interleaved))
        return torch.stack(rows)

    def apply_rotary_emb(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        call = self.recorded.bind("apply_rotary_emb", *args, **kwargs)
        is_packed = call.cu_seqlens is not None
        rows = call.x.split(call.cu_seqlens.diff().tolist()) if is_packed else list(call.x)
        offsets = (
            call.seqlen_offsets
            if isinstance(call.seqlen_offsets, torch.Tensor)
            else [call.seqlen_offsets or 0] * len(rows)
        )
        turned = []
        for row, offset in zip(rows, offsets, strict=True):
            where = slice(int(offset), int(offset) + len(row))
            turned.append(turn(row, call.cos[where], call.sin[where], interleaved=call.interleaved))
        return torch.cat(turned) if is_packed else torch.stack(turned)


def _how(call: SimpleNamespace) -> dict[str, Any]:
    left, right = getattr(call, "window_size", None) or (UNLIMITED, UNLIMITED)
    assert right in (UNLIMITED, 0)
    return {
        "scale": call.softmax_scale,
        "causal": call.causal,
        "left": left,
        "soft_cap": getattr(call, "softcap", None) or 0.0,
        "slopes": getattr(call, "alibi_slopes", None),
    }
