"""Mistakes with blocks of the KV cache: which one is read, which one is written, what is in it."""

from __future__ import annotations

import torch

from pytest_trtcheck._suites.batching.broken.base import variant
from pytest_trtcheck._suites.probe_llm.engine.kv import Shape, Store
from pytest_trtcheck._suites.probe_llm.engine.model import Llama, Part


class _BlockLost(Llama):
    def keys(self, part: Part, block_size: int) -> list[int]:
        found = super().keys(part, block_size)
        return found[:block_size] * 2 + found[2 * block_size :] if len(part.blocks) > 2 else found


class _TableOff(Llama):
    def keys(self, part: Part, block_size: int) -> list[int]:
        found = super().keys(part, block_size)
        return found[block_size:] + found[-block_size:] if len(part.blocks) > 2 else found


class _TwoBlocksSwapped(Llama):
    def keys(self, part: Part, block_size: int) -> list[int]:
        found, size = super().keys(part, block_size), block_size
        return found[size : 2 * size] + found[:size] + found[2 * size :] if len(found) > 2 * size else found


class _LastTokenOverwritten(Llama):
    def slots(self, part: Part, block_size: int) -> list[int]:
        found = super().slots(part, block_size)
        # Where a new block begins, its first token goes to the end of the one before.
        if len(part.tokens) == 1 and part.first and part.first % block_size == 0:
            return [part.blocks[part.first // block_size - 1] * block_size + block_size - 1]
        return found


class _StaleLastBlock(Llama):
    def keys(self, part: Part, block_size: int) -> list[int]:
        found = super().keys(part, block_size)
        # A kernel that takes whole blocks only: the rest of the last one is not read.
        whole = len(found) // block_size * block_size
        return found[:whole] + found[whole - 1 : whole] * (len(found) - whole) if whole > block_size else found


class _NeighboursTable(Llama):
    def keys(self, part: Part, block_size: int) -> list[int]:
        found = super().keys(part, block_size)
        first = part.blocks[0]
        return [place + block_size if place // block_size == first else place for place in found]


class _ValuesNotWritten(Store):
    def write(self, layer: int, places: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
        self.numbers[layer, 0, places] = k
        self.numbers[layer, 1, places[: len(places) - 1]] = v[: len(places) - 1]


class _OneLayerNotWritten(Store):
    def write(self, layer: int, places: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
        if layer == 3 and len(places) == 1:
            return
        super().write(layer, places, k, v)


class _LayersMixed(Store):
    def read(self, layer: int, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        k, v = super().read(layer, places)
        return (k, super().read(4, places)[1]) if layer == 5 else (k, v)


class _KvInEightBits(Store):
    def write(self, layer: int, places: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
        k, v = (found.to(torch.float8_e4m3fn).to(found.dtype) for found in (k, v))
        super().write(layer, places, k, v)


class _OneBlockTooFew(Store):
    """The last block is that of the first: a pool that counts one block more than there is memory for."""

    def __init__(self, shape: Shape, dtype: torch.dtype, device: str) -> None:
        super().__init__(shape, dtype, device)
        self.size = (shape.blocks - 1) * shape.block_size

    def write(self, layer: int, places: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
        super().write(layer, places % self.size, k, v)

    def read(self, layer: int, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return super().read(layer, places % self.size)


class _HeadsSwapped(Llama):
    def attend(self, layer, q, groups, store):  # type: ignore[no-untyped-def]
        return super().attend(layer, q.flip(1) if len(groups) > 1 else q, groups, store)


BROKEN = (
    variant("block_lost", "A long prompt's second block is lost: the first is read in its place.", llama=_BlockLost),
    variant("table_off", "The block table is read from its second entry on.", llama=_TableOff),
    variant("blocks_swapped", "The first two blocks are read in each other's place.", llama=_TwoBlocksSwapped),
    variant("last_token_overwritten", "The token that begins a new block overwrites the end of the one before.",
            llama=_LastTokenOverwritten),
    variant("partial_block_unread", "Of a last block that is not full only stale numbers are read.",
            llama=_StaleLastBlock),
    variant("neighbours_block", "The first block is read from the neighbour in memory.", llama=_NeighboursTable),
    variant("values_unwritten", "The last value of each step is not written.", store_class=_ValuesNotWritten),
    variant("layer_unwritten", "One layer is not written when one request generates alone.",
            store_class=_OneLayerNotWritten),
    variant("layers_mixed", "The last layer reads the values of the layer before.", store_class=_LayersMixed),
    variant("kv_in_eight_bits", "The cache is kept in fp8 though nobody asked for it.", store_class=_KvInEightBits),
    variant("one_block_too_few", "Two block numbers share one piece of memory.", store_class=_OneBlockTooFew),
    variant("heads_swapped", "Query heads are reversed in steps that mix prompts and generation.", llama=_HeadsSwapped),
)  # fmt: skip
