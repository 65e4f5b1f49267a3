"""How much of an image is read at most. An image is a stranger's file: each bound ends in one clear line."""

from __future__ import annotations

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
