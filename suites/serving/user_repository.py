"""A model repository of the user's, read: every configuration by the server's own protobuf definitions.

Importing this module raises ImportError where tritonclient with gRPC, which carries the definitions, is not installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

MOST_CONFIG_BYTES = 4 << 20
MOST_MODELS = 1000
CONFIG = "config.pbtxt"

FILES: Mapping[str, str] = {
    "python": "model.py",
    "tensorrt": "model.plan",
    "onnxruntime": "model.onnx",
    "pytorch": "model.pt",
    "openvino": "model.xml",
    "dali": "model.dali",
    "vllm": "model.json",
}
"""What each backend reads in a version's folder. Source: Triton's model repository documentation, "Model Files"."""
PLATFORMS: Mapping[str, str] = {
    "tensorrt_plan": "tensorrt",
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
    "ensemble": "ensemble",
}
"""Older names of backends."""
_UNSET = re.compile(r"\$\{\w+\}")


class ConfigError(Exception):
    """A configuration cannot be read; file and line, what was expected, what to do."""


@dataclass(frozen=True)
class UserModel:
    """One model of a repository."""

    folder: Path
    config: Any
    """The protobuf message."""

    @property
    def name(self) -> str:
        """The folder's name, by which the server knows it."""
        return self.folder.name

    @property
    def backend(self) -> str:
        """Its backend; ``ensemble`` for an ensemble."""
        return str(self.config.backend or PLATFORMS.get(self.config.platform, self.config.platform))

    @property
    def file(self) -> Path:
        """Its configuration file."""
        return self.folder / CONFIG

    @property
    def parameters(self) -> dict[str, str]:
        """Its parameters."""
        return {name: str(value.string_value) for name, value in self.config.parameters.items()}

    def versions(self) -> list[Path]:
        """Return the folders of its versions, oldest first."""
        found = [entry for entry in self.folder.iterdir() if entry.is_dir() and entry.name.isdigit()]
        return sorted(found, key=lambda entry: int(entry.name))


def model_folders(repository: Path) -> list[Path]:
    """Return the folders of a repository that the server would look at, sorted; ConfigError when it cannot be read."""
    try:
        found = [entry for entry in repository.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    except OSError as error:
        raise ConfigError(f"{repository}: cannot be read: {error.strerror}") from None
    if len(found) > MOST_MODELS:
        raise ConfigError(
            f"{repository}: {len(found)} folders; expected a model repository of {MOST_MODELS} models at most"
        )
    return sorted(found)


def read_model(folder: Path) -> UserModel:
    """Return one model; ConfigError with file and line when its configuration is none."""
    path = folder / CONFIG
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_CONFIG_BYTES + 1)
        if len(raw) > MOST_CONFIG_BYTES:
            raise ConfigError(f"{path}: more than {MOST_CONFIG_BYTES} bytes; expected a model configuration")
        text = raw.decode()
    except FileNotFoundError:
        raise ConfigError(f"{path}: does not exist; every model needs one where auto-complete is off") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is no UTF-8; expected text") from None
    try:
        return UserModel(folder, text_format.Parse(text, model_config_pb2.ModelConfig()))
    except text_format.ParseError as error:
        line, _, words = str(error).partition(" : ")
        number = line.partition(":")[0]
        lines = text.splitlines()
        shown = lines[int(number) - 1].strip()[:100] if number.isdigit() and 0 < int(number) <= len(lines) else ""
        template = "; fill in the template first" if _UNSET.search(shown) else ""
        raise ConfigError(f"{path}:{line}: {words or error} in {shown!r}{template}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply; expected a model configuration") from None


def faults(
    model: UserModel, others: Mapping[str, UserModel], gpu_count: int, backends: frozenset[str] | None
) -> Iterator[str]:
    """Yield what is wrong with a model of a repository, in words.

    ``backends`` are those of the server on this machine, None where there is none.
    """
    if model.config.name and model.config.name != model.name:
        yield f"name: expected {model.name!r}, the folder's, found {model.config.name!r}"
    if not model.backend:
        yield "neither backend nor platform is given"
        return
    if backends is not None and model.backend != "ensemble" and model.backend not in backends:
        yield f"backend {model.backend!r}: the server here has {', '.join(sorted(backends)) or 'none'}"
    yield from _files(model)
    yield from _instances(model, gpu_count)
    if model.backend == "ensemble":
        yield from ensemble_faults(model, others)
    yield from _llm_parameters(model)
    yield from _decoupled(model, others)


def _files(model: UserModel) -> Iterator[str]:
    versions = model.versions()
    if not versions:
        yield "no version: expected a folder named by a number, such as 1"
        return
    expected = model.config.default_model_filename or FILES.get(model.backend)
    if expected and not (versions[-1] / expected).exists():
        yield f"version {versions[-1].name}: expected {expected} in it, found none"


def _instances(model: UserModel, gpu_count: int) -> Iterator[str]:
    for group in model.config.instance_group:
        kind = model_config_pb2.ModelInstanceGroup.Kind.Name(group.kind)
        beyond = [int(number) for number in group.gpus if number >= gpu_count or number < 0]
        if beyond:
            yield f"instance_group: GPU {beyond[0]} is asked for; there are {gpu_count} here, MIG instances counted"
        elif kind == "KIND_GPU" and not gpu_count:
            yield "instance_group: KIND_GPU, and there is no GPU here"
        if group.count < 0:
            yield f"instance_group: count {group.count}"


def ensemble_faults(model: UserModel, others: Mapping[str, UserModel]) -> Iterator[str]:
    """Yield what is wrong with the connections of an ensemble."""
    steps = model.config.ensemble_scheduling.step
    if not steps:
        yield "an ensemble without ensemble_scheduling steps"
    tensors = {entry.name: ("the ensemble's input", entry) for entry in model.config.input}
    for step in steps:
        for key, name in step.output_map.items():
            other = others.get(step.model_name)
            port = next((entry for entry in other.config.output if entry.name == key), None) if other else None
            if name in tensors:
                yield f"tensor {name!r} is made twice: by {tensors[name][0]} and by {step.model_name}"
            tensors[name] = (step.model_name, port)
    for step in steps:
        yield from _step_faults(step, others.get(step.model_name), tensors)
    for output in model.config.output:
        if output.name not in tensors:
            yield f"output {output.name!r}: no step makes it"
        else:
            yield from _mismatch(f"output {output.name!r}", output, *tensors[output.name])


def _step_faults(step: Any, other: UserModel | None, tensors: Mapping[str, tuple[str, Any]]) -> Iterator[str]:
    if other is None:
        yield f"step {step.model_name!r}: there is no such model in the repository"
        return
    inputs = {entry.name: entry for entry in other.config.input}
    outputs = {entry.name for entry in other.config.output}
    for key, name in step.input_map.items():
        if key not in inputs:
            yield f"step {step.model_name}: it has no input {key!r}; it has {', '.join(sorted(inputs)) or 'none'}"
        elif name not in tensors:
            yield f"step {step.model_name}, input {key!r}: nobody makes tensor {name!r}"
        else:
            yield from _mismatch(f"step {step.model_name}, input {key!r}", inputs[key], *tensors[name])
    for key in sorted(set(step.output_map) - outputs):
        yield f"step {step.model_name}: it has no output {key!r}; it has {', '.join(sorted(outputs)) or 'none'}"
    for key, entry in inputs.items():
        if not entry.optional and key not in step.input_map:
            yield f"step {step.model_name}: its required input {key!r} is not connected"


def _mismatch(where: str, wanted: Any, made_by: str, made: Any) -> Iterator[str]:
    if made is None:
        return
    if wanted.data_type != made.data_type:
        kinds = [model_config_pb2.DataType.Name(entry.data_type) for entry in (wanted, made)]
        yield f"{where}: expected {kinds[0]}, {made_by} gives {kinds[1]}"
    elif not _shapes_meet(wanted.dims, made.dims):
        yield f"{where}: expected dims {list(wanted.dims)}, {made_by} gives {list(made.dims)}"


def _shapes_meet(wanted: Any, made: Any) -> bool:
    return len(wanted) == len(made) and all(a == b or -1 in (a, b) for a, b in zip(wanted, made, strict=True))


def _llm_parameters(model: UserModel) -> Iterator[str]:
    """Yield what the TensorRT-LLM backend's models cannot do without.

    Source: tensorrtllm_backend docs/model_config.md at v0.18.2, mandatory parameters: engine_dir and batching_strategy,
    which fill gpt_model_path and gpt_model_type, and tokenizer_dir.
    """
    required: dict[str, str] = {}
    if model.backend == "tensorrtllm":
        required = {"gpt_model_path": "engine", "gpt_model_type": ""}
    elif model.name in {"preprocessing", "postprocessing"} and model.backend == "python":
        required = {"tokenizer_dir": "folder"}
    for name, kind in required.items():
        value = model.parameters.get(name, "")
        if not value or _UNSET.fullmatch(value):
            yield f"parameter {name}: expected a value, found {value!r}; fill in the template"
        elif kind and Path(value).is_absolute() and not Path(value).is_dir():
            yield f"parameter {name}: no folder at {value}"
        elif kind == "engine" and Path(value).is_dir() and not list(Path(value).glob("*.engine")):
            yield f"parameter {name}: no *.engine in {value}"


def _decoupled(model: UserModel, others: Mapping[str, UserModel]) -> Iterator[str]:
    own = model.config.model_transaction_policy.decoupled
    if model.backend == "ensemble":
        if own:
            yield "model_transaction_policy: an ensemble is decoupled by its steps, not by itself"
        return
    if model.name != "tensorrt_llm_bls":
        return
    called = model.parameters.get("tensorrt_llm_model_name") or "tensorrt_llm"
    other = others.get(called)
    if other is None:
        yield f"parameter tensorrt_llm_model_name: there is no model {called!r} in the repository"
    elif own and not other.config.model_transaction_policy.decoupled:
        yield f"decoupled is true here and false in {called}: streams would end in an error inside an HTTP 200"
