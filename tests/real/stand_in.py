"""Stand-ins for libraries that cannot be had: they bear a SONAME, or define symbols, and do nothing.

The index has torch for CPU only. With its CUDA half and TensorRT stood in for, what is left to fail is torch's own ABI.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_trtcheck.binaries.objects import read_object
from pytest_trtcheck.binaries.symbols import Import
from pytest_trtcheck.probe.root import Root

SONAMES = tuple(
    f"lib{name}"
    for name in (
        "c10_cuda.so", "torch_cuda.so", "torch_cuda_linalg.so", "torch_nvshmem.so", "cuda.so.1",
        "cudart.so.12", "cudart.so.13",
        "nvinfer.so.8", "nvinfer.so.10", "nvinfer.so.11", "nvinfer_plugin.so.8", "nvinfer_plugin.so.10",
        "nvinfer_plugin.so.11", "cudnn.so.8", "cublas.so.12", "cublas.so.13", "cublasLt.so.12", "cublasLt.so.13",
    )
)  # fmt: skip
_SYMBOLS = re.compile(
    rb"_Z(?:T[VIS])?N[KRVO]*(?:3c104cuda|2at4cuda|5torch4cuda|4c10d16ProcessGroupNCCL)|_Z\w*8nvinfer1"
    rb"|createInfer|getInfer|getPluginRegistry|initLibNvInfer|torch_c10_cuda|torch_[gs]et_\w*cuda|torch_cuda_|aoti_torch_\w*cuda"
    rb"|nccl[A-Z]|(?:__)?cuda[A-Z]|cu[A-Z]|cublas|cudnn"
)
_RETURNS_ZERO = "xorl %eax, %eax; ret"


def empty_libraries(folder: Path) -> Path:
    """Return the folder, with a library of each SONAME that defines nothing."""
    source = folder / "empty.c"
    source.write_text("")
    for name in SONAMES:
        _compile(folder / name, source, f"-Wl,-soname,{name}")
    return folder


def defining_library(path: Path, files: Iterable[Path]) -> Path:
    """Return a library that defines the CUDA and TensorRT symbols which the files use."""
    wanted: set[bytes] = set()
    for file in files:
        wanted |= {one.name for one in read_object(Root("/"), str(file)).symbols.imports if _is_stood_in(one)}
    # Constructors of a library that loads may call them: each returns zero, and may be read and written as data.
    bodies = [f'.globl "{name.decode()}"\n"{name.decode()}": {_RETURNS_ZERO}\n.zero 64\n' for name in sorted(wanted)]
    source = path.with_suffix(".s")
    source.write_text(f'.section .standin,"awx"\n{"".join(bodies)}.section .note.GNU-stack,"",@progbits\n')
    return _compile(path, source)


def _is_stood_in(wanted: Import) -> bool:
    return _SYMBOLS.match(wanted.name) is not None


def _compile(path: Path, source: Path, *flags: str) -> Path:
    command: Sequence[str] = ["gcc", "-shared", "-fPIC", *flags, "-o", str(path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return path
