"""Memory on the GPU by each way, on a stand-in for the CUDA runtime that is a real shared library."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

# NumPy comes with the venv that has torch.
pytestmark = pytest.mark.torch
np = pytest.importorskip("numpy")

from pytest_trtcheck._suites.support import gpu_memory as module  # noqa: E402
from pytest_trtcheck._suites.support.gpu_memory import GpuError, GpuMemory, cuda_python, cupy, gpu_memory, libcudart  # noqa: E402
from tests.native import compile_library, needs_gcc  # noqa: E402

_SOURCE = """
#include <stdlib.h>
#include <string.h>
static size_t used = 0;
int failing = 0;
int cudaMalloc(void **at, size_t size) { if (failing) return failing; *at = malloc(size); used += 100; return 0; }
int cudaFree(void *at) { free(at); used -= 100; return 0; }
int cudaMemcpy(void *to, const void *from, size_t size, int kind) {
  if (kind != 1 && kind != 2) return 21;
  memcpy(to, from, size); return 0; }
int cudaStreamCreate(void **stream) { if (failing) return failing; *stream = (void *)0x1234567890; return 0; }
int cudaStreamSynchronize(void *stream) { return stream == (void *)0x1234567890 ? 0 : 400; }
int cudaStreamDestroy(void *stream) { return stream == (void *)0x1234567890 ? 0 : 400; }
int cudaMemGetInfo(size_t *free, size_t *total) { *total = 1000; *free = 1000 - used; return 0; }
const char *cudaGetErrorName(int code) { return code == 2 ? "cudaErrorMemoryAllocation" : "cudaErrorOther"; }
"""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    found = ctypes.CDLL(str(compile_library(tmp_path / "libcudart.so.99", _SOURCE)))
    monkeypatch.setattr(module, "_load", lambda: found)
    return found


def goes_there_and_back(memory: GpuMemory) -> None:
    before = memory.used_bytes()
    for given in (np.arange(12, dtype=np.float16).reshape(3, 4)[:, ::2], np.zeros((0, 3), np.float32), np.float32(7)):
        array = np.asarray(given)
        there = memory.put(array)
        assert (there.shape, there.dtype, there.is_contiguous()) == (array.shape, str(array.dtype), True)
        assert there.data_ptr()
        back = np.full(array.shape, 3, array.dtype)
        memory.get(there, back)
        assert np.array_equal(back, array)
        assert memory.used_bytes() == before + 100
        memory.free(there)
    assert memory.used_bytes() == before
    memory.synchronize()
    memory.close()


@needs_gcc
def test_arrays_come_back_by_the_library_itself(library: Any) -> None:
    memory = libcudart()
    assert memory.cuda_stream == 0x1234567890
    goes_there_and_back(memory)


@needs_gcc
def test_a_failing_call_is_named_with_its_code(library: Any) -> None:
    memory = libcudart()
    ctypes.c_int.in_dll(library, "failing").value = 2
    with pytest.raises(GpuError, match=r"cudaMalloc: cudaErrorMemoryAllocation \(2\)"):
        memory.put(np.zeros(3))
    with pytest.raises(
        GpuError, match=r"no way to have memory on the GPU; .*cudaStreamCreate: cudaErrorMemoryAllocation"
    ):
        gpu_memory((libcudart,))


class Code(int):
    name = "cudaErrorNoDevice"


@needs_gcc
@pytest.mark.parametrize("path", ["cuda.bindings.runtime", "cuda.cudart"])
def test_cuda_python_is_called_as_it_wants_to_be(library: Any, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with cuda-python's manners: a code first, results after it, kinds of copies as members."""
    calls = libcudart()._calls
    kinds = {1: "to", 2: "from"}

    def function(name: str) -> Any:
        def call(*args: Any) -> tuple[Any, ...]:
            if name == "Memcpy":
                assert args[3] in kinds.values()
                args = (*args[:3], {held: number for number, held in kinds.items()}[args[3]])
            return (Code(0), *calls[name](*args))

        return call

    runtime = SimpleNamespace(cudaMemcpyKind=kinds.__getitem__, **{f"cuda{name}": function(name) for name in calls})
    for name in ("cuda", "cuda.bindings", "cuda.bindings.runtime", "cuda.cudart"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, path.partition(".")[0], SimpleNamespace())
    monkeypatch.setitem(sys.modules, path.rpartition(".")[0], SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, path, runtime)
    goes_there_and_back(cuda_python())
    runtime.cudaStreamCreate = lambda: (Code(100),)
    with pytest.raises(GpuError, match=r"cudaStreamCreate: cudaErrorNoDevice \(100\)"):
        cuda_python()


@needs_gcc
def test_cupy_is_called_as_it_wants_to_be(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with cupy's manners: one result by itself, exceptions of its own."""
    calls = libcudart()._calls

    def function(name: str) -> Any:
        def call(*args: Any) -> Any:
            found = calls[name](*args)
            return found if len(found) > 1 else next(iter(found), None)

        return call

    runtime = SimpleNamespace(**{theirs: function(ours) for ours, theirs in module._CUPY_NAMES.items()})
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))
    goes_there_and_back(cupy())


def test_without_a_gpu_every_way_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda", "cupy"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(GpuError) as told:
        gpu_memory()
    assert [way in str(told.value) for way in ("TorchMemory: ", "cuda_python: ", "cupy: ", "libcudart: ")] == [True] * 4
