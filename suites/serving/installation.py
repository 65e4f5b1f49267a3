"""Which tritonserver is here, and what it takes to start it."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_trtcheck
from pytest_trtcheck.model.versions import PackageVersion

if TYPE_CHECKING:
    from pytest_trtcheck.model.facts import Fact

HOW_TO_GET_ONE = (
    "run in an image that has /opt/tritonserver, put tritonserver on PATH, or pip install 'pytest-trtcheck[serving]'"
)

TAKES_NUMPY_2 = "2.52.0"
"""The first release whose Python backend reads arrays of NumPy 2: before it they seem to have no bytes.

Source: triton-inference-server/python_backend, pull request 384, in release 24.11."""

_PACKAGES = re.compile(r"(site|dist)-packages/?$")
_WHEEL_PROGRAMS = "pytriton/tritonserver/bin"
_STUBS = "python_backend_stubs"
_STUB = "triton_python_backend_stub"


class UnusableError(Exception):
    """There is a server, and it cannot be started here; the words say why and what helps."""


@dataclass(frozen=True)
class Installation:
    """One server on disk."""

    home: Path
    found_by: str
    """``/opt/tritonserver``, ``PATH`` or ``nvidia-pytriton wheel``."""
    version: str | None
    backends: tuple[str, ...]

    @property
    def program(self) -> Path:
        """The server's program."""
        return self.home / "bin" / "tritonserver"

    @property
    def is_of_wheel(self) -> bool:
        """True for the server of the wheel nvidia-pytriton, wherever that was unpacked."""
        return (self.home / _STUBS).is_dir()

    @property
    def packages(self) -> Path:
        """Folder of the packages that the wheel was installed among."""
        return self.home.parent.parent

    @property
    def caches(self) -> Path:
        """Where response caches lie."""
        return self.home / "caches"

    def lay_out_backends(self, folder: Path) -> Path:
        """Return the folder to give as ``--backend-directory``; for the wheel's server, one made below ``folder``.

        The wheel keeps one Python stub for each release of Python, none of them where the backend looks for it.
        """
        installed = self.home / "backends"
        stub = self.home / _STUBS / "{}.{}".format(*sys.version_info) / _STUB
        if (installed / "python" / _STUB).is_file() or not self.is_of_wheel:
            return installed
        if not stub.is_file():
            have = sorted(entry.name for entry in stub.parent.parent.glob("3.*"))
            raise UnusableError(
                f"{self.home}: no Python stub for Python {sys.version_info[0]}.{sys.version_info[1]}; "
                f"it has {', '.join(have) or 'none'}: use one of these"
            )
        for backend in self.backends:
            made = folder / "backends" / backend
            made.mkdir(parents=True)
            for entry in (installed / backend).iterdir():
                if entry.is_file():
                    (made / entry.name).symlink_to(entry)
        (folder / "backends" / "python" / _STUB).symlink_to(stub)
        return folder / "backends"

    def environment(self, folder: Path, base: Mapping[str, str]) -> dict[str, str]:
        """Return the environment to start it in: models find this package, and for the wheel this Python's libraries.

        ``folder`` is where a link to this package is made: models in an image run in the image's own Python, which
        must not see the other packages of ours.
        """
        environment = {name: value for name, value in base.items() if not name.startswith("PYTEST_")}
        modules = folder / "modules"
        modules.mkdir(exist_ok=True)
        (modules / "pytest_trtcheck").symlink_to(Path(pytest_trtcheck.__file__).parent)
        _before(environment, "PYTHONPATH", str(modules))
        # Models compute next to each other and to the client: one thread each keeps a small machine responsive.
        environment.setdefault("OMP_NUM_THREADS", "1")
        if self.is_of_wheel:
            libraries = [self.packages / "nvidia_pytriton.libs", sysconfig.get_config_var("LIBDIR")]
            _before(environment, "LD_LIBRARY_PATH", *(str(entry) for entry in libraries if entry))
            _before(environment, "PATH", str(self._lay_out_python(folder, modules)))
        return environment

    def _lay_out_python(self, folder: Path, modules: Path) -> Path:
        """Make a Python environment below ``folder`` for the wheel's stub and return where its ``python3`` is.

        The stub finds its packages from the ``python3`` that comes first on PATH; from Python 3.11 on it does not look
        at PYTHONPATH. It gets our modules, then what was installed with the wheel, then the packages of this Python.
        """
        found = [str(modules), str(self.packages), *(entry for entry in sys.path if _PACKAGES.search(entry))]
        self._check_numpy(found)
        home = folder / "python"
        programs, packages = home / "bin", home / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"
        programs.mkdir(parents=True)
        packages.mkdir(parents=True)
        (programs / "python3").symlink_to(Path(sys.executable).resolve())
        told = f"home = {Path(sys.executable).resolve().parent}\ninclude-system-site-packages = false\n"
        (home / "pyvenv.cfg").write_text(told)
        (packages / "found.pth").write_text("".join(f"{entry}\n" for entry in found))
        return programs

    def _check_numpy(self, folders: Sequence[str]) -> None:
        """Raise UnusableError where models would import a NumPy that the wheel's server cannot read."""
        release = PackageVersion.try_parse(self.version)
        if release is None or release >= PackageVersion.parse(TAKES_NUMPY_2):
            return
        found = next((entry.version for entry in distributions(name="numpy", path=list(folders))), None)
        numpy = PackageVersion.try_parse(found)
        if numpy is not None and numpy >= PackageVersion.parse("2"):
            raise UnusableError(
                f"{self.home}: the Python backend of tritonserver {self.version} takes arrays of NumPy 2 for empty, "
                f"and models would import NumPy {found}: pip install 'numpy<2', or pip install --target DIR --no-deps "
                f"nvidia-pytriton 'numpy<2' and put DIR/{_WHEEL_PROGRAMS} on PATH"
            )


def _before(environment: dict[str, str], name: str, *entries: str) -> None:
    """Put folders before what a search path holds."""
    environment[name] = os.pathsep.join([*entries, *filter(None, [environment.get(name, "")])])


def installation_of(fact: Fact) -> Installation | None:
    """Return the server that the stack's fact names, the first found; None where there is none."""
    if not fact.is_found:
        return None
    return Installation(
        home=Path(str(fact.details["home"])),
        found_by=fact.copies[0].found_by,
        version=fact.value,
        backends=tuple(sorted(fact.details["backends"])),
    )
