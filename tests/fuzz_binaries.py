"""Fuzz target for what reads ELF files and GPU code: python -m tests.fuzz_binaries COUNT [SEED] [FILE...].

Each input is a real file with damage: bytes, lengths, offsets, a cut. Whatever the damage, the readers return or raise
ReadError, within 2 s of processor time an input and within 1 GB of address space for all. Prints how many gave what.
"""

from __future__ import annotations

import random
import resource
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

from pytest_trtcheck.binaries.closure import Process
from pytest_trtcheck.binaries.gpucode import read_gpu_code
from pytest_trtcheck.binaries.objects import is_relocated, read_object
from pytest_trtcheck.probe.ldso import LoaderSearch
from pytest_trtcheck.probe.root import ReadError, Root

DATA = Path(__file__).parent / "data" / "binaries"
ADDRESS_SPACE_BYTES = 1 << 30
SECONDS_EACH = 2
_VALUES = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0xFFFF, 1 << 16, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
_WIDE = (*_VALUES, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return the file with one to six pieces of damage, mostly where its tables are."""
    buffer = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        near = chance.choice((64, 1024, len(buffer), len(buffer)))
        at = chance.randrange(max(1, min(near, len(buffer)) - 8))
        if chance.random() < 0.3:
            at = max(0, len(buffer) - 8 - chance.randrange(min(2048, max(1, len(buffer) - 8))))
        how = chance.randrange(5)
        if how == 0:
            buffer[at] = chance.randrange(256)
        elif how == 1:
            buffer[at : at + 4] = chance.choice(_VALUES).to_bytes(8, "little")[:4]
        elif how == 2:
            buffer[at : at + 8] = chance.choice(_WIDE).to_bytes(8, "little")
        elif how == 3:
            buffer[at : at + 8] = (chance.randrange(len(buffer) + 64)).to_bytes(8, "little")
        elif chance.random() < 0.3:
            del buffer[chance.randrange(len(buffer)) :]
    return bytes(buffer)


def judge(root: Root, path: str) -> str:
    """Read one file in every way; return what came of it."""
    words = []
    try:
        shared = read_object(root, path)
        names = [one.name for one in shared.symbols.imports]
        is_relocated(root, shared, shared.symbols.imports)
        for name in (*names, *shared.symbols.exported()[:2000]):
            shared.symbols.defines(name, "X_1")
            shared.symbols.nodes_of(name)
        words.append("object")
    except ReadError:
        words.append("no object")
    try:
        code = read_gpu_code(root, path, is_deep=True)
        words.append("code" if code.groups else "no code")
    except ReadError:
        words.append("no code")
    load = Process(root, LoaderSearch(()), {}).open(path)
    words.append("loads" if load.loads else "fails")
    return ", ".join(words)


def run(count: int, seed: int, files: list[Path]) -> Counter[str]:
    """Return what came of ``count`` damaged files; raises whatever a reader raises by mistake."""
    chance, came = random.Random(seed), Counter[str]()
    seeds = [file.read_bytes() for file in files]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.so")
        for number in range(count):
            path.write_bytes(damaged(chance.choice(seeds), chance))
            signal.setitimer(signal.ITIMER_PROF, SECONDS_EACH)
            try:
                came[judge(Root(folder), "/x.so")] += 1
            except BaseException:
                kept = Path(tempfile.gettempdir(), f"fuzz-{seed}-{number}.bin")
                kept.write_bytes(path.read_bytes())
                sys.stderr.write(f"input {number} of seed {seed}, kept as {kept}\n")
                raise
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
    return came


def _took_too_long(*_: object) -> None:
    raise TimeoutError(f"one input took more than {SECONDS_EACH} s of processor time")


def main() -> None:
    """Run with limits on memory and on the time of each input."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    signal.signal(signal.SIGPROF, _took_too_long)
    count, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    files = [Path(name) for name in sys.argv[3:]] or sorted(DATA.glob("*.*"))
    for words, number in sorted(run(count, seed, files).items()):
        sys.stdout.write(f"{number:6} {words}\n")


if __name__ == "__main__":
    main()
