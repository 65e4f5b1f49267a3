"""Attention written out in torch, as models without a fused kernel run it: two products and a softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

    from pytest_trtcheck.providers import AttentionCase, Where


class Tokens(NamedTuple):
    """One sequence in the case's dtype."""

    number: int
    """Number of the sequence in the batch."""
    q: torch.Tensor
    """``[queries, heads, head_size]``."""
    k: torch.Tensor
    """``[keys, kv_heads, head_size]``."""
    v: torch.Tensor


class Eager:
    """Every step in a method of its own, each of which may be another's mistake: broken kernels override one.

    Products are summed in fp32; logits and weights stay in fp32 up to the second product.
    """

    name = "torch_eager"
    component = "torch"

    def why_not(self, case: AttentionCase, where: Where) -> str:  # noqa: ARG002
        """Return nothing: what torch runs on, this runs on."""
        return ""

    def run(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the answer, sequence by sequence."""
        for index in range(len(case.query_lengths)):
            tokens = self.rotate(case, inputs, self.gather(case, inputs, index))
            self.write(case, inputs, index, self.attend(case, inputs, tokens))
        out: torch.Tensor = inputs.out
        return out

    def gather(self, case: AttentionCase, inputs: Any, index: int) -> Tokens:
        """Collect one sequence from where the layout keeps it."""
        queries, keys = case.query_lengths[index], case.kv_lengths[index]
        if case.layout in {"dense", "padded"}:
            return Tokens(index, inputs.q[index, :queries], inputs.k[index, :keys], inputs.v[index, :keys])
        start = int(inputs.cu_q[index])
        q = inputs.q[start : start + queries]
        if case.layout == "paged":
            return Tokens(index, q, *self.read_cache(case, inputs, index, keys))
        start = int(inputs.cu_k[index])
        return Tokens(index, q, inputs.k[start : start + keys], inputs.v[start : start + keys])

    def read_cache(self, case: AttentionCase, inputs: Any, index: int, keys: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return K and V of one sequence from their blocks, in the case's dtype."""
        blocks = self.blocks(case, inputs, index, keys)
        parts = ((inputs.k_cache, inputs.k_scale), (inputs.v_cache, inputs.v_scale))
        k, v = (
            self.dequantize(case, cache[blocks].flatten(0, 1)[:keys], scale, inputs.q.dtype) for cache, scale in parts
        )
        return k, v

    def blocks(self, case: AttentionCase, inputs: Any, index: int, keys: int) -> torch.Tensor:
        """Return the blocks of one sequence, in order."""
        table: torch.Tensor = inputs.block_table
        return table[index, : -(-keys // case.page_size)].long()

    def dequantize(self, case: AttentionCase, stored: torch.Tensor, scale: float, dtype: torch.dtype) -> torch.Tensor:
        """Return cached values as they are meant."""
        return (stored.float() * scale).to(dtype) if case.kv_dtype else stored

    def rotate(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> Tokens:
        """Apply the rotary embedding to Q, and to K unless a cache holds it rotated."""
        if not case.rotary_base:
            return tokens
        queries, keys = len(tokens.q), len(tokens.k)
        q = self.turn(case, inputs, tokens.q, keys - queries)
        return tokens._replace(q=q, k=tokens.k if case.layout == "paged" else self.turn(case, inputs, tokens.k, 0))

    def turn(self, case: AttentionCase, inputs: Any, tensor: torch.Tensor, position: int) -> torch.Tensor:
        """Rotate tokens of which the first stands at a position; in fp32, as Llama's own code does."""
        from pytest_trtcheck._suites.attention.inputs import rotate

        where = slice(position, position + len(tensor))
        turned = rotate(tensor.float(), inputs.cos[where], inputs.sin[where], interleaved=case.rotary_interleaved)
        return turned.to(tensor.dtype)

    def attend(self, case: AttentionCase, inputs: Any, tokens: Tokens) -> torch.Tensor:
        """Return the answer of one sequence, ``[queries, heads, head_size]``."""
        heads = self.kv_head(case, inputs)
        k, v = tokens.k[:, heads].transpose(0, 1), tokens.v[:, heads].transpose(0, 1)
        logits = self.logits(case, tokens.q.transpose(0, 1), k)
        logits = self.bias(case, inputs, self.cap(case, logits))
        hidden = self.hidden(case, tokens.number, logits.shape[1], logits.shape[2], logits.device)
        return self.combine(self.softmax(logits.masked_fill(hidden, float("-inf"))), v).transpose(0, 1)

    def kv_head(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Return the KV head of each query head."""
        import torch

        return torch.arange(case.heads, device=inputs.q.device) // case.group

    def logits(self, case: AttentionCase, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """Return scaled logits in fp32, ``[heads, queries, keys]``."""
        return q.float() @ k.float().transpose(-1, -2) * self.scale(case)

    def scale(self, case: AttentionCase) -> float:
        """Return the softmax scale."""
        return case.scale

    def cap(self, case: AttentionCase, logits: torch.Tensor) -> torch.Tensor:
        """Apply the soft cap."""
        return case.soft_cap * (logits / case.soft_cap).tanh() if case.soft_cap else logits

    def bias(self, case: AttentionCase, inputs: Any, logits: torch.Tensor) -> torch.Tensor:
        """Add ALiBi."""
        if not case.alibi:
            return logits
        back = distance(logits.shape[1], logits.shape[2], logits.device).abs()
        return logits - inputs.alibi_slopes[:, None, None] * back

    def hidden(
        self,
        case: AttentionCase,
        index: int,  # noqa: ARG002 - for broken kernels that take another's lengths
        queries: int,
        keys: int,
        device: torch.device,
    ) -> torch.Tensor:
        """Return which keys each query must not see, bool ``[queries, keys]``."""
        back = distance(queries, keys, device)
        hidden = back < (0 if case.mask != "full" else -keys)
        return hidden | (back >= case.window) if case.window else hidden

    def softmax(self, logits: torch.Tensor) -> torch.Tensor:
        """Return weights."""
        return logits.softmax(dim=-1)

    def combine(self, weights: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the weighted sum of V, in its dtype; the weights are rounded to it, as tensor cores take them."""
        return (weights.to(v.dtype).float() @ v.float()).to(v.dtype)

    def write(self, case: AttentionCase, inputs: Any, index: int, answer: torch.Tensor) -> None:
        """Put the answer of one sequence where it belongs."""
        if case.layout in {"dense", "padded"}:
            inputs.out[index, : len(answer)] = answer
        else:
            start = int(inputs.cu_q[index])
            inputs.out[start : start + len(answer)] = answer


def distance(queries: int, keys: int, device: torch.device) -> torch.Tensor:
    """Return how far before each query each key stands, int64 ``[queries, keys]``."""
    import torch

    position = torch.arange(queries, device=device)[:, None] + keys - queries
    return position - torch.arange(keys, device=device)


PROVIDERS = (Eager(),)
