"""Libraries that are thinned for a trip keep the code of one architecture to the byte, and their layout."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.thin import thin
from pytest_trtcheck.binaries.gpucode import read_gpu_code
from pytest_trtcheck.probe.root import Root

DATA = Path(__file__).parents[1] / "data" / "binaries"


def thinned(name: str, folder: Path) -> tuple[bytes, bytes, tuple[int, int]]:
    """Return a file before and after, and the bytes that were blanked and kept."""
    path = Path(shutil.copy(DATA / name, folder))
    done = thin(path, 90)
    return (DATA / name).read_bytes(), path.read_bytes(), done


def test_only_the_wanted_architecture_keeps_its_code(tmp_path: Path) -> None:
    before, after, (blanked, kept) = thinned("linked.so", tmp_path)
    assert len(after) == len(before)
    assert min(blanked, kept) > 500
    changed = [at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert all(after[at] == 0 for at in changed)
    assert 5000 < len(changed) <= blanked < len(before)
    root = Root("/")
    assert read_gpu_code(root, str(tmp_path / "linked.so")) == read_gpu_code(root, str(DATA / "linked.so"))
    assert thin(tmp_path / "linked.so", 90) == (blanked, kept)


def test_ptx_stays_where_there_is_no_code_for_the_architecture(tmp_path: Path) -> None:
    _, kept_of_older = thinned("relocatable.so", tmp_path)[2]
    assert kept_of_older > 100
    _, after, _ = thinned("none.fatbin", tmp_path)
    assert (DATA / "sm_90a.cubin").read_bytes()[64:900] in after
    assert b".version" not in after


def test_cubins_that_lie_bare_are_found(tmp_path: Path) -> None:
    other, wanted = (DATA / "sm_75.cubin").read_bytes(), (DATA / "sm_90a.cubin").read_bytes()
    path = tmp_path / "resource.so"
    path.write_bytes(b"x" * 100 + other + b"y" * 20 + wanted + b"z")
    blanked, kept = thin(path, 90)
    after = path.read_bytes()
    assert after[:100] == b"x" * 100
    assert after[100:164] == other[:64]
    assert after[164 : 100 + len(other)] == bytes(len(other) - 64)
    assert after[100 + len(other) :] == b"y" * 20 + wanted + b"z"
    assert (blanked, kept) == (len(other) - 64, len(wanted) - 64)
