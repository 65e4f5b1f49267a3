"""How much of an image is read at most. An image is a stranger's file: each bound ends in one clear line."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_trtcheck.errors import ImageError

MAX_LAYERS = 10_000
MAX_FILES = 2_000_000
"""Entries of all layers together."""
MAX_NAME_BYTES = 256 << 20
"""Characters of all names and link targets together."""
MAX_PATH = 4096
"""PATH_MAX of Linux: a longer name can be reached by nobody."""
MAX_DOCUMENT_BYTES = 16 << 20
"""Of a manifest, an index or a config; the largest of NGC's is below 100 kB."""
MAX_HEADER_BYTES = 1 << 20
"""Of one pax or long-name header."""

KEPT_BYTES = 160 << 20
"""What is kept in memory of packed layers, so that they need not be unpacked again."""

FREE_GROWTH_BYTES = 1 << 30
MAX_GROWTH = 200
"""Layers of CUDA images grow two to threefold when unpacked; zeros grow a thousandfold."""


def check_growth(name: str, *, packed: int, unpacked: int) -> None:
    """Raise ImageError for a stream that grows beyond all measure when it is unpacked."""
    if unpacked > FREE_GROWTH_BYTES + packed * MAX_GROWTH:
        raise ImageError(
            name,
            f"a decompression bomb: {packed} bytes gave {unpacked}, more than {MAX_GROWTH}-fold; it was not read on",
        )


@dataclass
class Budget:
    """What is left of an image's bounds. All its layers draw on one: ten thousand of them are no way around it."""

    files: int = field(default_factory=lambda: MAX_FILES)
    name_bytes: int = field(default_factory=lambda: MAX_NAME_BYTES)
    kept_bytes: int = field(default_factory=lambda: KEPT_BYTES)

    def count(self, where: str, name_bytes: int) -> None:
        """Take one entry with names of this length; ImageError when there is no room for it."""
        self.files -= 1
        self.name_bytes -= name_bytes
        if self.files < 0:
            raise ImageError(where, f"more than {MAX_FILES} files up to this layer; no more are read")
        if self.name_bytes < 0:
            raise ImageError(where, f"more than {MAX_NAME_BYTES} bytes of names up to this layer; no more are read")
