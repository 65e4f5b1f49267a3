"""Images broken at random: each is read or refused in one line, in bounded time; anything else is a fault.

``python -m tests.image.fuzz [COUNT] [SEED]`` runs more of them than the tests do, and prints the seed of each fault.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

from pytest_trtcheck.errors import ImageError
from pytest_trtcheck.image.facts import probe_image
from pytest_trtcheck.image.opened import open_image
from pytest_trtcheck.image.target import Target
from pytest_trtcheck.rules.load import load_matrix
from tests.image.listing import listing
from tests.images import PACKERS, Built, digest, entry, link, serving_tree, tar, tar_of

BLOCK = 512
MOST_SECONDS = 20.0
"""For one input of 100 kB, on a machine that does other work: what hangs takes for ever."""
_FIELDS = ((0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155), (482, 1))


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Return the data with one to four things wrong."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        kind = chance.choice(("flip", "cut", "header", "header", "header", "swap", "double", "zeros", "text"))
        at = chance.randrange(max(1, len(changed)))
        block = at - at % BLOCK
        if kind == "flip" and changed:
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == "cut":
            del changed[at:]
        elif kind == "header" and len(changed) >= block + BLOCK:
            start, size = chance.choice(_FIELDS)
            changed[block + start : block + start + size] = _nonsense(chance, size)
            _mend(changed, block)
        elif kind == "swap":
            other = chance.randrange(max(1, len(changed))) // BLOCK * BLOCK
            one, two = changed[block : block + BLOCK], changed[other : other + BLOCK]
            if len(one) == len(two):
                changed[block : block + BLOCK], changed[other : other + BLOCK] = two, one
        elif kind == "double":
            changed[block:block] = changed[block : block + BLOCK * chance.randint(1, 5)]
        elif kind == "zeros":
            changed[block : block + BLOCK] = bytes(len(changed[block : block + BLOCK]))
        elif kind == "text":
            changed[at : at + 20] = chance.choice((b"../" * 6, b"/.wh..wh..opq\0", b"\xff" * 20, b'{"a":' * 4))
    return bytes(changed)


def _nonsense(chance: random.Random, size: int) -> bytes:
    return chance.choice(
        (
            chance.randbytes(size),
            (b"../" * 60)[:size],
            b"7" * (size - 1) + b"\0",
            b"\x80" + bytes(size - 1),
            b"\xff" * size,
            bytes(size),
            bytes([chance.choice(b"01234567xgLKSVD")]) * size,
            b"lib"[:size].ljust(size, b"\0"),
        )
    )[:size]


def _mend(data: bytearray, at: int) -> None:
    """Make the checksum right, or the field before it would not be looked at."""
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = f"{sum(data[at : at + BLOCK]):06o}\0 ".encode()


def image(chance: random.Random, layer: bytes, path: Path) -> Path:
    """Write an image with something wrong: in a layer, in its packing, in the archive, or in the documents."""
    packed = chance.choice(list(PACKERS))
    where = chance.choice(("layer", "layer", "packed", "archive", "manifest"))
    layers = [layer, mutate(layer, chance)] if where == "layer" else [layer]
    stored = [PACKERS[packed](one) for one in layers]
    if where == "packed":
        stored = [mutate(one, chance) for one in stored]
    config = Built(layers).config
    manifest = json.dumps(
        [{"Config": f"{digest(config)}.json", "RepoTags": None, "Layers": [f"{n}.tar" for n, _ in enumerate(stored)]}]
    ).encode()
    if where == "manifest":
        manifest = mutate(manifest, chance)
    entries = [entry(f"{number}.tar", one) for number, one in enumerate(stored)]
    entries += [entry(f"{digest(config)}.json", config), entry("manifest.json", manifest), link("x", "y")]
    archive = tar(*entries)
    archive = mutate(archive, chance) if where == "archive" else archive
    path.write_bytes(PACKERS[chance.choice(("plain", "plain", "gzip"))](archive))
    return path


def fault_of(seed: int, layer: bytes, folder: Path) -> str:
    """Return what is wrong with the answer to one broken image; empty when nothing is."""
    path = image(random.Random(seed), layer, folder / "image.tar")
    started = time.monotonic()
    try:
        with open_image(str(path)) as opened:
            found = listing(opened.root)
            stack = probe_image(opened, Target(), load_matrix(()))
    except ImageError as error:
        words = str(error)
        return "" if words.isprintable() and len(words) < 2000 else f"seed {seed}: no clear line: {words!r}"
    except Exception:  # noqa: BLE001 - this is what is looked for
        return f"seed {seed}: {traceback.format_exc()}"
    if time.monotonic() - started > MOST_SECONDS:
        return f"seed {seed}: {time.monotonic() - started:.0f} s"
    if any(".." in name.split("/") for name in found):
        return f"seed {seed}: a name that leaves the image"
    failed = [fact.reason for fact in stack.facts.values() if "probe failed" in fact.reason]
    return f"seed {seed}: {failed[0]}" if failed else ""


def faults(count: int, first: int = 0) -> list[str]:
    """Return the faults of that many broken images."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        layer = tar_of(serving_tree(folder / "root"))
        found = (fault_of(seed, layer, folder) for seed in range(first, first + count))
        return [fault for fault in found if fault]


def main() -> None:
    given = list(map(int, sys.argv[1:]))
    count, first = (*given, *(2000, 0)[len(given) :])
    found = faults(count, first)
    print("\n".join(found) or f"{count} broken images from seed {first} on: each was read or refused in one line")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
