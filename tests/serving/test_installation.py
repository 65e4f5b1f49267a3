"""What a wheel's server is given to run models in, without starting one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_trtcheck._suites.serving.installation import Installation, UnusableError


def wheel(folder: Path, numpy: str = "") -> Installation:
    """Return an unpacked wheel with its stub, and with NumPy beside it where a release is given."""
    home = folder / "pytriton" / "tritonserver"
    (home / "python_backend_stubs").mkdir(parents=True)
    if numpy:
        (folder / "numpy").mkdir()
        (folder / "numpy" / "__init__.py").write_text(f"__version__ = {numpy!r}\n")
        (folder / f"numpy-{numpy}.dist-info").mkdir()
        (folder / f"numpy-{numpy}.dist-info" / "METADATA").write_text(f"Name: numpy\nVersion: {numpy}\n")
    return Installation(home, "PATH", "2.51.0", ("python",))


def imported(programs: Path, names: str) -> list[str]:
    """Return where the Python of this folder finds modules, the environment kept from it as the stub keeps it."""
    program = f"import {names}\nfor module in ({names},): print(module.__file__)"
    told = subprocess.run([programs / "python3", "-I", "-c", program], capture_output=True, text=True, check=True)
    return told.stdout.split()


def test_models_of_a_wheel_import_what_was_installed_with_it_and_then_what_this_python_has(tmp_path: Path) -> None:
    (tmp_path / "wheel").mkdir()
    (tmp_path / "private").mkdir()
    environment = wheel(tmp_path / "wheel", "1.26.4").environment(tmp_path / "private", {"PATH": "/usr/bin"})
    programs = Path(environment["PATH"].split(":")[0])
    ours, numpy, pytest_ = imported(programs, "pytest_trtcheck, numpy, pytest")
    assert ours.startswith(str(tmp_path / "private"))
    assert numpy == str(tmp_path / "wheel" / "numpy" / "__init__.py")
    assert pytest_ == pytest.__file__


@pytest.mark.parametrize("numpy", ["2.0.0", "2.4.6"])
def test_a_numpy_that_the_server_cannot_read_is_named_before_it_starts(tmp_path: Path, numpy: str) -> None:
    (tmp_path / "wheel").mkdir()
    (tmp_path / "private").mkdir()
    words = (
        rf"tritonserver 2\.51\.0 takes arrays of NumPy 2 for empty, and models would import NumPy {numpy}: pip install"
    )
    with pytest.raises(UnusableError, match=words):
        wheel(tmp_path / "wheel", numpy).environment(tmp_path / "private", {})


def test_a_server_of_an_image_is_left_its_own_python(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    environment = Installation(tmp_path, "/opt/tritonserver", "2.51.0", ()).environment(
        tmp_path / "private", {"PATH": "/usr/bin"}
    )
    assert environment["PATH"] == "/usr/bin"
    assert environment["PYTHONPATH"] == str(tmp_path / "private" / "modules")
