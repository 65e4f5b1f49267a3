"""Shared objects of real wheels: downloaded once, unpacked without installing, put together into a site folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

from tests.venvs import CHECKOUT, clean_env

# Wheels of one Python serve all: what is opened here names no Python in its needs, or is opened by that Python.
PYTHON = "3.11"
_PLATFORMS = (
    "manylinux1",
    "manylinux2010",
    "manylinux2014",
    *(f"manylinux_2_{minor}" for minor in (17, 24, 27, 28, 31, 34)),
)


def unpacked(requirement: str) -> Path:
    """Return the folder with the shared objects of a wheel, ``torchvision==0.28.0``; other files are left out."""
    store = Path(os.environ.get("TRTCHECK_REAL_STACKS") or CHECKOUT / ".real-stacks") / "wheels"
    store.mkdir(parents=True, exist_ok=True)
    folder = store / requirement.replace("==", "-")
    with (store / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(requirement, store / "download", folder)
    return folder


def _fetch(requirement: str, download: Path, folder: Path) -> None:
    shutil.rmtree(download, ignore_errors=True)
    platforms = [f"--platform={name}_x86_64" for name in _PLATFORMS]
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary=:all:", f"--python-version={PYTHON}", *platforms, f"--dest={download}", requirement,
    ]  # fmt: skip
    done = subprocess.run(command, env=clean_env(), capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, f"{requirement}: {done.stderr}"
    partial = download / "unpacked"
    for wheel in download.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(partial, [name for name in archive.namelist() if ".so" in Path(name).name])
        wheel.unlink()
    partial.rename(folder)


def site_of(target: Path, folders: Iterable[Path]) -> Path:
    """Return ``target`` as a site folder with the packages of several folders, by links; the later folder wins.

    The loader takes ``$ORIGIN`` from the path it is given, so what lies side by side here is found there.
    """
    for folder in folders:
        for package in folder.iterdir():
            parts = package.iterdir() if package.name == "nvidia" and package.is_dir() else [package]
            for part in parts:
                link = target / part.relative_to(folder)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.unlink(missing_ok=True)
                link.symlink_to(part)
    return target
