"""Specification of attention cases, independent of who computes them, and what a provider of attention is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch

    from pytest_trtcheck.providers.base import Where

PHASES = ("context", "generation", "chunked")
MASKS = ("full", "causal", "sliding_window")
LAYOUTS = ("dense", "padded", "packed", "paged")
LONG = 8192


@dataclass(frozen=True)
class AttentionCase:
    """One attention computation: ``softmax(scale * Q K^T + bias) V`` over a batch of sequences.

    Sequence ``b`` has ``query_lengths[b]`` queries and ``kv_lengths[b]`` keys; its queries are the last ones: query
    ``i`` stands at position ``p = kv_length - query_length + i``. It sees key ``j`` if ``j < kv_length`` and

    * mask ``full``: always;
    * ``causal``: ``j <= p``;
    * ``sliding_window``: ``p - window < j <= p``, so ``window`` keys with its own.

    Query head ``h`` reads key and value head ``h // (heads // kv_heads)``.
    """

    phase: str
    """``context``: all tokens are new; ``generation``: one query per sequence against a cache; ``chunked``: several."""
    mask: str
    layout: str
    """How tensors lie: ``dense`` (equal lengths), ``padded`` (to the longest), ``packed`` (end to end), ``paged``
    (K and V in blocks of ``page_size`` tokens)."""
    query_lengths: tuple[int, ...]
    kv_lengths: tuple[int, ...]
    heads: int
    kv_heads: int
    head_size: int
    dtype: str
    """``fp32``, ``fp16`` or ``bf16``: dtype of Q, of the output, and of K and V unless ``kv_dtype`` differs."""
    kv_dtype: str = ""
    """``fp8_e4m3`` for a cache stored as ``round(x / scale)``; empty for ``dtype``."""
    page_size: int = 0
    """Tokens in a block; 0 unless the layout is ``paged``."""
    window: int = 0
    """0 unless the mask is ``sliding_window``."""
    softmax_scale: float | None = None
    """None for ``head_size ** -0.5``."""
    soft_cap: float = 0.0
    """Scaled logits ``s`` become ``soft_cap * tanh(s / soft_cap)``; 0 for none."""
    alibi: bool = False
    """Adds ``-slope[h] * |p - j|`` to the logits, after scaling; slopes as in the ALiBi paper."""
    rotary_base: float = 0.0
    """Rotary embedding over the whole head at the token's position, applied by the provider to Q, and to K unless it
    comes from a cache, which holds rotated keys; 0 for none. Angles are ``position * base ** (-2 i / head_size)``,
    given in ``Inputs.cos`` and ``sin``; a kernel may as well compute them itself in fp32."""
    rotary_interleaved: bool = False
    """True: pairs are neighbours (GPT-J); False: pairs are ``head_size / 2`` apart (GPT-NeoX, Llama)."""
    nan_query: bool = False
    """The last query of the first sequence holds a NaN in channel 0 of every head: that query's whole row of every head
    must come out as NaN, and no other."""
    logit_shift: float = 0.0
    """All logits of a query are shifted by this: up for one query, down for the next, not at all for the third. Softmax
    stays as it is, unless exponentials overflow."""

    def __post_init__(self) -> None:
        """Refuse what does not make sense."""
        problems = {
            f"phase {self.phase}": self.phase not in PHASES,
            f"mask {self.mask}": self.mask not in MASKS,
            f"layout {self.layout}": self.layout not in LAYOUTS,
            "lengths": len(self.query_lengths) != len(self.kv_lengths) or not self.query_lengths,
            "more queries than keys": any(
                not 0 < queries <= keys for queries, keys in zip(self.query_lengths, self.kv_lengths, strict=False)
            ),
            f"{self.heads} heads on {self.kv_heads}": self.heads % self.kv_heads != 0,
            f"page size {self.page_size}": (self.layout == "paged") != (self.page_size > 0),
            f"window {self.window}": (self.mask == "sliding_window") != (self.window > 0),
            f"kv_dtype {self.kv_dtype} outside a cache": bool(self.kv_dtype) and self.layout != "paged",
        }
        wrong = [words for words, is_wrong in problems.items() if is_wrong]
        if wrong:
            raise ValueError(f"no such attention case: {', '.join(wrong)}")

    @cached_property
    def name(self) -> str:
        """Stable name that tells every property: ``generation-causal-paged16-4x1-d128-bf16-kv8-1of257.1of9``."""
        extras = {
            "kv8": bool(self.kv_dtype),
            "gptj" if self.rotary_interleaved else "rope": bool(self.rotary_base),
            f"scale{self.softmax_scale}": self.softmax_scale is not None,
            f"cap{self.soft_cap:g}": bool(self.soft_cap),
            "alibi": self.alibi,
            "nan": self.nan_query,
            f"shift{self.logit_shift:g}": bool(self.logit_shift),
        }
        lengths = ".".join(
            str(keys) if queries == keys else f"{queries}of{keys}"
            for queries, keys in zip(self.query_lengths, self.kv_lengths, strict=True)
        )
        mask = f"window{self.window}" if self.window else self.mask
        return "-".join((
            self.phase, mask, f"{self.layout}{self.page_size or ''}", f"{self.heads}x{self.kv_heads}",
            f"d{self.head_size}", self.dtype, *(name for name, is_on in extras.items() if is_on), lengths,
        ))  # fmt: skip

    @cached_property
    def features(self) -> frozenset[str]:
        """What a provider must be able to do, in the words of the report's table and of the matrix."""
        heads = "mha" if self.heads == self.kv_heads else "mqa" if self.kv_heads == 1 else "gqa"
        extras = {
            f"page{self.page_size}": self.layout == "paged",
            "fp8_kv": bool(self.kv_dtype),
            "rotary": bool(self.rotary_base),
            "scale": self.softmax_scale is not None,
            "soft_cap": bool(self.soft_cap),
            "alibi": self.alibi,
            "long": max(self.kv_lengths) > LONG,
        }
        on = {name for name, is_on in extras.items() if is_on}
        return frozenset({self.phase, self.mask, self.layout, heads, *on})

    @property
    def scale(self) -> float:
        """Softmax scale that applies."""
        return self.head_size**-0.5 if self.softmax_scale is None else self.softmax_scale

    @property
    def group(self) -> int:
        """Query heads for each key and value head."""
        return self.heads // self.kv_heads

    @property
    def multiplications(self) -> int:
        """How many the products ``Q K^T`` and ``P V`` take, masked ones included."""
        pairs = sum(queries * keys for queries, keys in zip(self.query_lengths, self.kv_lengths, strict=True))
        return 2 * pairs * self.heads * self.head_size

    @property
    def equal_lengths(self) -> bool:
        """True when all sequences are of one length."""
        return len(set(self.query_lengths)) == 1 and len(set(self.kv_lengths)) == 1


class Inputs(Protocol):
    """Tensors of a case, on the device of the place. A provider must not change them.

    Layouts ``dense`` and ``padded`` (``B`` sequences, ``S`` = the longest): ``q [B, S, heads, head_size]``, ``k`` and
    ``v`` ``[B, S, kv_heads, head_size]``. ``packed``: ``q [Tq, heads, head_size]``, ``k`` and ``v``
    ``[Tk, kv_heads, head_size]`` with ``cu_q`` and ``cu_k``. ``paged``: ``q [Tq, heads, head_size]`` with ``cu_q``;
    ``k_cache`` and ``v_cache`` ``[blocks, page_size, kv_heads, head_size]`` hold all keys, the new tokens' too, at the
    places of ``block_table``.

    What lies beyond a sequence's end (padding, unused blocks, the rest of the last block) is NaN, or a large number for
    a provider that says ``padding = "finite"``. ``out`` has the shape of the answer and is full of NaN; writing the
    answer there is a provider's choice.
    """

    q: torch.Tensor
    out: torch.Tensor
    k: torch.Tensor | None
    v: torch.Tensor | None
    cu_q: torch.Tensor
    """int32 ``[B + 1]``: where each sequence's queries begin."""
    cu_k: torch.Tensor
    """int32 ``[B + 1]``: the same for keys."""
    query_lengths: torch.Tensor
    """int32 ``[B]``."""
    kv_lengths: torch.Tensor
    """int32 ``[B]``."""
    k_cache: torch.Tensor | None
    v_cache: torch.Tensor | None
    block_table: torch.Tensor | None
    """int32 ``[B, most blocks]``; entries past a sequence's end lead to a block that is all poison."""
    k_scale: float
    """A stored key times this is the key; 1.0 unless ``kv_dtype`` is fp8."""
    v_scale: float
    k_new: torch.Tensor | None
    """``[Tq, kv_heads, head_size]``: keys of the new tokens, not rotated, for kernels that append to the cache."""
    v_new: torch.Tensor | None
    alibi_slopes: torch.Tensor | None
    """fp32 ``[heads]``."""
    cos: torch.Tensor | None
    """fp32 ``[longest, head_size / 2]``: rotary embedding by position."""
    sin: torch.Tensor | None


@runtime_checkable
class AttentionProvider(Protocol):
    """One implementation of attention under test.

    A site returns its own from the hook ``pytest_trtcheck_attention_providers``. The class must be importable without
    its library: ``why_not`` is asked while planning, in a process that loads nothing native.

    Three more attributes may be there. ``component``: the library's key in the stack vocabulary; the provider is left
    out where that is not found, and its refusals are held against the matrix's rows for the provider's name.
    ``padding = "finite"``: see Inputs.
    ``compiles(case, where)``: the name of what the library compiles before it can run a case, and about how many
    seconds that takes, or None; the level bounds how much is compiled, and what goes beyond is ``not_run: level``.
    """

    name: str
    """Stable, such as ``torch_flash``; names the provider in every report."""

    def why_not(self, case: AttentionCase, where: Where) -> str:
        """Return in a few words why this case is out of reach here; empty when it should run."""

    def run(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the answer, of the shape and dtype of ``inputs.q``; see Inputs. Rows of padding are ignored.

        Refused, or NotImplementedError, when the library declines.
        """


def compilation_of(provider: AttentionProvider, case: AttentionCase, where: Where) -> tuple[str, float] | None:
    """Return what the provider compiles before it can run a case, and in about how many seconds; None for nothing."""
    compiles = getattr(provider, "compiles", None)
    if compiles is None:
        return None
    answer: tuple[str, float] | None = compiles(case, where)
    return answer


def padding_of(provider: AttentionProvider) -> str:
    """Return what the provider wants beyond a sequence's end: ``nan``, or ``finite`` where it masks by weights of 0."""
    return "finite" if getattr(provider, "padding", "nan") == "finite" else "nan"
