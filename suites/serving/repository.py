"""The model repository that the checks run on: small models with known answers, one for each thing that is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_trtcheck._suites.serving.pbtxt import CPU_INSTANCE, Port, model_config
from pytest_trtcheck._suites.serving.tensors import FORMATS

MODELS = Path(__file__).parent / "models"

QUEUE_DELAY_MS = 20
"""How long ``batches`` lets a request wait for others."""
MOST_IN_BATCH = 16
QUEUE_TIMEOUT_MS = 150
"""How long a request may wait for ``queued``."""
CACHE_BYTES = 1 << 20
MAIN_OPTIONS = (
    "--disable-auto-complete-config",
    "--model-control-mode=explicit",
    "--rate-limit=execution_count",
)
"""As TensorRT-LLM's launch script starts the server, with models under our control and rate limits honoured."""

TYPES = (*FORMATS, "BYTES")


@dataclass(frozen=True)
class Model:
    """One folder of a model repository."""

    name: str
    config: str
    source: Path | None
    """File that becomes ``1/model.py``; None for an ensemble, whose version is an empty folder."""

    def files(self) -> list[tuple[str, str | bytes]]:
        """Return what to write, by path below the repository."""
        program = ("1/model.py", self.source.read_bytes()) if self.source else ("1/.keep", b"")
        return [(f"{self.name}/config.pbtxt", self.config), (f"{self.name}/{program[0]}", program[1])]


def files_of(models: Sequence[Model]) -> list[tuple[str, str | bytes]]:
    """Return the files of several models."""
    return [entry for model in models for entry in model.files()]


def echo(name: str = "echo") -> Model:
    """Return a model that gives back one tensor of each type, all optional."""
    inputs = [Port(f"IN_{kind}", kind, (-1,), optional=True) for kind in TYPES]
    outputs = [Port(f"OUT_{kind}", kind, (-1,)) for kind in TYPES]
    return Model(name, model_config(name, max_batch_size=8, inputs=inputs, outputs=outputs), MODELS / "echo.py")


def strict_echo(name: str = "strict") -> Model:
    """Return a model whose one input of three numbers is required."""
    inputs, outputs = [Port("IN_INT32", "INT32", (3,))], [Port("OUT_INT32", "INT32", (3,))]
    return Model(name, model_config(name, max_batch_size=4, inputs=inputs, outputs=outputs), MODELS / "echo.py")


def batches(name: str = "batches", source: Path = MODELS / "batches.py") -> Model:
    """Return a model with dynamic batching that reports its batches."""
    return Model(
        name,
        model_config(
            name,
            max_batch_size=MOST_IN_BATCH,
            inputs=[Port("NUMBER", "INT64", (1,))],
            outputs=[Port("DOUBLE", "INT64", (1,)), Port("BATCH", "INT32", (1,))],
            more=[CPU_INSTANCE, f"dynamic_batching {{ max_queue_delay_microseconds: {QUEUE_DELAY_MS * 1000} }}"],
        ),
        source,
    )


def stream(name: str = "stream", source: Path = MODELS / "stream.py") -> Model:
    """Return a decoupled model."""
    inputs = [Port("COUNT", "INT32", (1,)), Port("MARK", "BYTES", (1,)), Port("DELAY_MS", "INT32", (1,))]
    outputs = [Port("NUMBER", "INT32", (1,)), Port("MARK_OUT", "BYTES", (1,)), Port("OPEN", "INT32", (1,))]
    return Model(name, model_config(name, inputs=inputs, outputs=outputs, decoupled=True), source)


def _paced(name: str, *more: str) -> Model:
    config = model_config(
        name,
        max_batch_size=1,
        inputs=[Port("WAIT_MS", "INT32", (1,))],
        outputs=[Port("TIMES", "INT64", (2,))],
        more=more,
    )
    return Model(name, config, MODELS / "paced.py")


def paced() -> Model:
    """Return a model that can be kept busy."""
    return _paced("paced", CPU_INSTANCE)


def queued() -> Model:
    """Return a busy model whose queue has three priorities; at the lowest, requests time out."""
    policy = f"timeout_action: REJECT default_timeout_microseconds: {QUEUE_TIMEOUT_MS * 1000}"
    return _paced(
        "queued",
        CPU_INSTANCE,
        "dynamic_batching { priority_levels: 3 default_priority_level: 3 "
        f"priority_queue_policy {{ key: 3 value: {{ {policy} }} }} }}",
    )


def limited() -> Model:
    """Return a model with two instances that need the same resource, of which there is one."""
    return _paced(
        "limited",
        'instance_group [ { kind: KIND_CPU count: 2 rate_limiter { resources [ { name: "trtcheck" count: 1 } ] } } ]',
    )


def cached() -> Model:
    """Return a model whose answers may come from the response cache."""
    config = model_config(
        "cached",
        max_batch_size=1,
        inputs=[Port("KEY", "INT32", (1,))],
        outputs=[Port("COUNT", "INT32", (1,))],
        more=[CPU_INSTANCE, "response_cache { enable: true }"],
    )
    return Model("cached", config, MODELS / "counter.py")


def sequence() -> Model:
    """Return a model with a sequence batcher."""
    controls = (
        ("START", "kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ]"),
        ("END", "kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ]"),
        ("CORRELATION", "kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64"),
    )
    entries = ", ".join(f'{{ name: "{name}" control [ {{ {what} }} ] }}' for name, what in controls)
    config = model_config(
        "sequence",
        max_batch_size=4,
        inputs=[Port("NUMBER", "INT32", (1,))],
        outputs=[Port("SUM", "INT32", (1,))],
        more=[
            CPU_INSTANCE,
            f"sequence_batching {{ max_sequence_idle_microseconds: 5000000 control_input [ {entries} ] }}",
        ],
    )
    return Model("sequence", config, MODELS / "sequence.py")


def trouble(name: str) -> Model:
    """Return a model that misbehaves when it is asked to."""
    inputs, outputs = [Port("ACTION", "BYTES", (1,))], [Port("DONE", "BYTES", (1,))]
    return Model(name, model_config(name, max_batch_size=1, inputs=inputs, outputs=outputs), MODELS / "trouble.py")


def main_models() -> list[Model]:
    """Return the models of the main server; ``echo2`` is there to be loaded and unloaded."""
    return [
        echo(), echo("echo2"), strict_echo(), batches(), stream(),
        paced(), queued(), limited(), cached(), sequence(),
    ]  # fmt: skip


LOADED_AT_START = ("echo", "strict", "batches", "stream", "paced", "queued", "limited", "cached", "sequence")


def trouble_models() -> list[Model]:
    """Return models that misbehave, one of which each for each thing that they can do, and one that does not."""
    return [echo(), strict_echo(), stream(), *(trouble(name) for name in ("raising", "hanging", "exiting"))]
