"""Engines built, loaded and run by TensorRT 8.6 to 11.4, on the GPU memory of whatever library is here.

Written against the API tables release by release. Run on an H200 with TensorRT 8.6.0; never with a later release.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.support.reasons import below, first_of, older
from pytest_trtcheck._suites.support.tensorrt import TensorRT, TensorRTError, TensorRTRefusal
from pytest_trtcheck.model.versions import PackageVersion
from pytest_trtcheck.providers.base import Refused
from pytest_trtcheck.providers.engine import BuildRequest, Built, Layer

if TYPE_CHECKING:
    import numpy as np

    from pytest_trtcheck._suites.support.gpu_memory import GpuMemory
    from pytest_trtcheck._suites.support.tensorrt import Draft, Engine
    from pytest_trtcheck.providers import EngineCase, Where

OPTIMIZATION_LEVEL = 1
"""Building is most of the time here. Level 1 still times a few kernels, where 0 takes the first that works."""
PRECISIONS = ("fp16", "bf16", "int8", "fp8_e4m3")
"""Types that a weakly typed network must be allowed."""
CALIBRATORS_UNTIL = "11.0"
"""First release without calibrators."""
ALWAYS = frozenset({"inspect", "timing_cache", "refit", "contexts", "version_compatible", "onnx"})
"""Abilities that every release has."""
_RELEASE_AT = 24
"""Where a plan's header keeps the four numbers of the release, see ``probe.plan_files``."""


class TensorRTEngines:
    """The network API and the ONNX parser of TensorRT."""

    name = "tensorrt"
    component = "tensorrt"
    needs_gpu = True
    factory = "pytest_trtcheck._suites.engine.providers.tensorrt:TensorRTEngines"

    def __init__(self, module: Any = None, memory: GpuMemory | None = None) -> None:
        """Use another module in TensorRT's place, or other memory."""
        self._module, self._memory = module, memory

    def why_not(self, case: EngineCase, where: Where) -> str:
        """Return what the release or the GPU lacks."""
        used, release = set(case.graph.dtypes.values()), where.versions.get("tensorrt")
        return first_of((
            (where.device != "cuda", "TensorRT runs on GPUs only"),
            (older(where, "tensorrt", "8.6"), "the adapter knows TensorRT from 8.6 on"),
            (not older(where, "tensorrt", "12"), f"not implemented for release {release}: signature unknown"),
            (
                case.calibrated and not older(where, "tensorrt", CALIBRATORS_UNTIL),
                f"calibrators and implicit INT8 left with TensorRT {CALIBRATORS_UNTIL}; INT8 goes through Q/DQ",
            ),
            ("bf16" in used and older(where, "tensorrt", "9.0"), "bf16 came with TensorRT 9.0"),
            ("bf16" in used and below(where, "8.0"), "bf16 needs compute capability 8.0"),
            ("fp8_e4m3" in used and older(where, "tensorrt", "10.0"), "FP8 constants are taken from TensorRT 10.0 on"),
            ("fp8_e4m3" in used and below(where, "8.9"), "FP8 needs compute capability 8.9"),
            ("int4" in used and older(where, "tensorrt", "10.0"), "INT4 came with TensorRT 10.0"),
        ))  # fmt: skip

    def abilities(self, where: Where) -> frozenset[str]:
        """Return what the release and the GPU can."""
        more = {
            "hardware_compatible": not below(where, "8.0"),
            "weight_streaming": not older(where, "tensorrt", "10.0"),
            "calibration": older(where, "tensorrt", CALIBRATORS_UNTIL),
            "lean_runtime": _has_lean_runtime(where),
        }
        return ALWAYS | {name for name, is_here in more.items() if is_here}

    def build(self, case: EngineCase, weights: Mapping[str, np.ndarray], request: BuildRequest) -> Built:
        """Build a plan; Refused where TensorRT says that it has no kernel, TensorRTError where it fails otherwise."""
        from pytest_trtcheck._suites.engine.calibrator import Calibrating
        from pytest_trtcheck._suites.engine.layers import Layers

        api = TensorRT(self._module)
        precisions = [one for one in PRECISIONS if one in case.graph.dtypes.values()]
        try:
            calibrating = Calibrating(api, self.memory, request) if case.calibrated else None
            # A strongly typed network takes no calibrator.
            draft_of = partial(api.draft, strongly_typed=False) if calibrating else api.draft
            with draft_of(precisions=["int8"] if calibrating else precisions) as draft:
                draft.limit(workspace=request.workspace_bytes, optimization_level=OPTIMIZATION_LEVEL)
                layers = Layers(draft, case, weights)
                if "onnx" in request.options or request.model:
                    parse(draft, request.model or _model(case, weights))
                else:
                    layers.add()
                _set_profile(draft, case)
                _set_options(draft, request)
                if not draft.strongly_typed and not calibrating:
                    draft.config.set_flag(api.module.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
                plan = bytes(calibrating.plan(draft) if calibrating else draft.plan())
                cache = b"" if request.timing_cache is None else _timing_cache(draft)
        except TensorRTRefusal as refusal:
            raise Refused(str(refusal)) from refusal
        told = self._layers(api, plan) if "inspect" in request.options else None
        return Built(plan, cache, told, calibrating.result() if calibrating else None)

    def load(self, plan: bytes, options: frozenset[str] = frozenset()) -> TensorRTSession:
        """Load a plan, by the lean runtime where that is asked for."""
        module = importlib.import_module("tensorrt_lean") if "lean_runtime" in options else self._module
        api = TensorRT(module)
        prepare = _stream_weights if "weight_streaming" in options else None
        host_code = bool(options & {"version_compatible", "lean_runtime"})
        return TensorRTSession(api, api.load(plan, host_code=host_code, prepare=prepare), self.memory)

    @property
    def memory(self) -> GpuMemory:
        """Memory on the GPU, found on first use."""
        if self._memory is None:
            from pytest_trtcheck._suites.support.gpu_memory import gpu_memory

            self._memory = gpu_memory()
        return self._memory

    def used_bytes(self) -> int:
        """Return how much memory of the GPU is in use."""
        return self.memory.used_bytes()

    def of_other_release(self, plan: bytes) -> bytes:
        """Return the plan as if the next major release had built it; empty where it does not tell its release twice.

        The header's release is for tools. What the runtime looks at stands in the body: the same four numbers, each
        behind the same four bytes. Source: plans of 8.6.0 with each byte changed in turn, loaded on an H200.
        """
        from pytest_trtcheck.probe.plan_files import HEADER_BYTES, parse_header

        release, _ = parse_header(plan[:HEADER_BYTES])
        if release is None:
            return b""
        numbers = plan[_RELEASE_AT : _RELEASE_AT + 4]
        inside = re.search(b"(....)" + b"\\1".join(re.escape(bytes([one])) for one in numbers), plan, re.DOTALL)
        if inside is None:
            return b""
        other = bytearray(plan)
        for at in (_RELEASE_AT, inside.end(1)):
            other[at] += 1
        return bytes(other)

    def _layers(self, api: TensorRT, plan: bytes) -> tuple[Layer, ...]:
        """Return what the inspector tells of each layer."""
        kind = api.module.LayerInformationFormat.JSON
        with api.load(plan) as loaded:
            inspector = api.checked(loaded.engine.create_engine_inspector(), "create an engine inspector")
            told = [inspector.get_layer_information(index, kind) for index in range(loaded.engine.num_layers)]
            del inspector
        return tuple(map(_layer, told))


class TensorRTSession:
    """A loaded engine."""

    def __init__(self, api: TensorRT, engine: Engine, memory: GpuMemory) -> None:
        self.api, self.engine, self.memory = api, engine, memory

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray], context: int = 0) -> None:
        """Copy in, what fills the outputs too, run, copy out."""
        there = {}
        try:
            for name, array in (*inputs.items(), *outputs.items()):
                there[name] = self.memory.put(array)
            self.engine.run(there, self.memory, context)
            for name, array in (*inputs.items(), *outputs.items()):
                self.memory.get(there[name], array)
        finally:
            for one in there.values():
                self.memory.free(one)

    def add_context(self) -> int:
        """Return the number of one more execution context."""
        return self.engine.add_context()

    def refit(self, case: EngineCase, weights: Mapping[str, np.ndarray]) -> None:
        """Replace every constant that the engine still knows by name."""
        from pytest_trtcheck._suites.engine.layers import weights_of

        refitter = self.api.module.Refitter(self.engine.engine, self.api.logger)
        kept = []
        for name in refitter.get_all_weights():
            held, given = weights_of(self.api, weights[name], case.graph.dtypes[name])
            kept.append(held)
            self.api.checked(refitter.set_named_weights(name, given), f"set the constant {name}")
        missing = refitter.get_missing_weights()
        if missing:
            raise TensorRTError(f"the refitter still wants {', '.join(missing)}")
        self.api.checked(refitter.refit_cuda_engine(), "refit the engine")

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()


def parse(draft: Draft, model: bytes) -> None:
    """Parse an ONNX model into the draft's network; TensorRTError with node, operator and reason where it cannot."""
    parser = draft.api.module.OnnxParser(draft.network, draft.api.logger)
    if not parser.parse(model):
        errors = [_told(parser.get_error(index)) for index in range(parser.num_errors)]
        raise TensorRTError(
            f"TensorRT {draft.api.release} cannot parse the ONNX model: {'; '.join(errors) or 'no words'}"
        )


def _told(error: Any) -> str:
    """Return a parser's error: its node by number, from 9.1 on by name and operator too."""
    named = [getattr(error, part)() for part in ("node_name", "node_operator") if hasattr(error, part)]
    node = " ".join([str(error.node()), *filter(None, named)])
    return f"node {node}: {' '.join(error.desc().split())}"


def _model(case: EngineCase, weights: Mapping[str, np.ndarray]) -> bytes:
    from pytest_trtcheck._suites.engine.onnx_model import onnx_model

    return onnx_model(case, weights)


def _set_profile(draft: Draft, case: EngineCase) -> None:
    if not case.is_dynamic:
        return
    sizes = [case.shapes(case.sizes(which)) for which in (0, 1, 2)]
    open_inputs = [one.name for one in case.graph.inputs if any(isinstance(part, str) for part in one.shape)]
    draft.profile(**{name: (sizes[0][name], sizes[1][name], sizes[2][name]) for name in open_inputs})


def _set_options(draft: Draft, request: BuildRequest) -> None:
    """Set flags by name, and what is no flag."""
    trt, config = draft.api.module, draft.config
    flags = {"refit": "REFIT", "version_compatible": "VERSION_COMPATIBLE", "weight_streaming": "WEIGHT_STREAMING"}
    for option, flag in flags.items():
        if option in request.options:
            config.set_flag(getattr(trt.BuilderFlag, flag))
    if "hardware_compatible" in request.options:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if "inspect" in request.options:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if request.timing_cache is not None:
        cache = draft.api.checked(config.create_timing_cache(request.timing_cache), "read the timing cache")
        draft.api.checked(config.set_timing_cache(cache, False), "take the timing cache")


def _timing_cache(draft: Draft) -> bytes:
    cache = draft.api.checked(draft.config.get_timing_cache(), "return a timing cache")
    return bytes(draft.api.checked(cache.serialize(), "serialize the timing cache"))


def _stream_weights(engine: Any) -> None:
    """Keep half of what can be streamed off the GPU; to be set before there is a context."""
    attribute = (
        "weight_streaming_budget_v2" if hasattr(engine, "weight_streaming_budget_v2") else "weight_streaming_budget"
    )
    setattr(engine, attribute, engine.streamable_weights_size // 2)


def _has_lean_runtime(where: Where) -> bool:
    """Say whether a lean runtime is installed that is not older than the builder."""
    builder = PackageVersion.try_parse(where.versions.get("tensorrt"))
    found = [PackageVersion.try_parse(one) for name, one in where.distributions.items() if name in LEAN_DISTRIBUTIONS]
    return any(one is not None and builder is not None and not one < builder for one in found)


LEAN_DISTRIBUTIONS = ("tensorrt-lean", "tensorrt-lean-cu11", "tensorrt-lean-cu12", "tensorrt-lean-cu13")


def _layer(told: str) -> Layer:
    """Return a layer from the inspector's JSON; with names alone it is a plain string."""
    try:
        found = json.loads(told)
    except ValueError:
        return Layer(told.strip(), "")
    if not isinstance(found, dict):
        return Layer(str(found), "")
    types = [str(one.get("Format/Datatype", "")) for one in found.get("Outputs", ()) if isinstance(one, dict)]
    return Layer(str(found.get("Name", "")), ", ".join(dict.fromkeys(types)))


PROVIDERS = (TensorRTEngines(),)
