"""Which libraries of the stack the native parts of the stack ask for by SONAME (NEEDED entries)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import COMPONENTS
from pytest_trtcheck.probe.elf import read_elf
from pytest_trtcheck.probe.root import Kind, MissingError, ReadError, Root, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_MODULES = 6

_TABLE_LIBRARIES = frozenset(name for component in COMPONENTS for name in component.libraries)
_FURTHER_LIBRARIES = re.compile(
    r"lib(?:cuda|cufft|curand|cusolver|cusparse|cusparseLt|cufile|cupti|nvJitLink|nvshmem_host|nvparsers|mpi)\.so"
)
_BINDINGS = r"{0}(?:\..*)?\.so"

MODULES: dict[str, tuple[tuple[str, str], ...]] = {
    "tensorrt": tuple((folder, _BINDINGS.format("tensorrt")) for folder in ("tensorrt", "tensorrt_bindings")),
    "tensorrt_lean": tuple(
        (folder, _BINDINGS.format("tensorrt_lean")) for folder in ("tensorrt_lean", "tensorrt_lean_bindings")
    ),
    "tensorrt_dispatch": tuple(
        (folder, _BINDINGS.format("tensorrt_dispatch"))
        for folder in ("tensorrt_dispatch", "tensorrt_dispatch_bindings")
    ),
    "torch": (("torch/lib", r"lib(?:torch_cuda|c10_cuda|torch_global_deps)\.so"),),
    "tensorrt_llm": (
        ("tensorrt_llm/libs", r"lib(?:tensorrt_llm|nvinfer_plugin_tensorrt_llm|th_common)\.so"),
        ("tensorrt_llm", r"bindings\..*\.so"),
    ),
    "torch_tensorrt": (("torch_tensorrt/lib", r"libtorchtrt(?:_runtime|_plugins)?\.so"),),
    "vllm": (("vllm", r"_C\..*\.so"),),
    "flash_attn": (("", r"flash_attn_2_cuda\..*\.so"),),
    "onnxruntime": (("onnxruntime/capi", r"libonnxruntime_providers_(?:cuda|tensorrt)\.so"),),
}
"""By component: folders under a site folder and the file names of the native parts whose needs are read."""


def stack_sonames(needed: Iterable[str]) -> list[str]:
    """Return those of the NEEDED entries that name a library of the stack."""
    return [name for name in needed if _is_stack_soname(name)]


def _is_stack_soname(name: str) -> bool:
    base = name[: name.find(".so") + 3]
    return base in _TABLE_LIBRARIES or _FURTHER_LIBRARIES.match(name) is not None


def module_needs(root: Root, component: str, sites: Sequence[str], notes: list[str]) -> dict[str, list[str]]:
    """Return the stack's SONAMEs that each native part of a Python package needs, by its path.

    Only the first site folder that has one counts. What a library opens by name while it runs is not in
    there: TensorRT 8.6 has no NEEDED entry for cuDNN in libnvinfer, but has one in libnvinfer_plugin.
    """
    for site in sites:
        paths: list[str] = []
        for folder, names in MODULES.get(component, ()):
            paths += _files(root, site, folder, names, notes)
        if paths:
            return {shown(path): _needs_of(root, path, notes) for path in paths[:MAX_MODULES]}
    return {}


def _needs_of(root: Root, path: str, notes: list[str]) -> list[str]:
    try:
        return stack_sonames(read_elf(root, path).needed)
    except ReadError as error:
        notes.append(str(error))
        return []


def _files(root: Root, site: str, folder: str, names: str, notes: list[str]) -> list[str]:
    try:
        entries = root.listdir(f"{site}/{folder}")
    except MissingError:
        return []
    except ReadError as error:
        notes.append(str(error))
        return []
    pattern = re.compile(names)
    here = f"{site}/{folder}".rstrip("/")
    return [
        f"{here}/{entry.name}" for entry in entries if entry.kind is not Kind.FOLDER and pattern.fullmatch(entry.name)
    ]
