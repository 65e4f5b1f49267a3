"""Attention as a TensorRT engine, made for each case through the network API and thrown away after it.

``tensorrt`` is the subgraph that exported models hold: product, scale, soft cap, ALiBi, mask, softmax, product, each in
the case's dtype; which of it is fused is TensorRT's choice. ``tensorrt_attention`` is the attention operator of 10.14
and later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.attention.providers.shared import alibi, visible
from pytest_trtcheck._suites.support.reasons import below, first_of, older
from pytest_trtcheck._suites.support.tensorrt import Draft, TensorRT, TensorRTRefusal
from pytest_trtcheck.providers import Refused

if TYPE_CHECKING:
    import torch

    from pytest_trtcheck.providers import AttentionCase, Where

WORKSPACE = 1 << 30
OPTIMIZATION_LEVEL = 1
"""Building is most of the time here. Level 1 still times a few kernels, where 0 takes the first that works."""


class TensorRTAttention:
    """The subgraph. Grouped heads are a dimension of their own, along which K and V are broadcast."""

    name = "tensorrt"
    component = "tensorrt"
    # Values behind the mask get a weight of 0, and 0 times NaN is NaN.
    padding = "finite"

    def __init__(self, module: Any = None) -> None:
        """Use another module in TensorRT's place."""
        self._module = module

    def why_not(self, case: AttentionCase, where: Where) -> str:
        """Return what the subgraph or the release lacks."""
        release = where.versions.get("tensorrt")
        return first_of((
            (where.device != "cuda", "TensorRT runs on GPUs only"),
            (older(where, "tensorrt", "8.6"), "the adapter knows TensorRT from 8.6 on"),
            (not older(where, "tensorrt", "12"), f"not implemented for release {release}: signature unknown"),
            (case.phase != "context", "context phase only"),
            (case.layout not in {"dense", "padded"}, "dense or padded tensors only"),
            (bool(case.rotary_base), "the subgraph has no rotary embedding"),
            (case.dtype == "bf16" and older(where, "tensorrt", "9.0"), "bf16 came with TensorRT 9.0"),
            (case.dtype == "bf16" and below(where, "8.0"), "bf16 needs compute capability 8.0"),
        ))  # fmt: skip

    def run(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Build, load, run and free an engine; the answer is written to ``inputs.out``."""
        api = TensorRT(self._module)
        try:
            with api.draft(precisions=[case.dtype]) as draft:
                draft.limit(workspace=WORKSPACE, optimization_level=OPTIMIZATION_LEVEL)
                self.define(draft, case)
                plan = draft.plan()
        except TensorRTRefusal as refusal:
            raise Refused(str(refusal)) from refusal
        with api.load(plan) as engine:
            engine.run({**self.masks(case, inputs), "q": inputs.q, "k": inputs.k, "v": inputs.v, "out": inputs.out})
        out: torch.Tensor = inputs.out
        return out

    def define(self, draft: Draft, case: AttentionCase) -> None:
        """Add all layers."""
        batch, length, group = len(case.query_lengths), max(case.query_lengths), case.group
        q, k, v = (
            draft.input(name, case.dtype, (batch, length, heads, case.head_size))
            for name, heads in (("q", case.heads), ("k", case.kv_heads), ("v", case.kv_heads))
        )
        answer = self.attend(draft, case, tuple(_heads_first(draft, tensor) for tensor in (q, k, v)))
        # To [batch, heads, length, head_size], then back as q came.
        back = draft.add("shuffle", answer)
        back.reshape_dims = (batch, case.kv_heads * group, length, case.head_size)
        back.second_transpose = draft.api.module.Permutation([0, 2, 1, 3])
        draft.output(back.get_output(0), "out", case.dtype)

    def attend(self, draft: Draft, case: AttentionCase, qkv: tuple[Any, ...]) -> Any:
        """Return ``[batch, kv_heads, group, length, head_size]`` from q, k, v ``[batch, heads, length, head_size]``."""
        trt = draft.api.module
        q, k, v = (_grouped(draft, case, tensor, group) for tensor, group in zip(qkv, (case.group, 1, 1), strict=True))
        plain, turned = trt.MatrixOperation.NONE, trt.MatrixOperation.TRANSPOSE
        logits = draft.result("matrix_multiply", q, plain, k, turned)
        logits = _times(draft, logits, case.scale, case.dtype)
        if case.soft_cap:
            logits = _times(draft, logits, 1 / case.soft_cap, case.dtype)
            logits = draft.result("activation", logits, trt.ActivationType.TANH)
            logits = _times(draft, logits, case.soft_cap, case.dtype)
        length = max(case.query_lengths)
        if case.alibi:
            bias = draft.input("bias", case.dtype, (1, case.kv_heads, case.group, length, length))
            logits = draft.result("elementwise", logits, bias, trt.ElementWiseOperation.SUM)
        if has_mask(case):
            seen = draft.input("visible", "bool", (len(case.query_lengths), 1, 1, length, length))
            # A choice, where most exports add a large negative number: a logit of padding may be infinite in fp16.
            logits = draft.result("select", seen, logits, draft.constant(float("-inf"), case.dtype, 5))
        softmax = draft.add("softmax", logits)
        softmax.axes = 1 << 4
        return draft.result("matrix_multiply", softmax.get_output(0), plain, v, plain)

    def masks(self, case: AttentionCase, inputs: Any) -> dict[str, torch.Tensor]:
        """Return the tensors beside q, k, v that ``attend`` asks for."""
        length = max(case.query_lengths)
        masks = {}
        if case.alibi:
            masks["bias"] = _bias(case, inputs).view(1, case.kv_heads, case.group, length, length)
        if has_mask(case):
            masks["visible"] = _visible(case, inputs)[:, :, None]
        return masks


class TensorRTOperator(TensorRTAttention):
    """``add_attention``, ``add_attention_v2`` from 11.0. It does not scale, and its causal mask is the upper left one.

    The latter is right here: in the context phase the first query stands at the first key. It takes either a causal
    mask or one of its own, in which True means that a query may look. One fused kernel or none: not decomposed.
    """

    name = "tensorrt_attention"

    def why_not(self, case: AttentionCase, where: Where) -> str:
        """Return what the operator lacks beyond what the subgraph lacks."""
        return super().why_not(case, where) or first_of((
            (older(where, "tensorrt", "10.14"), "the attention operator came with TensorRT 10.14"),
            (bool(case.soft_cap), "the attention operator has no soft cap"),
        ))  # fmt: skip

    def attend(self, draft: Draft, case: AttentionCase, qkv: tuple[Any, ...]) -> Any:
        """Return ``[batch, heads, length, head_size]``."""
        trt = draft.api.module
        q, k, v = qkv
        length = max(case.query_lengths)
        scaled = _times(draft, q, case.scale, case.dtype, rank=4)
        softmax = trt.AttentionNormalizationOp.SOFTMAX
        is_causal = case.mask == "causal" and not case.alibi
        if hasattr(draft.network, "add_attention_v2"):
            kind = trt.CausalMaskKind.UPPER_LEFT if is_causal else trt.CausalMaskKind.NONE
            attention = draft.add("attention_v2", scaled, k, v, softmax, kind)
        else:
            attention = draft.add("attention", scaled, k, v, softmax, is_causal)
        if case.alibi:
            attention.mask = draft.input("bias", case.dtype, (len(case.query_lengths), case.heads, length, length))
        elif has_mask(case) and not is_causal:
            attention.mask = draft.input("visible", "bool", (len(case.query_lengths), 1, length, length))
        return attention.get_output(0)

    def masks(self, case: AttentionCase, inputs: Any) -> dict[str, torch.Tensor]:
        """Return the one mask that the operator takes: ALiBi, minus infinity where hidden, or what is visible."""
        if case.alibi:
            bias, seen = _bias(case, inputs), _visible(case, inputs)
            return {"bias": bias.masked_fill(~seen, float("-inf")).contiguous()}
        if has_mask(case) and case.mask != "causal":
            return {"visible": _visible(case, inputs)}
        return {}


def has_mask(case: AttentionCase) -> bool:
    """Say whether some key is hidden from some query."""
    return case.mask != "full" or not case.equal_lengths


def _heads_first(draft: Draft, tensor: Any) -> Any:
    """Return ``[batch, length, heads, head_size]`` with heads before length."""
    shuffle = draft.add("shuffle", tensor)
    shuffle.first_transpose = draft.api.module.Permutation([0, 2, 1, 3])
    return shuffle.get_output(0)


def _grouped(draft: Draft, case: AttentionCase, tensor: Any, group: int) -> Any:
    """Return ``[batch, heads, length, head_size]`` as ``[batch, kv_heads, group, length, head_size]``."""
    shuffle = draft.add("shuffle", tensor)
    shuffle.reshape_dims = (len(case.query_lengths), case.kv_heads, group, max(case.query_lengths), case.head_size)
    return shuffle.get_output(0)


def _times(draft: Draft, tensor: Any, factor: float, dtype: str, rank: int = 5) -> Any:
    product = draft.api.module.ElementWiseOperation.PROD
    return draft.result("elementwise", tensor, draft.constant(factor, dtype, rank), product)


def _bias(case: AttentionCase, inputs: Any) -> torch.Tensor:
    """Return ALiBi in the case's dtype, ``[1, heads, length, length]``; positions are those of the longest sequence."""
    longest = case.query_lengths.index(max(case.query_lengths))
    return alibi(case, inputs, longest).to(inputs.q.dtype)[None].contiguous()


def _visible(case: AttentionCase, inputs: Any) -> torch.Tensor:
    """Return which keys each query sees, bool ``[batch, 1, length, length]``; queries past the end see none."""
    import torch

    length = max(case.query_lengths)
    seen = torch.zeros(len(case.query_lengths), 1, length, length, dtype=torch.bool, device=inputs.q.device)
    for index, (queries, keys) in enumerate(zip(case.query_lengths, case.kv_lengths, strict=True)):
        seen[index, 0, :queries, :keys] = visible(case, index, inputs.q.device)
    return seen


PROVIDERS = (TensorRTAttention(), TensorRTOperator())
