"""Broken servers and models, what catches each and what it says then, and sound ones that must pass."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_trtcheck._suites.serving.broken import servers
from pytest_trtcheck._suites.serving.repository import Model
from pytest_trtcheck._suites.serving.standin import Mischief

BROKEN = Path(__file__).parent / "broken"


@dataclass(frozen=True)
class Variant:
    """One broken, or sound, server or model."""

    name: str
    about: str
    checks: tuple[str, ...]
    """Names of the checks that judge it."""
    says: str = ""
    """What one of them must say of it; empty for a sound one, of which none may say anything."""
    models: frozenset[str] = frozenset()
    """Models that the main server needs for it; empty for all."""
    sources: Mapping[str, Path] = field(default_factory=dict)
    """Models that run another program."""
    edits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Models whose configuration has a text replaced by another."""
    mischief: Callable[[], Mischief] | None = None
    """What stands in front of the server."""

    def change(self, model: Model) -> Model:
        """Return the model as it is here."""
        source = self.sources.get(model.name, model.source)
        old, new = self.edits.get(model.name, ("", ""))
        if old not in model.config:
            raise ValueError(f"{self.name}: no {old!r} in the configuration of {model.name}")
        return replace(model, source=source, config=model.config.replace(old, new, 1) if old else model.config)

    @property
    def is_sound(self) -> bool:
        """True for one that must pass."""
        return not self.says


def _model(name: str, model: str, checks: str, says: str = "") -> Variant:
    source = BROKEN / f"{name}.py"
    about = (ast.get_docstring(ast.parse(source.read_text())) or "").rstrip(".").removeprefix("Sound: ")
    llm = name.startswith("llm_")
    models: frozenset[str] = frozenset() if llm else frozenset({model})
    return Variant(name.replace("_", "-"), about, tuple(checks.split()), says, models, {model: source})


def _config(name: str, about: str, model: str, edit: tuple[str, str], checks: str, says: str = "") -> Variant:
    return Variant(name, about, tuple(checks.split()), says, frozenset({model}), edits={model: edit})


def _server(name: str, mischief: type[Mischief], checks: str, says: str = "") -> Variant:
    about = (mischief.__doc__ or "").rstrip(".").removeprefix("Sound: ")
    return Variant(name, about, tuple(checks.split()), says, mischief=mischief)


_QUEUE = "dynamic_batching { max_queue_delay_microseconds: 20000 }"
_STREAMS = "generate-stream decoupled"
_HTTP = (
    "start metadata settings http-json http-binary sequences cache rows queue-delay metrics rate-limit generate "
    "generate-stream repository wrong-tensors wrong-documents wrong-bytes wrong-targets error-in-stream"
)


def broken_servers() -> tuple[Variant, ...]:
    """Return mistakes of a server, each made by a stand-in in front of a real one."""
    return (
        _server("ready-too-early", servers.ReadyTooEarly, "start", "ready, but unable"),
        _server("errors-as-200", servers.ErrorsAs200, "wrong-tensors repository", "or more, found HTTP 200"),
        _server("nothing-fails", servers.NothingFails, "wrong-documents metrics", "expected an error, found"),
        _server("wordless-errors", servers.WordlessErrors, "wrong-targets", "without words"),
        _server("closes-on-error", servers.ClosesOnError, "wrong-bytes", "RemoteDisconnected"),
        _server("frozen-metrics", servers.FrozenMetrics, "metrics", "expected 7 more after 7 requests, found 0"),
        _server("doubled-metrics", servers.DoubledMetrics, "metrics", "expected 7 more after 7 requests, found 14"),
        _server("frozen-statistics", servers.FrozenStatistics, "rows", "more inferences, found 0"),
        _server("swapped-answers", servers.SwappedAnswers, "rows", "rows of another caller"),
        _server("cut-bytes", servers.CutBytes, "http-binary", "OUT_"),
        _server("lost-event", servers.LostEvent, "generate-stream", "expected 12 events, found 11"),
        _server("broken-off-stream", servers.BrokenOffStream, "generate-stream", "cut off inside an event"),
        _server("stranger", servers.Stranger, "metadata", "found 'triton'"),
        _server("deaf-settings", servers.DeafSettings, "settings", "set trace_rate to '500'"),
        _server("never-unloads", servers.NeverUnloads, "repository", "was unloaded and is still READY"),
        _server("one-priority", servers.OnePriority, "priorities", "overtook 0 of 4"),
        _server("forgets-id", servers.ForgetsId, "generate", "expected the id 42 back"),
    )  # fmt: skip


def broken_models() -> tuple[Variant, ...]:
    """Return mistakes of models and of their configurations."""
    return (
        _model("rows_reversed", "batches", "rows", "rows of another caller"),
        _model("rows_shifted", "batches", "rows", "rows of another caller"),
        _model("stream_mixed", "stream", _STREAMS, "got events of another caller"),
        _model("stream_lost", "stream", _STREAMS, "expected 12 events, found 11"),
        _model("stream_twice", "stream", _STREAMS, "got an event twice"),
        _model("stream_disordered", "stream", _STREAMS, "in order, found"),
        _model("stream_endless", "stream", "decoupled", "no final response"),
        _model("stream_held", "stream", "generate-stream", "all at once"),
        _model("stream_deaf", "stream", "dropped-stream", "still run after"),
        _model("paced_deaf", "paced", "cancellation", "was cancelled"),
        _model("echo_float", "echo", "http-json http-binary grpc", "OUT_"),
        _model("echo_text", "echo", "http-binary grpc", "OUT_BYTES: expected"),
        _model("echo_logs", "echo", "http-json log", "something is wrong inside"),
        _model("echo_leaves_child", "echo", "stop", "left: process"),
        _model("echo_leaves_memory", "echo", "stop", "left: shared memory"),
        _model("sequence_shared", "sequence", "sequences", "expected the sum"),
        _config("no-batches", "No dynamic batching", "batches", (_QUEUE, ""), "rows", "no batches formed"),
        _config("long-queue", "A queue that keeps requests 20 times as long", "batches",
                (_QUEUE, _QUEUE.replace("20000", "400000")), "queue-delay", "waited 4"),
        _config("no-timeout", "A queue time-out that never comes", "queued", ("150000", "150000000"), "queue-timeout",
                "the queue's time-out is 150 ms"),
        _config("no-rate-limit", "A resource that nobody needs", "limited", ("count: 1 }", "count: 0 }"),
                "rate-limit", "overlap"),
        _config("no-cache", "No response cache for the model", "cached", ("enable: true", "enable: false"), "cache",
                "the cache was not used"),
    )  # fmt: skip


def broken_llms() -> tuple[Variant, ...]:
    """Return mistakes in the LLM repository."""
    llm = "tensorrt_llm"
    answers = "the reference answers"
    return (
        _model("llm_lost", llm, "llm-ensemble llm-ensemble-stream llm-bls", answers),
        _model("llm_mixed", llm, "llm-ensemble-stream", answers),
        _model("llm_unstoppable", llm, "llm-ensemble", "stop_words"),
        _model("llm_scores", llm, "llm-infer", "cum_log_probs"),
    )


def sound() -> tuple[Variant, ...]:
    """Return what is not wrong: another way of doing it, or a stand-in that changes nothing."""
    return (
        _server("passes-on", Mischief, _HTTP),
        _model("rows_sorted", "batches", "rows queue-delay"),
        _model("rows_slow", "batches", "rows"),
        _model("stream_final_with_last", "stream", f"generate {_STREAMS} dropped-stream"),
        _config("two-instances", "Two instances", "batches", ("KIND_CPU count: 1", "KIND_CPU count: 2"), "rows"),
        _config("short-queue", "A shorter delay, within the slack", "batches",
                (_QUEUE, _QUEUE.replace("20000", "15000")), "rows queue-delay"),
    )  # fmt: skip


def sound_llms() -> tuple[Variant, ...]:
    """Return sound variants of the LLM repository."""
    return (_model("llm_pairs", "tensorrt_llm", "llm-ensemble-stream llm-ensemble-grpc"),)
