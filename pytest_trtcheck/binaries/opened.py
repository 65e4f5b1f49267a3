"""What importing a package, or starting a server, opens: one table, read by the model of the loader."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_trtcheck.probe.root import Kind, ReadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_trtcheck.probe.root import Root

SERVER = "/opt/tritonserver/bin/tritonserver"
BACKENDS = "/opt/tritonserver/backends"
ESSENTIAL_BACKENDS = frozenset({"tensorrt", "tensorrtllm", "python", "vllm"})
"""What images for language models are about; that another backend cannot be opened only bars its own models."""
_MANY = 200


@dataclass(frozen=True)
class Part:
    """Files of one package that its import opens."""

    folder: str
    """Below a site folder; empty for the site folder itself."""
    names: str
    """Pattern of the file names."""
    is_essential: bool = True
    """The import fails without it; else something less than the package does not work."""
    is_tried: bool = False
    """Opened in case it helps, failures ignored: judged through those who need it."""
    is_global: bool = False
    """Opened with RTLD_GLOBAL."""


@dataclass(frozen=True)
class Package:
    """One package, by the key of its component."""

    key: str
    parts: tuple[Part, ...]
    after: tuple[str, ...] = ()
    """Packages that it imports before it opens anything."""


def _tensorrt(name: str) -> Package:
    bindings = rf"{name}(?:\..*)?\.so"
    libraries = tuple(Part(folder, r".*\.so(?:\.\d+)*", is_tried=True) for folder in (f"{name}_libs", name))
    return Package(name, (*libraries, Part(name, bindings), Part(f"{name}_bindings", bindings)))


PACKAGES: tuple[Package, ...] = (
    Package(
        "torch",
        (
            Part("torch/lib", r"libtorch_global_deps\.so", is_global=True, is_tried=True),
            Part("torch", r"_C\..*\.so"),
        ),
    ),
    *(_tensorrt(name) for name in ("tensorrt", "tensorrt_lean", "tensorrt_dispatch")),
    Package("torchvision", (Part("torchvision", r"_C\.so"), Part("torchvision", r"image\.so", False)), ("torch",)),
    Package("torchaudio", (Part("torchaudio/lib", r"(?:lib)?_?torchaudio\..*so", False),), ("torch",)),
    Package(
        "torch_tensorrt",
        (
            Part("torch_tensorrt/lib", r"libtorchtrt(?:_runtime)?\.so"),
            Part("torch_tensorrt/lib", r"libtorchtrt_plugins\.so", False),
        ),
        ("torch", "tensorrt"),
    ),
    Package(
        "tensorrt_llm",
        (
            Part("tensorrt_llm/libs", r"lib(?:tensorrt_llm|nvinfer_plugin_tensorrt_llm|th_common)\.so"),
            Part("tensorrt_llm", r"bindings\..*\.so"),
        ),
        ("torch", "tensorrt", "mpi4py"),
    ),
    Package(
        "vllm",
        (
            Part("vllm", r"_C\..*\.so"),
            Part("vllm", r"(?:_moe_C|cumem_allocator|_flashmla_C)\..*\.so", False),
            Part("vllm/vllm_flash_attn", r".*\.so", False),
        ),
        ("torch",),
    ),
    Package("flash_attn", (Part("", r"flash_attn_2_cuda\..*\.so"),), ("torch",)),
    Package("xformers", (Part("xformers", r"_C(?:\..*)?\.so", False),), ("torch",)),
    Package(
        "onnxruntime",
        (
            Part("onnxruntime/capi", r"onnxruntime_pybind11_state.*\.so"),
            Part("onnxruntime/capi", r"libonnxruntime_providers_shared\.so", is_global=True, is_tried=True),
            Part("onnxruntime/capi", r"libonnxruntime_providers_(?:cuda|tensorrt)\.so", False),
        ),
    ),
    Package("triton_lang", (Part("triton/_C", r"libtriton\..*so"),)),
    Package("mpi4py", (Part("mpi4py", r"MPI\.cpython.*\.so"),)),
    Package("cuda_runtime", (Part("nvidia/cuda_runtime/lib", r"libcudart\.so\.\d+"),)),
    Package("cublas", (Part("nvidia/cublas/lib", r"libcublas(?:Lt)?\.so\.\d+"),)),
    Package("nvrtc", (Part("nvidia/cuda_nvrtc/lib", r"libnvrtc\.so\.\d+"),)),
    Package(
        "cudnn",
        (Part("nvidia/cudnn/lib", r"libcudnn\.so\.\d+"), Part("nvidia/cudnn/lib", r"libcudnn_.*\.so\.\d+", False)),
    ),
    Package("nccl", (Part("nvidia/nccl/lib", r"libnccl\.so\.\d+"),)),
)
"""Each after those that it imports; ``torchvision`` and ``torchaudio`` stand on torch's ABI too."""


@dataclass(frozen=True)
class File:
    """One file to open."""

    path: str
    part: Part


def files_of(root: Root, package: Package, sites: Sequence[str]) -> Iterator[File]:
    """Yield what the import of a package opens, from the first site folder that has each part."""
    for part in package.parts:
        pattern = re.compile(part.names)
        for site in sites:
            folder = f"{site}/{part.folder}".rstrip("/")
            found = sorted(path for path in _files(root, folder) if pattern.fullmatch(path.rpartition("/")[2]))
            if found:
                yield from (File(path, part) for path in found[:_MANY])
                break


def backends(root: Root) -> Iterator[File]:
    """Yield the libraries of Triton's backends."""
    for name in _names(root, BACKENDS, Kind.FOLDER):
        path = f"{BACKENDS}/{name}/libtriton_{name}.so"
        if root.is_file(path):
            yield File(path, Part("", "", name in ESSENTIAL_BACKENDS))


def _files(root: Root, folder: str) -> list[str]:
    return [f"{folder}/{name}" for name in _names(root, folder, Kind.FILE, Kind.LINK)]


def _names(root: Root, folder: str, *kinds: Kind) -> list[str]:
    try:
        return [entry.name for entry in root.listdir(folder) if entry.kind in kinds]
    except ReadError:
        return []
