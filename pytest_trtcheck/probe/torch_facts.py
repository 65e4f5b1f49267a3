"""What torch and TensorRT were built for, read as text from their packages; nothing is imported."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_trtcheck.model.facts import Fact, State
from pytest_trtcheck.probe.root import MissingError, ReadError, Root

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_trtcheck.probe.distinfo import InstalledPython

LIBC10_LIMIT_BYTES = 64 << 20

_CUDA_LINE = re.compile(r"^cuda\s*(?::[^=\n]*)?=\s*(?:None|['\"]([0-9][0-9.]*)['\"])\s*$", re.MULTILINE)
_ABI_FLAG = re.compile(r"_GLIBCXX_USE_CXX11_ABI=([01])")
_FAMILY = re.compile(r"tensorrt-cu(\d+)(?:-libs|-bindings)?")
_REQUIRED_CUDA = re.compile(r"nvidia-(?:cuda-runtime|cublas|cudnn)-cu(\d+)\b")


def torch_cuda(root: Root, python: InstalledPython) -> Fact:
    """Return the CUDA version that torch was built for, ``none`` for a build without CUDA."""
    return _from_torch(root, python, "torch_cuda", _cuda_of)


def torch_cxx11_abi(root: Root, python: InstalledPython) -> Fact:
    """Return ``on`` or ``off``: whether torch's C++ interface uses the new string type of libstdc++."""
    return _from_torch(root, python, "torch_cxx11_abi", _abi_of)


def tensorrt_package_cuda(python: InstalledPython) -> Fact:
    """Return the CUDA major that the TensorRT wheels are for, from their names or what they require."""
    key = "tensorrt_package_cuda"
    majors = {match[1]: dist for dist in python.distributions if (match := _FAMILY.fullmatch(dist.name))}
    if majors:
        newest = max(majors, key=int)
        details = {"majors": sorted(majors, key=int)}
        return Fact(key, State.FOUND, newest, majors[newest].path, "distribution name", details=details)
    for dist in python.named("tensorrt"):
        for line in dist.requires:
            if match := _REQUIRED_CUDA.match(line):
                return Fact(key, State.FOUND, match[1], dist.path, "Requires-Dist")
    return Fact(key, State.ABSENT, reason="no distribution tensorrt-cuNN, and none that says its CUDA major")


def _from_torch(
    root: Root, python: InstalledPython, key: str, read: Callable[[Root, str], tuple[str, str, str]]
) -> Fact:
    dists = python.named("torch")
    if not dists:
        return Fact(key, State.ABSENT, reason="torch is not installed")
    try:
        value, where, how = read(root, f"{dists[0].path.rpartition('/')[0]}/torch")
    except ReadError as error:
        return Fact(key, State.UNREADABLE, reason=str(error))
    return Fact(key, State.FOUND, value, where, how)


def _cuda_of(root: Root, folder: str) -> tuple[str, str, str]:
    path = f"{folder}/version.py"
    match = _CUDA_LINE.search(root.read_text(path))
    if not match:
        raise ReadError(path, "expected a line such as cuda = '13.0', found none")
    return match[1] or "none", path, "text of version.py"


def _abi_of(root: Root, folder: str) -> tuple[str, str, str]:
    path = f"{folder}/share/cmake/Torch/TorchConfig.cmake"
    try:
        match = _ABI_FLAG.search(root.read_text(path))
    except MissingError:
        match = None
    if match:
        return "on" if match[1] == "1" else "off", path, "flag in TorchConfig.cmake"
    # Builds of 2026 no longer write the flag. Mangled names of libc10 tell: the new string type is __cxx11.
    path = f"{folder}/lib/libc10.so"
    names = root.read_bytes(path, LIBC10_LIMIT_BYTES)
    return "on" if b"__cxx11" in names else "off", path, "symbol names in libc10.so"
