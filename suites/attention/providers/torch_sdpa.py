"""``scaled_dot_product_attention`` of torch, each of its kernels forced and judged on its own.

What SDPA has no word for is done around it the way its users do: blocks of a paged cache are first gathered (and
dequantized), and sequences of several lengths go one at a time unless the kernel takes them together, by a mask or as
a jagged nested tensor. What belongs inside the kernel (soft cap, rotary embedding) is out of its reach.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.attention.providers.shared import PLAIN, alibi, is_all_visible, laid_out, visible
from pytest_trtcheck._suites.support.reasons import below, first_of, older, on_one_line
from pytest_trtcheck.providers import Refused

if TYPE_CHECKING:
    import torch

    from pytest_trtcheck.providers import AttentionCase, Where

VECTOR = 16
"""fp32 numbers in the widest vector of a CPU. Against fewer keys flash on a CPU reduces a row one by one, and a NaN is
lost: the answer is 0. Measured with torch 2.13, AVX-512 (16) and AVX2 (8); github.com/pytorch/pytorch issue 141128."""
PLAN_SECONDS = 0.8
"""What cuDNN needs to plan a graph it has not seen: the median of 42 on an H200 host, torch 2.11, cuDNN 9.19."""
LOWER_RIGHT_SECONDS = 5.0
"""What importing ``causal_lower_right`` takes, which brings torch._dynamo along: 4.3 there."""
_NO_KERNEL = ("No available kernel", "No viable backend")
"""How SDPA says that the one kernel it may use does not do this (torch 2.3 to 2.13)."""
_HEADING = re.compile(r"(?P<called>.+?)(?: attention)? kernel not used because", re.IGNORECASE)
"""Warning before the reasons of a kernel; torch gives those of every kernel, also of the ones that it may not use."""


@dataclass(frozen=True)
class Kernel:
    """What one of SDPA's kernels takes, by torch's checks in aten/src/ATen/native/transformers/cuda/sdp_utils.cpp."""

    backend: str
    """Member of ``torch.nn.attention.SDPBackend``."""
    called: str
    """What torch's warnings call it, in lower case."""
    devices: tuple[str, ...]
    since: str = "2.3"
    """First torch whose ``sdpa_kernel`` can force it."""
    capability: str = "5.0"
    """Lowest compute capability."""
    fp32_on_gpu: bool = False
    masks_on_gpu: bool = True
    """Takes a mask or a bias, not only the causal flag."""
    groups: bool = True
    """Takes fewer key and value heads than query heads."""
    jagged: bool = True
    """Takes jagged nested tensors."""
    plans: bool = False
    """Plans every graph before it runs it the first time."""
    loses_nan: bool = False
    """On a CPU, a NaN in a query gives 0 where there are few keys."""


class Sdpa:
    """SDPA with one kernel allowed."""

    component = "torch"

    def __init__(self, name: str, kernel: Kernel) -> None:
        """Name the provider of a kernel."""
        self.name = name
        self.kernel = kernel
        # Values behind a mask get a weight of 0, and 0 times NaN is NaN: true of every kernel that takes a mask.
        self.padding = "finite" if kernel.masks_on_gpu else "nan"

    def why_not(self, case: AttentionCase, where: Where) -> str:
        """Return what this kernel lacks."""
        kernel = self.kernel
        on_gpu = where.device == "cuda"
        masked = case.mask == "sliding_window" or case.alibi
        return first_of((
            (where.device not in kernel.devices, f"torch has this kernel on {' and '.join(kernel.devices)} only"),
            (older(where, "torch", kernel.since), f"torch can force this kernel since {kernel.since}"),
            (on_gpu and below(where, kernel.capability), f"needs compute capability {kernel.capability}"),
            (on_gpu and case.dtype == "fp32" and not kernel.fp32_on_gpu, "takes fp16 and bf16 only"),
            (bool(case.soft_cap), "SDPA has no soft cap"),
            (bool(case.rotary_base), "SDPA has no rotary embedding"),
            (case.group > 1 and not kernel.groups, "takes as many KV heads as query heads"),
            (case.group > 1 and older(where, "torch", "2.5"), "SDPA takes grouped heads since torch 2.5"),
            (
                kernel.loses_nan and not on_gpu and case.nan_query and case.kv_lengths[0] < VECTOR,
                f"on a CPU it loses the NaN of a query that sees fewer than {VECTOR} keys",
            ),
            (on_gpu and masked and not kernel.masks_on_gpu, "takes no mask but the causal one"),
        ))  # fmt: skip

    def compiles(self, case: AttentionCase, where: Where) -> tuple[str, float] | None:
        """Return what has to be made ready on a GPU before the first run, and in how many seconds."""
        if where.device != "cuda":
            return None
        if self.kernel.plans:
            return f"cuDNN's plan of {case.name}", PLAN_SECONDS
        if case.phase == "chunked" and not self.kernel.masks_on_gpu:
            return "torch._dynamo, which causal_lower_right imports,", LOWER_RIGHT_SECONDS
        return None

    def run(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the answer; Refused with torch's words when this kernel is not available for it."""
        with self._forced():
            if case.layout == "dense" or (case.layout == "padded" and self.kernel.masks_on_gpu):
                return self._batch(case, inputs)
            if self._is_jagged(case, inputs):
                return self._jagged(case, inputs)
            return self._one_by_one(case, inputs)

    @contextmanager
    def _forced(self) -> Iterator[None]:
        """Allow this kernel only, and collect the reasons that torch gives as warnings."""
        from torch.nn.attention import SDPBackend, sdpa_kernel

        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                with sdpa_kernel(getattr(SDPBackend, self.kernel.backend)):
                    yield
            except RuntimeError as error:
                if not any(words in str(error) for words in _NO_KERNEL):
                    raise
                reasons = _reasons(self.kernel.called, (str(warning.message) for warning in said))
                raise Refused(_refusal(str(error), reasons)) from error

    def _takes_masks(self, inputs: Any) -> bool:
        return self.kernel.masks_on_gpu or inputs.q.device.type == "cpu"

    def _batch(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the answer of all sequences in one call; a mask tells lengths apart."""
        q, k, v = (tensor.transpose(1, 2) for tensor in (inputs.q, inputs.k, inputs.v))
        if case.layout == "dense" and not case.alibi:
            answer = self._attend(case, inputs, 0, q, k, v)
        else:
            answer = self._call(case, q, k, v, attn_mask=_batch_mask(case, inputs))
        return answer.transpose(1, 2)

    def _is_jagged(self, case: AttentionCase, inputs: Any) -> bool:
        plain = case.mask != "sliding_window" and not case.alibi and case.group == 1
        together = case.layout == "packed" and case.query_lengths == case.kv_lengths
        return self.kernel.jagged and inputs.q.device.type == "cuda" and plain and together

    def _jagged(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        from torch.nested import nested_tensor_from_jagged

        # One object for all three: torch takes tensors with the same offsets for ragged in the same way.
        offsets = inputs.cu_q.long()
        q, k, v = (nested_tensor_from_jagged(part, offsets).transpose(1, 2) for part in (inputs.q, inputs.k, inputs.v))
        answer = self._call(case, q, k, v, is_causal=case.mask == "causal")
        return laid_out(case, inputs, answer.transpose(1, 2).values())

    def _one_by_one(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        for index in range(len(case.query_lengths)):
            tokens = PLAIN.gather(case, inputs, index)
            q, k, v = (part.transpose(0, 1)[None] for part in (tokens.q, tokens.k, tokens.v))
            PLAIN.write(case, inputs, index, self._attend(case, inputs, index, q, k, v)[0].transpose(0, 1))
        out: torch.Tensor = inputs.out
        return out

    def _attend(
        self, case: AttentionCase, inputs: Any, index: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
    ) -> torch.Tensor:
        """Return the answer of sequences of one length, ``[batch, heads, queries, head_size]``."""
        queries, keys = q.shape[2], k.shape[2]
        if case.alibi:
            bias = _bias(case, inputs, index, visible(case, index, q.device))
            return self._call(case, q, k, v, attn_mask=bias[None])
        if is_all_visible(case, queries, keys):
            return self._call(case, q, k, v)
        if case.mask == "causal" and queries == keys:
            return self._call(case, q, k, v, is_causal=True)
        if self._takes_masks(inputs):
            return self._call(case, q, k, v, attn_mask=visible(case, index, q.device))
        from torch.nn.attention.bias import causal_lower_right

        # The flag is_causal is aligned to the first query, which is wrong with earlier keys.
        return self._call(case, q, k, v, attn_mask=causal_lower_right(queries, keys))

    def _call(self, case: AttentionCase, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **how: Any) -> torch.Tensor:
        from torch.nn.functional import scaled_dot_product_attention

        grouped = {"enable_gqa": True} if case.group > 1 else {}
        return scaled_dot_product_attention(q, k, v, scale=case.softmax_scale, **grouped, **how)


def _batch_mask(case: AttentionCase, inputs: Any) -> torch.Tensor:
    """Return the mask of a padded batch: bool ``[batch, 1, queries, keys]``, or a bias for every head."""
    import torch

    longest = inputs.q.shape[1], inputs.k.shape[1]
    parts = []
    for index in range(len(case.query_lengths)):
        mask = visible(case, index, inputs.q.device)
        part = _bias(case, inputs, index, mask) if case.alibi else mask[None]
        missing = (0, longest[1] - part.shape[2], 0, longest[0] - part.shape[1])
        parts.append(torch.nn.functional.pad(part, missing, value=float("-inf") if case.alibi else False))
    return torch.stack(parts)


def _bias(case: AttentionCase, inputs: Any, index: int, mask: torch.Tensor) -> torch.Tensor:
    """Return ALiBi with what is hidden at minus infinity, in the dtype that SDPA wants, ``[heads, queries, keys]``."""
    return alibi(case, inputs, index).masked_fill(~mask, float("-inf")).to(inputs.q.dtype)


def _reasons(called: str, warnings: Iterable[str]) -> list[str]:
    """Return the reasons that torch gave for not using a kernel."""
    reasons: dict[str, None] = {}
    of_this_kernel = False
    for warning in warnings:
        words = warning.partition("(Triggered internally")[0].strip()
        if heading := _HEADING.match(words):
            of_this_kernel = heading["called"].lower() == called
        elif of_this_kernel and "has been runtime disabled" not in words:
            reasons[words.rstrip(".")] = None
    return list(reasons)


def _refusal(error: str, reasons: list[str]) -> str:
    """Return torch's refusal, its first sentence, and the reasons, on one line."""
    sentence = error.strip().partition(". ")[0].rstrip(".")
    return on_one_line(": ".join(filter(None, (sentence, "; ".join(reasons)))))


PROVIDERS = (
    Sdpa("torch_math", Kernel("MATH", "math", ("cuda", "cpu"), fp32_on_gpu=True, jagged=False)),
    Sdpa(
        "torch_flash",
        Kernel("FLASH_ATTENTION", "flash", ("cuda", "cpu"), capability="8.0", masks_on_gpu=False, loses_nan=True),
    ),
    Sdpa(
        "torch_mem_efficient",
        Kernel("EFFICIENT_ATTENTION", "memory efficient", ("cuda",), fp32_on_gpu=True, groups=False),
    ),
    Sdpa("torch_cudnn", Kernel("CUDNN_ATTENTION", "cudnn", ("cuda",), since="2.5", capability="8.0", plans=True)),
)
"""One provider for each kernel of SDPA."""
