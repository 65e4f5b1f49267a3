"""One adapter for TensorRT 8.6 to 11.4: define a network, build it, load the plan, run it on tensors.

Only what all these releases share is used, and what differs is asked for by name: integer values of flags move between
releases, members come and go. Two things need a branch. Networks are strongly typed where a release can do so (9.0 on;
the only mode of 11), else each precision is allowed by a builder flag. And 8.6 and 9 know an implicit batch, which must
be refused by a flag that 11 no longer has.

TensorRT seldom raises: a call that fails returns None or False and writes to the log. Here it becomes a TensorRTError
with the last lines of that log.
"""

from __future__ import annotations

import ctypes
import importlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.model.versions import DottedVersion

if TYPE_CHECKING:
    import torch

_DTYPES = {
    "fp32": "FLOAT",
    "fp16": "HALF",
    "bf16": "BF16",
    "int8": "INT8",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "bool": "BOOL",
    "fp8_e4m3": "FP8",
    "int4": "INT4",
}
"""Members of ``DataType``. BF16 and INT64 came with 9.0, INT4 with 10.0."""
_OF_ARRAYS = {
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "int8": "int8",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "bool": "bool",
    "float8_e4m3fn": "fp8_e4m3",
}
"""As NumPy names types, and torch with its own name before them."""
_PRECISIONS = {"fp16": "FP16", "bf16": "BF16", "int8": "INT8", "fp8_e4m3": "FP8"}
"""Members of ``BuilderFlag`` that allow a precision in a weakly typed network; all gone from 11.0."""
_REFUSALS = (
    *("Could not find any implementation", "is not supported", "is unsupported", "Unsupported"),
    "Unable to load library: libnvinfer_lean",
)
"""How the builder says in its log that it has nothing for a node, or cannot make a version-compatible plan."""
_LINES_KEPT = 20
_LINES_SHOWN = 3


class TensorRTError(Exception):
    """TensorRT could not do something; the text holds what it logged."""


class TensorRTRefusal(TensorRTError):  # noqa: N818 - a limit that was stated, no error
    """TensorRT says that it has no kernel, no type or no way for this."""


@dataclass(frozen=True)
class IOTensor:
    """An input or output of an engine."""

    is_input: bool
    dtype: Any
    """Member of ``DataType``."""
    shape: tuple[int, ...]
    """-1 where the profile leaves it open."""


class TensorRT:
    """An installed TensorRT. Its logger outlives all that is made from it, as TensorRT demands."""

    def __init__(self, module: Any = None) -> None:
        """Import the library, unless a module is given. Without a driver, using it may end the process."""
        self.module = module or importlib.import_module("tensorrt")
        self.release = DottedVersion.leading(self.module.__version__) or DottedVersion.parse("0")
        self.errors: deque[str] = deque(maxlen=_LINES_KEPT)
        self.warnings: deque[str] = deque(maxlen=_LINES_KEPT)
        self.logger = _logger(self.module, self.errors, self.warnings)

    @property
    def can_be_strongly_typed(self) -> bool:
        """Say whether tensors have just the types that the network gives them."""
        return self._flag("NetworkDefinitionCreationFlag", "STRONGLY_TYPED") is not None

    @property
    def is_always_strongly_typed(self) -> bool:
        """Say whether there is no other mode; precision flags left together with it."""
        return self._flag("BuilderFlag", "FP16") is None

    def dtype(self, name: str) -> Any:
        """Return the member of ``DataType`` for a dtype as cases name it."""
        member = getattr(self.module.DataType, _DTYPES[name], None)
        if member is None:
            raise TensorRTRefusal(f"TensorRT {self.release} has no data type {_DTYPES[name]}")
        return member

    def dtype_like(self, tensor: torch.Tensor) -> Any:
        """Return the member of ``DataType`` for a tensor of torch's."""
        name = _OF_ARRAYS.get(str(tensor.dtype).removeprefix("torch."))
        if name is None:
            raise TensorRTRefusal(f"TensorRT has no data type for {tensor.dtype}")
        return self.dtype(name)

    def draft(self, *, strongly_typed: bool | None = None, precisions: Iterable[str] = ()) -> Draft:
        """Return an empty network with its builder, strongly typed where the release can unless told otherwise.

        ``precisions``: dtypes beside fp32 that the builder may compute in; they matter only in a weakly typed network.
        """
        return Draft(self, self.can_be_strongly_typed if strongly_typed is None else strongly_typed, precisions)

    def load(self, plan: Any, *, host_code: bool = False, prepare: Callable[[Any], None] | None = None) -> Engine:
        """Deserialize a plan: bytes, or what ``Draft.plan`` returned.

        ``host_code`` lets a version-compatible plan bring its own runtime; ``prepare`` is given the engine before it
        has a context, when alone some settings can be changed.
        """
        return Engine(self, plan, host_code, prepare)

    def checked(self, value: Any, doing: str) -> Any:
        """Return what TensorRT returned, or raise where it means failure: None or False."""
        if value is None or value is False:
            raise self.error(doing)
        return value

    def error(self, doing: str) -> TensorRTError:
        """Return an error with the last lines of the log: 8.6 calls even the lack of a driver a warning."""
        lines = list(self.errors or self.warnings)[-_LINES_SHOWN:] or ["nothing was logged"]
        kind = TensorRTRefusal if any(words in line for words in _REFUSALS for line in self.errors) else TensorRTError
        return kind(f"TensorRT {self.release} failed to {doing}: {' | '.join(lines)}")

    def made(self, factory: str) -> Any:
        """Return a builder or a runtime, whose constructors raise TypeError when CUDA could not be started."""
        try:
            return getattr(self.module, factory)(self.logger)
        except TypeError as error:
            raise self.error(f"make a {factory} ({error})") from error

    def _flag(self, enum: str, name: str) -> Any:
        return getattr(getattr(self.module, enum), name, None)

    def creation_flags(self, *, strongly_typed: bool) -> int:
        """Return the mask for ``create_network``: explicit batch and strong typing where there are such flags."""
        wanted = ["EXPLICIT_BATCH", *(["STRONGLY_TYPED"] if strongly_typed else [])]
        members = [self._flag("NetworkDefinitionCreationFlag", name) for name in wanted]
        return sum(1 << int(member) for member in members if member is not None)

    def precision_flags(self, precisions: Iterable[str]) -> list[Any]:
        """Return the builder flags of precisions, or raise where one is missing."""
        flags = {name: self._flag("BuilderFlag", _PRECISIONS[name]) for name in precisions if name != "fp32"}
        missing = [name for name, flag in flags.items() if flag is None]
        if missing:
            raise TensorRTRefusal(f"TensorRT {self.release} has no builder flag for {', '.join(missing)}")
        return list(flags.values())


class _Closing:
    """Frees what TensorRT made when a ``with`` block ends, the youngest first."""

    _OWNED: tuple[str, ...] = ()

    def __enter__(self: Any) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of every object, in order."""
        for name in self._OWNED:
            self.__dict__.pop(name, None)


class Draft(_Closing):
    """A network in the making. TF32 is off: fp32 means fp32."""

    _OWNED = ("network", "config", "builder", "_kept")

    def __init__(self, api: TensorRT, strongly_typed: bool, precisions: Iterable[str]) -> None:
        """Make builder, network and configuration."""
        self.api = api
        self.strongly_typed = strongly_typed or api.is_always_strongly_typed
        self._kept: list[Any] = []
        self.builder = api.made("Builder")
        flags = api.creation_flags(strongly_typed=strongly_typed)
        self.network = api.checked(self.builder.create_network(flags), "create a network")
        self.config = api.checked(self.builder.create_builder_config(), "create a builder configuration")
        self.config.clear_flag(api.module.BuilderFlag.TF32)
        if not self.strongly_typed:
            for flag in api.precision_flags(precisions):
                self.config.set_flag(flag)

    def limit(self, *, workspace: int, optimization_level: int | None = None) -> None:
        """Bound the scratch memory, in bytes, and say how hard the builder shall try, 0 to 5."""
        self.config.set_memory_pool_limit(self.api.module.MemoryPoolType.WORKSPACE, workspace)
        if optimization_level is not None:
            self.config.builder_optimization_level = optimization_level

    def input(self, name: str, dtype: str, shape: Sequence[int]) -> Any:
        """Add an input; -1 in the shape needs a profile."""
        tensor = self.network.add_input(name, self.api.dtype(dtype), tuple(shape))
        return self.api.checked(tensor, f"add input {name}")

    def add(self, layer: str, *arguments: Any, doing: str = "") -> Any:
        """Call ``network.add_<layer>`` and return the layer; arguments by position, as keyword names vary."""
        return self.api.checked(getattr(self.network, f"add_{layer}")(*arguments), f"add {doing or layer}")

    def result(self, layer: str, *arguments: Any, doing: str = "") -> Any:
        """Add a layer that needs no setting and return its first output."""
        return self.add(layer, *arguments, doing=doing).get_output(0)

    def constant(self, value: float, dtype: str, rank: int) -> Any:
        """Return a single number as a tensor of a rank: fp32, then cast, as in exported models."""
        tensor = self.result("constant", (1,) * rank, self._weights(value))
        return tensor if dtype == "fp32" else self.result("cast", tensor, self.api.dtype(dtype))

    def _weights(self, value: float) -> Any:
        """Return one number in fp32 for TensorRT to read as it builds: by address from 10.0 on, before as an array."""
        trt = self.api.module
        if self.api.release >= DottedVersion.parse("10.0"):
            memory = ctypes.c_float(value)
            self._kept.append(memory)
            return trt.Weights(self.api.dtype("fp32"), ctypes.addressof(memory), 1)
        try:
            numpy = importlib.import_module("numpy")
        except ImportError as error:
            words = f"TensorRT {self.api.release} takes constants as numpy arrays only, and numpy cannot be imported"
            raise TensorRTRefusal(f"{words}: {error}") from error
        array = numpy.full((1,), value, dtype=numpy.float32)
        self._kept.append(array)
        return trt.Weights(array)

    def output(self, tensor: Any, name: str, dtype: str) -> None:
        """Mark an output. Its dtype follows from the layers where the network is strongly typed."""
        tensor.name = name
        self.network.mark_output(tensor)
        if not self.strongly_typed:
            tensor.dtype = self.api.dtype(dtype)

    def profile(self, **shapes: tuple[Sequence[int], Sequence[int], Sequence[int]]) -> None:
        """Add an optimization profile: for each open input its smallest, usual and largest shape."""
        profile = self.api.checked(self.builder.create_optimization_profile(), "create an optimization profile")
        for name, (smallest, usual, largest) in shapes.items():
            profile.set_shape(name, tuple(smallest), tuple(usual), tuple(largest))
        if self.config.add_optimization_profile(profile) < 0:
            raise self.api.error(f"add an optimization profile for {', '.join(shapes)}")

    def plan(self) -> Any:
        """Build, and return the serialized engine."""
        return self.api.checked(self.builder.build_serialized_network(self.network, self.config), "build the network")


class Engine(_Closing):
    """A loaded plan with one execution context."""

    _OWNED = ("contexts", "engine", "runtime")

    def __init__(self, api: TensorRT, plan: Any, host_code: bool, prepare: Callable[[Any], None] | None) -> None:
        """Deserialize the plan."""
        self.api = api
        self.runtime = api.made("Runtime")
        if host_code:
            self.runtime.engine_host_code_allowed = True
        self.engine = api.checked(self.runtime.deserialize_cuda_engine(plan), "load the plan")
        if prepare is not None:
            prepare(self.engine)
        self.contexts: list[Any] = []
        self.add_context()

    def add_context(self) -> int:
        """Return the number of one more execution context."""
        self.contexts.append(self.api.checked(self.engine.create_execution_context(), "create an execution context"))
        return len(self.contexts) - 1

    def tensors(self) -> dict[str, IOTensor]:
        """Return the engine's inputs and outputs by name."""
        found = {}
        for index in range(self.engine.num_io_tensors):
            name = self.engine.get_tensor_name(index)
            is_input = self.engine.get_tensor_mode(name) == self.api.module.TensorIOMode.INPUT
            shape = tuple(self.engine.get_tensor_shape(name))
            found[name] = IOTensor(is_input, self.engine.get_tensor_dtype(name), shape)
        return found

    def run(self, tensors: Mapping[str, torch.Tensor], stream: Any = None, context: int = 0) -> None:
        """Bind a tensor on the GPU to every input and output, run on torch's current stream, and wait for the end.

        Each tensor must be contiguous, of the engine's dtype, and an output of the shape that the inputs give. What
        has torch's ``data_ptr``, ``shape``, ``dtype`` and ``is_contiguous`` is a tensor, what has ``cuda_stream`` and
        ``synchronize`` a stream.
        """
        if stream is None:
            stream = importlib.import_module("torch").cuda.current_stream()
        at_work = self.contexts[context]
        wanted = self.tensors()
        if wanted.keys() != tensors.keys():
            raise TensorRTError(f"the engine has tensors {sorted(wanted)}, given were {sorted(tensors)}")
        for name, tensor in tensors.items():
            self._check(name, tensor, wanted[name])
            if wanted[name].is_input:
                shape = tuple(tensor.shape)
                self.api.checked(at_work.set_input_shape(name, shape), f"take input {name} of shape {shape}")
        missing = at_work.infer_shapes()
        if missing:
            raise self.api.error(f"infer the shapes of {', '.join(missing)}")
        for name, tensor in tensors.items():
            expected = tuple(at_work.get_tensor_shape(name))
            if expected != tuple(tensor.shape):
                raise TensorRTError(f"tensor {name}: the engine has shape {expected}, given was {tuple(tensor.shape)}")
            self.api.checked(at_work.set_tensor_address(name, tensor.data_ptr()), f"bind tensor {name}")
        self.api.checked(at_work.execute_async_v3(stream.cuda_stream), "run the engine")
        stream.synchronize()

    def _check(self, name: str, tensor: torch.Tensor, wanted: IOTensor) -> None:
        if wanted.dtype != self.api.dtype_like(tensor):
            raise TensorRTError(f"tensor {name}: the engine has {wanted.dtype}, given was {tensor.dtype}")
        if not tensor.is_contiguous():
            raise TensorRTError(f"tensor {name} is not contiguous")


def _logger(module: Any, errors: deque[str], warnings: deque[str]) -> Any:
    """Return a logger that keeps errors and warnings, in one line each."""
    severities = module.ILogger.Severity
    worst = (severities.ERROR, severities.INTERNAL_ERROR)

    class Logger(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            # pybind11 wants the base's own constructor called by name.
            module.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity in worst or severity == severities.WARNING:
                (errors if severity in worst else warnings).append(" ".join(msg.split()))

    return Logger()
