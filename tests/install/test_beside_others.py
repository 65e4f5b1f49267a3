"""Installing the tool must not change the image it checks, down to the lowest releases that it allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakeroot import elf_bytes
from tests.install.conftest import Installation

pytestmark = pytest.mark.install

both = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["in_process", "xdist"])


def test_installing_adds_the_tool_and_changes_nothing(lowest: Installation) -> None:
    assert {"pytest", "pytest-xdist", "packaging"} <= lowest.before.keys()
    assert lowest.before.items() <= lowest.after.items()
    assert lowest.after.keys() - lowest.before.keys() == {"pytest-trtcheck"}


@both
def test_broken_stack_is_rejected_with_the_lowest_releases(
    lowest: Installation, rejected_stack: Path, workers: tuple[str, ...]
) -> None:
    run = lowest.venv.trtcheck("--trtcheck-level=static", *workers, folder=rejected_stack)
    assert run.status == 1, run.stdout
    assert run.results()["TRC-DNN-001-tensorrt"] == ("failed", None)
    assert (rejected_stack / "trtcheck-report" / "TEST-trtcheck.xml").stat().st_size > 0


def test_libraries_are_read_with_the_lowest_releases(lowest: Installation, tmp_path: Path) -> None:
    library = tmp_path / "lib" / "libcudnn.so.9"
    library.parent.mkdir()
    library.write_bytes(elf_bytes(soname="libcudnn.so.9", needed=["libc.so.6"]))
    run = lowest.venv.trtcheck(folder=tmp_path, LD_LIBRARY_PATH=str(library.parent))
    copies = {copy["path"]: copy for copy in run.fact("cudnn")["copies"]}
    assert copies[str(library)]["soname"] == "libcudnn.so.9"
    assert copies[str(library)]["needed"] == ["libc.so.6"]
    assert run.fact("gpu")["reason"] != ""
