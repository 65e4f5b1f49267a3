"""Judging images beside ``cat`` of the same bytes: ``python -m bench.images [--gigabytes 10] [--files 200000]``.

Archives are made in a temporary folder and deleted again; a plain one takes a twentieth of its size on disk, packed
ones, of ``--packed-gigabytes`` unpacked, about a third each. What is timed is a whole ``pytest --trtcheck`` run with
reports, start-up included. Everything lies in the page cache: ``cat`` never waits for a disk.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.measure import Timing, in_turns, machine, table
from bench.synthetic_image import python_files
from tests.images import serving_tree

TARGET = ("--trtcheck-target-gpu=H100,L40S", "--trtcheck-target-driver=580.65.06")
LEAST_OF_CAT, MOST_MEGABYTES, MOST_FOLDER_SECONDS = 0.6, 400, 20


def _ours(image: Path, report: Path) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--trtcheck", *TARGET,
            f"--trtcheck-image={image}", f"--trtcheck-report={report}"]  # fmt: skip


def _made(kind: str, path: Path, gigabytes: float) -> Path:
    """Make an image in a process of its own: what this one takes counts as memory of each that it starts."""
    subprocess.run([sys.executable, "-m", "bench.synthetic_image", kind, path, str(gigabytes)], check=True)
    return path


def _shell(command: str, files: Sequence[Path]) -> list[str]:
    return ["sh", "-c", f"{command} {shlex.join(map(str, files))} > /dev/null"]


def _timed(commands: Mapping[str, Sequence[str]], runs: int, folder: Path) -> dict[str, Timing]:
    timings = in_turns(commands, runs=runs, folder=folder, statuses=(0, 1, 10))
    print(table(timings))
    return timings


def _told(what: str, ours: Timing, cat: Timing, stored: int) -> None:
    ratio = cat.median / ours.median
    print(
        f"{what}: {stored / 1e9 / ours.median:.2f} GB/s, {ratio:.2f} of cat's speed (aim: {LEAST_OF_CAT}), "
        f"peak {statistics.median(ours.peak_bytes) / 1e6:.0f} MB (aim: under {MOST_MEGABYTES})\n"
    )


def plain(gigabytes: float, runs: int, folder: Path) -> None:
    """Time a ``docker save`` archive with plain layers."""
    path = _made("plain", folder / "plain.tar", gigabytes)
    size, disk = path.stat().st_size, path.stat().st_blocks * 512
    print(f"docker archive, plain layers: {size / 1e9:.1f} GB, {disk / 1e9:.2f} GB of it on disk")
    commands = {"judged": _ours(path, folder / "report"), "cat": _shell("cat", [path])}
    ours, cat = _timed(commands, runs, folder).values()
    _told("plain", ours, cat, size)
    path.unlink()


def packed(name: str, gigabytes: float, runs: int, folder: Path) -> None:
    """Time an OCI layout with packed layers, also beside the tool that unpacks them."""
    path = _made(name, folder / name, gigabytes)
    blobs = sorted(path.glob("blobs/sha256/*"), key=lambda blob: blob.stat().st_size)
    size = sum(blob.stat().st_size for blob in blobs)
    print(f"OCI layout, {name} layers: {size / 1e9:.2f} GB, {gigabytes:.1f} GB unpacked")
    commands = {"judged": _ours(path, folder / "report"), "cat": _shell("cat", blobs)}
    if shutil.which(name):
        # The two smallest blobs are the manifest and the config.
        commands[f"{name} -dc"] = _shell(f"{name} -dc", blobs[2:])
    ours, cat, *unpacker = _timed(commands, runs, folder).values()
    _told(name, ours, cat, size)
    for timing in unpacker:
        print(f"{name}: {timing.median / ours.median:.2f} of the speed of {name} -dc\n")
    shutil.rmtree(path)


def root_folder(files: int, runs: int, folder: Path) -> None:
    """Time a root with many files beside ``find``."""
    tree = serving_tree(folder / "root")
    for path, data in python_files():
        tree.file(path, data)
    for number in range(files // 500):
        package = tree.host(f"/usr/lib/python3/package{number % 400}/part{number}")
        package.mkdir(parents=True)
        for module in range(500):
            (package / f"module{module}.py").touch()
    print(f"root folder: {files} files")
    commands = {"judged": _ours(tree.path, folder / "report"), "find": _shell("find", [tree.path])}
    ours, _ = _timed(commands, runs, folder).values()
    print(
        f"root folder: {ours.median:.1f} s (aim: under {MOST_FOLDER_SECONDS}), "
        f"peak {statistics.median(ours.peak_bytes) / 1e6:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=10, help="size of the plain archive (%(default)s)")
    parser.add_argument("--packed-gigabytes", type=float, default=2, help="unpacked size of the others (%(default)s)")
    parser.add_argument("--files", type=int, default=200_000, help="files of the root folder (%(default)s)")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.gigabytes:
            plain(options.gigabytes, options.runs, folder)
        for packing in ("gzip", "zstd") if options.packed_gigabytes else ():
            packed(packing, options.packed_gigabytes, options.runs, folder)
        if options.files:
            root_folder(options.files, options.runs, folder)


if __name__ == "__main__":
    main()
