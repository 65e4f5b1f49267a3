"""Import health inside a run: each library in a child process, a crash costs one check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.stacks import dist, stack

if TYPE_CHECKING:
    from tests.plugin.conftest import Trtcheck

both = pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["in_process", "xdist"])
INSTALLED = stack(onnx="1.20.0", polygraphy="0.49.0", dists=[dist("onnx", "1.20.0"), dist("polygraphy", "0.49.0")])


@both
def test_sound_and_crashing_libraries_side_by_side(
    trtcheck: Trtcheck, fake_module: Callable[[str, str], Path], workers: tuple[str, ...]
) -> None:
    trtcheck.judge(INSTALLED)
    fake_module("onnx", "print('noise on stdout')")
    fake_module("polygraphy", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    result = trtcheck.run(*workers)
    assert result.ret == 1
    assert trtcheck.results()["TRC-IMP-001-onnx"] == ("passed", None)
    assert trtcheck.results()["TRC-IMP-001-polygraphy"] == ("failed", None)
    finding = next(finding for finding in trtcheck.report["findings"] if finding["subject"] == "polygraphy")
    assert finding["components"] == ["polygraphy"]
    assert "SIGSEGV" in finding["found"]
    assert {outcome["module"] for outcome in trtcheck.report["stack"]["imports"]} == {"onnx", "polygraphy"}


def test_broken_import_is_failed_and_absent_library_is_not_planned(
    trtcheck: Trtcheck, fake_module: Callable[[str, str], Path]
) -> None:
    trtcheck.judge(INSTALLED)
    fake_module("onnx", "")
    fake_module(
        "polygraphy", "raise ImportError('libcudnn.so.8: cannot open shared object file: No such file or directory')"
    )
    assert trtcheck.run().ret == 1
    names = trtcheck.results()
    assert names["TRC-IMP-001-polygraphy"] == ("failed", None)
    assert not [name for name in names if "torch" in name]
    finding = next(finding for finding in trtcheck.report["findings"] if finding["subject"] == "polygraphy")
    assert finding["components"] == ["cudnn", "polygraphy"]


def test_level_static_imports_nothing_and_says_so(trtcheck: Trtcheck, fake_module: Callable[[str, str], Path]) -> None:
    trtcheck.judge(INSTALLED)
    marker = trtcheck.pytester.path / "imported"
    fake_module("onnx", f"open({str(marker)!r}, 'w')")
    trtcheck.run("--trtcheck-level=static")
    assert trtcheck.results()["TRC-IMP-001-onnx"] == ("not_run", "level")
    assert not marker.exists()


def test_deselected_imports_are_not_started(trtcheck: Trtcheck, fake_module: Callable[[str, str], Path]) -> None:
    trtcheck.judge(INSTALLED)
    marker = trtcheck.pytester.path / "imported"
    fake_module("onnx", "")
    fake_module("polygraphy", f"open({str(marker)!r}, 'w')")
    trtcheck.run("-k", "IMP-001-onnx")
    assert trtcheck.results()["TRC-IMP-001-onnx"] == ("passed", None)
    assert not marker.exists()
