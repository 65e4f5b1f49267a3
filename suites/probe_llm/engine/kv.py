"""Blocks of the KV cache: who owns which, which hold a prompt's beginning, and the numbers in them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch

Key = tuple[object, ...]
"""What a full block can be found by: everything that its numbers depend on."""


@dataclass(frozen=True)
class Shape:
    """What the cache has to hold."""

    layers: int
    heads: int
    """Of keys and values."""
    head_size: int
    blocks: int
    block_size: int
    """Tokens in a block."""


class Store:
    """Keys and values of every layer, ``[blocks * block_size, heads, head_size]`` each; rotated before they come here.

    A quantized cache overrides ``write`` and ``read``.
    """

    def __init__(self, shape: Shape, dtype: torch.dtype, device: str) -> None:
        self.block_size = shape.block_size
        size = (shape.layers, 2, shape.blocks * shape.block_size, shape.heads, shape.head_size)
        self.numbers = torch.zeros(size, dtype=dtype, device=device)

    def write(self, layer: int, places: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
        """Put keys and values ``[tokens, heads, head_size]`` at places ``[tokens]``."""
        self.numbers[layer, 0, places] = k
        self.numbers[layer, 1, places] = v

    def read(self, layer: int, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values at places ``[sequences, tokens]``, ``[sequences, tokens, heads, head_size]`` each."""
        return self.numbers[layer, 0, places], self.numbers[layer, 1, places]

    def copy(self, source: int, target: int) -> None:
        """Copy a block to another, in every layer."""
        size = self.block_size
        at = slice(source * size, (source + 1) * size)
        self.numbers[:, :, target * size : (target + 1) * size] = self.numbers[:, :, at]


class Pool:
    """Hands out blocks. A block has as many users as sequences hold it; without users it is free.

    With ``reuse``, a full block is published under a key. When its last user leaves, it stays findable until it is
    needed for something else; the one that was left longest ago goes first.
    """

    def __init__(self, blocks: int, *, reuse: bool) -> None:
        self.reuse = reuse
        self.users = [0] * blocks
        self._free = list(reversed(range(blocks)))
        self._left: OrderedDict[int, None] = OrderedDict()
        self._by_key: dict[Key, int] = {}
        self._keys: dict[int, Key] = {}

    @property
    def size(self) -> int:
        """Blocks in all."""
        return len(self.users)

    @property
    def available(self) -> int:
        """Blocks that nobody uses."""
        return len(self._free) + len(self._left)

    def take(self) -> int:
        """Return a block for one user. The caller has looked at ``available``."""
        if self._free:
            block = self._free.pop()
        else:
            block, _ = self._left.popitem(last=False)
            del self._by_key[self._keys.pop(block)]
        self.users[block] = 1
        return block

    def share(self, block: int) -> None:
        """Count one more user of a block."""
        self._left.pop(block, None)
        self.users[block] += 1

    def release(self, block: int) -> None:
        """Count one user less; without users a block is free, and stays findable where it was published."""
        self.users[block] -= 1
        if self.users[block]:
            return
        if block in self._keys:
            self._left[block] = None
        else:
            self._free.append(block)

    def publish(self, block: int, key: Key) -> None:
        """Let a full block be found by a key; the first one stays."""
        if self.reuse and key not in self._by_key and block not in self._keys:
            self._by_key[key] = block
            self._keys[block] = key

    def find(self, key: Key) -> int | None:
        """Return the block of a key."""
        return self._by_key.get(key) if self.reuse else None
