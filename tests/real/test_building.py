"""How the venvs of real stacks are found, made and kept, without any download."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real import conftest as real
from tests.venvs import Venv

SHIM = "#!/bin/sh\necho 'pyenv: python3.10: command not found' >&2\nexit 127\n"


@pytest.fixture
def no_python310(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Only a shim on PATH, and no pyenv."""
    shim = tmp_path / "shims" / "python3.10"
    shim.parent.mkdir()
    shim.write_text(SHIM, encoding="utf-8")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr("sys.executable", str(tmp_path / "no-python"))
    return shim


def test_shim_that_does_not_work_is_no_python(no_python310: Path) -> None:
    assert str(no_python310) in set(real.candidates())
    assert real.find_python310.__wrapped__() is None


def test_pyenv_versions_are_looked_at(no_python310: Path, tmp_path: Path) -> None:
    python = tmp_path / "pyenv" / "versions" / "3.10.13" / "bin" / "python3.10"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    python.chmod(0o755)
    assert real.find_python310.__wrapped__() == str(python)


def test_finished_stack_is_used_again_and_a_changed_one_is_not(tmp_path: Path) -> None:
    wanted = real.REAL_STACKS["torch-cpu"]
    assert not real.is_stamped(tmp_path, real.stack_stamp(wanted))
    real.stamp(tmp_path, real.stack_stamp(wanted))
    assert real.is_stamped(tmp_path, real.stack_stamp(wanted))
    assert not real.is_stamped(tmp_path, real.stack_stamp(real.RealStack(("torch==2.12.0",))))


def test_copy_by_links_shares_files_and_leaves_the_stamps_behind(tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "lib").mkdir(parents=True)
    (base / "lib" / "large.so").write_bytes(b"large")
    real.stamp(base, "base")
    copy = real.hard_linked_copy(Venv(base), tmp_path / "copy").folder
    assert (copy / "lib" / "large.so").samefile(base / "lib" / "large.so")
    assert not real.is_stamped(copy, "base")
