"""FlashInfer as its docstrings describe it (flashinfer/prefill.py, decode.py, rope.py)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch  # noqa: TID253 - imported by tests that need torch only

from tests.attention.libraries import Recorded, by_sequence, module, packed, paged, turn


class FlashInfer:
    """The wrappers of one release."""

    def __init__(self, release: str) -> None:
        self.recorded = Recorded("flashinfer", release)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the package where imports find it."""
        wrappers = (_Ragged, _Paged, _Decode)
        classes = {kind.NAME: type(kind.NAME, (kind,), {"recorded": self.recorded}) for kind in wrappers}
        module(monkeypatch, "flashinfer", apply_rope_pos_ids=self.apply_rope_pos_ids, **classes)

    def apply_rope_pos_ids(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        call = self.recorded.bind("apply_rope_pos_ids", *args, **kwargs)
        half = call.q.shape[-1] // 2
        angles = call.pos_ids[:, None] * call.rope_theta ** -(torch.arange(half, dtype=torch.float64) / half)
        q, k = (turn(x, angles.cos(), angles.sin(), interleaved=call.interleave) for x in (call.q, call.k))
        return q, k


class _Wrapper:
    NAME = ""
    recorded: Recorded

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        call = self.recorded.bind(f"{self.NAME}.__init__", *args, **kwargs)
        assert call.kv_layout == "NHD"
        assert call.float_workspace_buffer.dtype == torch.uint8
        self.made = call

    def plan(self, *args: Any, **kwargs: Any) -> None:
        self.planned = self.recorded.bind(f"{self.NAME}.plan", *args, **kwargs)
        assert self.planned.q_data_type in (torch.float16, torch.bfloat16)

    def how(self, k_scale: float | None = None) -> dict[str, Any]:
        plan = self.planned
        slopes = None
        if plan.pos_encoding_mode == "ALIBI":
            heads = plan.num_qo_heads
            slopes = torch.tensor([2.0 ** (-8.0 * (head + 1) / heads) for head in range(heads)])
        return {
            "scale": plan.sm_scale * (k_scale or 1.0),
            "causal": bool(getattr(plan, "causal", False)),
            "left": plan.window_left,
            "soft_cap": plan.logits_soft_cap or 0.0,
            "slopes": slopes,
        }

    def check(self, q: torch.Tensor, k: torch.Tensor) -> None:
        plan = self.planned
        size = plan.head_dim_qk if hasattr(plan, "head_dim_qk") else plan.head_dim
        assert (q.shape[1], k.shape[-2], q.shape[2]) == (plan.num_qo_heads, plan.num_kv_heads, size)
        assert (q.dtype, k.dtype) == (plan.q_data_type, plan.kv_data_type)

    def cached(self, call: SimpleNamespace, starts_q: torch.Tensor, names: tuple[str, str, str]) -> torch.Tensor:
        starts, blocks, last = (getattr(self.planned, name) for name in names)
        assert all(part.dtype == torch.int32 for part in (starts, blocks, last))
        k, v = call.paged_kv_cache
        self.check(call.q, k)
        assert k.shape[1] == self.planned.page_size
        table = list(blocks.split(starts.diff().tolist()))
        lengths = (starts.diff() - 1) * self.planned.page_size + last
        keys = paged(k.to(call.q.dtype), v.to(call.q.dtype), table, lengths)
        answer = by_sequence(call.q, starts_q, keys, **self.how(call.k_scale))
        return answer if call.v_scale is None else (answer * call.v_scale).to(call.q.dtype)


class _Ragged(_Wrapper):
    NAME = "BatchPrefillWithRaggedKVCacheWrapper"

    def run(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        call = self.recorded.bind(f"{self.NAME}.run", *args, **kwargs)
        self.check(call.q, call.k)
        keys = packed(call.k, call.v, self.planned.kv_indptr)
        return by_sequence(call.q, self.planned.qo_indptr, keys, **self.how())


class _Paged(_Wrapper):
    NAME = "BatchPrefillWithPagedKVCacheWrapper"

    def run(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        call = self.recorded.bind(f"{self.NAME}.run", *args, **kwargs)
        names = ("paged_kv_indptr", "paged_kv_indices", "paged_kv_last_page_len")
        return self.cached(call, self.planned.qo_indptr, names)


class _Decode(_Wrapper):
    NAME = "BatchDecodeWithPagedKVCacheWrapper"

    def run(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        call = self.recorded.bind(f"{self.NAME}.run", *args, **kwargs)
        group = self.planned.num_qo_heads // self.planned.num_kv_heads
        assert self.made.use_tensor_cores or group in (1, 2, 4, 8), "no decode kernel for this group"
        return self.cached(call, torch.arange(len(call.q) + 1), ("indptr", "indices", "last_page_len"))
