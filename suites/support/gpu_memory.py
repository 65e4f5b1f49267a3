"""Memory and a stream on the GPU for NumPy arrays, by whatever is here: torch, cuda-python, cupy, or libcudart itself.

All but torch are the same six functions of the CUDA runtime under other names, so one class calls them all.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

_TO_GPU, _FROM_GPU = 1, 2
"""``cudaMemcpyHostToDevice`` and ``cudaMemcpyDeviceToHost``."""
_LIBRARIES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so")
_LEAST_BYTES = 1
"""An empty tensor needs an address too."""


class GpuError(RuntimeError):
    """A call of the CUDA runtime failed; the text names call and code."""


@dataclass(frozen=True)
class GpuArray:
    """An array on the GPU, as far as an engine looks at one."""

    address: int
    shape: tuple[int, ...]
    dtype: str
    """As NumPy names it."""
    nbytes: int
    held: Any = None
    """What owns the memory, where letting go of it frees it."""

    def data_ptr(self) -> int:
        """Return its address."""
        return self.address

    def is_contiguous(self) -> bool:
        """Return True: arrays are copied in as they lie."""
        return True


class GpuMemory(Protocol):
    """A way to have memory on the GPU, and its stream."""

    name: str
    cuda_stream: int

    def put(self, array: np.ndarray) -> GpuArray:
        """Copy to the GPU."""

    def get(self, there: GpuArray, array: np.ndarray) -> None:
        """Copy into an array of the same size."""

    def free(self, there: GpuArray) -> None:
        """Give memory back."""

    def synchronize(self) -> None:
        """Wait until everything on the stream is done."""

    def used_bytes(self) -> int:
        """Return how much memory is in use on the GPU, by whomever."""

    def close(self) -> None:
        """Give the stream back."""


class TorchMemory:
    """Tensors of torch; its current stream."""

    name = "torch"

    def __init__(self) -> None:
        """ImportError without torch, RuntimeError where it has no GPU."""
        import torch

        if not torch.cuda.is_available():
            raise RuntimeError("torch sees no GPU")
        self._torch = torch
        self._stream = torch.cuda.Stream()
        self.cuda_stream = int(self._stream.cuda_stream)

    def put(self, array: np.ndarray) -> GpuArray:
        """Copy to the GPU, byte by byte, so that torch need not know the type."""
        import numpy as np

        flat = np.frombuffer(array.tobytes() or bytes(_LEAST_BYTES), dtype=np.uint8).copy()
        tensor = self._torch.from_numpy(flat).cuda()
        self._torch.cuda.synchronize()
        return GpuArray(tensor.data_ptr(), array.shape, str(array.dtype), array.nbytes, tensor)

    def get(self, there: GpuArray, array: np.ndarray) -> None:
        """Copy into an array."""
        found = there.held.cpu().numpy()[: array.nbytes]
        array[...] = found.view(array.dtype).reshape(array.shape)

    def free(self, there: GpuArray) -> None:
        """Nothing: the tensor frees itself."""

    def synchronize(self) -> None:
        """Wait for the stream."""
        self._stream.synchronize()

    def used_bytes(self) -> int:
        """Return what the driver says, with torch's cache given back."""
        self._torch.cuda.synchronize()
        self._torch.cuda.empty_cache()
        free, total = self._torch.cuda.mem_get_info()
        return int(total - free)

    def close(self) -> None:
        """Nothing: the stream frees itself."""


Call = Callable[..., tuple[Any, ...]]


class RuntimeMemory:
    """The CUDA runtime's functions, each given as a callable that returns its results or raises GpuError."""

    def __init__(self, name: str, calls: Mapping[str, Call]) -> None:
        """Make a stream; GpuError where there is no GPU."""
        self.name, self._calls = name, calls
        self.cuda_stream = int(calls["StreamCreate"]()[0])

    def put(self, array: np.ndarray) -> GpuArray:
        """Copy to the GPU."""
        import numpy as np

        # NumPy makes one dimension of none here, so the shape is that of what was given.
        whole = np.ascontiguousarray(array)
        address = int(self._calls["Malloc"](max(array.nbytes, _LEAST_BYTES))[0])
        self._calls["Memcpy"](address, whole.ctypes.data, array.nbytes, _TO_GPU)
        return GpuArray(address, array.shape, str(array.dtype), array.nbytes)

    def get(self, there: GpuArray, array: np.ndarray) -> None:
        """Copy into an array."""
        import numpy as np

        landed = np.empty(array.shape, array.dtype)
        self._calls["Memcpy"](landed.ctypes.data, there.address, array.nbytes, _FROM_GPU)
        array[...] = landed

    def free(self, there: GpuArray) -> None:
        """Give memory back."""
        self._calls["Free"](there.address)

    def synchronize(self) -> None:
        """Wait for the stream."""
        self._calls["StreamSynchronize"](self.cuda_stream)

    def used_bytes(self) -> int:
        """Return what the driver says."""
        free, total = self._calls["MemGetInfo"]()
        return int(total) - int(free)

    def close(self) -> None:
        """Give the stream back."""
        self._calls["StreamDestroy"](self.cuda_stream)


_NAMES = ("Malloc", "Free", "Memcpy", "StreamCreate", "StreamSynchronize", "StreamDestroy", "MemGetInfo")
_CUPY_NAMES = dict(
    zip(
        _NAMES,
        ("malloc", "free", "memcpy", "streamCreate", "streamSynchronize", "streamDestroy", "memGetInfo"),
        strict=True,
    )
)


def cuda_python() -> RuntimeMemory:
    """Return memory by NVIDIA's cuda-python, which cuda-core stands on: ``cuda.bindings``, before 12.6 ``cuda``."""
    try:
        runtime = importlib.import_module("cuda.bindings.runtime")
    except ImportError:
        runtime = importlib.import_module("cuda.cudart")

    def named(name: str) -> Call:
        function, kinds = getattr(runtime, f"cuda{name}"), runtime.cudaMemcpyKind

        def call(*args: Any) -> tuple[Any, ...]:
            if name == "Memcpy":
                args = (*args[:3], kinds(args[3]))
            code, *results = function(*args)
            if int(code):
                raise GpuError(f"cuda{name}: {code.name} ({int(code)})")
            return tuple(results)

        return call

    return RuntimeMemory("cuda-python", {name: named(name) for name in _NAMES})


def cupy() -> RuntimeMemory:
    """Return memory by cupy, which raises by itself."""
    runtime = importlib.import_module("cupy").cuda.runtime

    def named(name: str) -> Call:
        function = getattr(runtime, _CUPY_NAMES[name])

        def call(*args: Any) -> tuple[Any, ...]:
            result = function(*args)
            return result if isinstance(result, tuple) else (result,)

        return call

    return RuntimeMemory("cupy", {name: named(name) for name in _NAMES})


def libcudart() -> RuntimeMemory:
    """Return memory by the CUDA runtime library: what is loaded, what the loader finds, or NVIDIA's wheel."""
    library = _load()
    library.cudaGetErrorName.restype = ctypes.c_char_p
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    results = {"Malloc": (pointer,), "StreamCreate": (pointer,), "MemGetInfo": (size, size)}
    arguments = {
        "Malloc": (size,), "Free": (pointer,), "Memcpy": (pointer, pointer, size, ctypes.c_int),
        "StreamSynchronize": (pointer,), "StreamDestroy": (pointer,),
    }  # fmt: skip

    def named(name: str) -> Call:
        function = getattr(library, f"cuda{name}")

        def call(*args: Any) -> tuple[Any, ...]:
            out: list[Any] = [kind() for kind in results.get(name, ())]
            given = [kind(arg) for kind, arg in zip(arguments.get(name, ()), args, strict=True)]
            code = function(*map(ctypes.byref, out), *given)
            if code:
                raise GpuError(f"cuda{name}: {library.cudaGetErrorName(code).decode()} ({code})")
            return tuple(one.value or 0 for one in out)

        return call

    return RuntimeMemory("libcudart", {name: named(name) for name in _NAMES})


def _load() -> Any:
    problems = []
    for path in (*_LIBRARIES, *_in_wheels()):
        try:
            return ctypes.CDLL(str(path))
        except OSError as error:  # noqa: PERF203 - each library is tried
            problems.append(str(error))
    raise ImportError(f"no libcudart could be loaded: {problems[0]}")


def _in_wheels() -> Iterator[Path]:
    try:
        nvidia = importlib.import_module("nvidia")
    except ImportError:
        return
    for folder in nvidia.__path__:
        yield from sorted(Path(folder).glob("*/lib/libcudart.so.*"))


WAYS: tuple[Callable[[], GpuMemory], ...] = (TorchMemory, cuda_python, cupy, libcudart)
"""In the order of preference: what a stack uses anyway first, the library itself as the last resort."""


def gpu_memory(ways: tuple[Callable[[], GpuMemory], ...] = WAYS) -> GpuMemory:
    """Return memory by the first way that works; GpuError with what each said where none does."""
    problems = []
    for way in ways:
        try:
            return way()
        except (ImportError, AttributeError, RuntimeError, OSError) as error:  # noqa: PERF203 - each way is tried
            problems.append(f"{way.__name__}: {' '.join(str(error).split())[:120]}")
    raise GpuError(f"no way to have memory on the GPU; {'; '.join(problems)}")
