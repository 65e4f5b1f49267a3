"""``trtllm-build`` on the probe model: a checkpoint in TensorRT-LLM's form, the command, and what it must leave behind.

Tensor names and ``config.json``: TensorRT-LLM's documentation, "TensorRT-LLM Checkpoint" and "Model Weights Loader".
Flags are those that every release from 0.9 to 1.3.0rc20 has; the command never ran here.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
from pytest_trtcheck.model.versions import PackageVersion
from pytest_trtcheck.probe.plan_files import read_engine_folder, read_plan
from pytest_trtcheck.probe.root import Root

FIRST, LAST = "0.9.0", "1.3.0rc20"
FLAGS = {"max_batch_size": "4", "max_input_len": "128", "max_beam_width": "1", "workers": "1", "log_level": "warning"}
SECONDS = 300.0
_NAMES = {
    "model.embed_tokens.weight": "transformer.vocab_embedding.weight",
    "model.norm.weight": "transformer.ln_f.weight",
    "lm_head.weight": "lm_head.weight",
}
_LAYER_NAMES = {
    "input_layernorm.weight": ("input_layernorm.weight",),
    "post_layernorm.weight": ("post_attention_layernorm.weight",),
    "attention.qkv.weight": tuple(f"self_attn.{which}_proj.weight" for which in "qkv"),
    "attention.dense.weight": ("self_attn.o_proj.weight",),
    # TensorRT-LLM calls the half that goes through the activation fc, and gate the one that it is multiplied with.
    "mlp.fc.weight": ("mlp.gate_proj.weight",),
    "mlp.gate.weight": ("mlp.up_proj.weight",),
    "mlp.proj.weight": ("mlp.down_proj.weight",),
}
_MOST_WORDS = 400


def why_not(release: str) -> str:
    """Return why a release has no ``trtllm-build`` that is known here; empty where it has."""
    version = PackageVersion.try_parse(release)
    if version is None or version < PackageVersion.parse(FIRST):
        return f"the flags of trtllm-build are known from {FIRST} on, found TensorRT-LLM {release}"
    if version > PackageVersion.parse(LAST):
        return f"{LAST} is the last release with trtllm-build, found TensorRT-LLM {release}"
    return ""


def write_checkpoint(to: Path, model: Path = MODEL) -> None:
    """Write the probe model in TensorRT-LLM's form: its tensors under other names, q, k and v one after the other."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    to.mkdir(parents=True, exist_ok=True)
    (to / "config.json").write_text(json.dumps(_config(config), indent=1))
    data = (model / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    given: dict[str, Any] = json.loads(data[8 : 8 + size])
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    at = 0
    for name, sources in _tensors(config["num_hidden_layers"]):
        entries = [given[source] for source in sources]
        spans = [entry["data_offsets"] for entry in entries]
        whole = b"".join(data[8 + size + begin : 8 + size + end] for begin, end in spans)
        rows = sum(entry["shape"][0] for entry in entries)
        shape = [rows, *entries[0]["shape"][1:]]
        header[name] = {"dtype": entries[0]["dtype"], "shape": shape, "data_offsets": [at, at + len(whole)]}
        parts.append(whole)
        at += len(whole)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (to / "rank0.safetensors").write_bytes(b"".join((len(text).to_bytes(8, "little"), text, *parts)))


def _tensors(layers: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each tensor's name there and the names here of which it consists."""
    yield from ((theirs, (ours,)) for ours, theirs in _NAMES.items())
    for layer in range(layers):
        for theirs, ours in _LAYER_NAMES.items():
            yield f"transformer.layers.{layer}.{theirs}", tuple(f"model.layers.{layer}.{one}" for one in ours)


def _config(given: Mapping[str, Any]) -> dict[str, Any]:
    same = (
        "vocab_size", "max_position_embeddings", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "hidden_act", "intermediate_size",
    )  # fmt: skip
    return {
        "architecture": given["architectures"][0],
        "dtype": given["torch_dtype"],
        "logits_dtype": "float32",
        **{name: given[name] for name in same},
        "head_size": given["head_dim"],
        "norm_epsilon": given["rms_norm_eps"],
        "position_embedding_type": "rope_gpt_neox",
        "rotary_base": given["rope_theta"],
        "rotary_scaling": None,
        "attn_bias": False,
        "mlp_bias": False,
        "use_parallel_embedding": False,
        "embedding_sharding_dim": 0,
        "share_embedding_table": False,
        "mapping": {"world_size": 1, "tp_size": 1, "pp_size": 1},
        "quantization": {"quant_algo": None, "kv_cache_quant_algo": None},
    }


def command(checkpoint: Path, to: Path, program: str) -> list[str]:
    """Return the command line."""
    flags = {"checkpoint_dir": str(checkpoint), "output_dir": str(to), **FLAGS}
    return [program, *(part for name, value in flags.items() for part in (f"--{name}", value))]


def find_program() -> str | None:
    """Return ``trtllm-build`` of this interpreter, else the one on PATH."""
    beside = Path(sys.executable).with_name("trtllm-build")
    return str(beside) if beside.is_file() else shutil.which("trtllm-build")


def build(folder: Path, release: str, deadline_seconds: float = SECONDS) -> tuple[str, float]:
    """Build the probe model's engine in a folder; return what is wrong, empty for nothing, and the seconds it took."""
    program = find_program()
    if program is None:
        return f"TensorRT-LLM {release} is installed, and no trtllm-build is beside {sys.executable} or on PATH", 0.0
    checkpoint, to, log = folder / "checkpoint", folder / "engine", folder / "log"
    write_checkpoint(checkpoint)
    begun = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(checkpoint, to, program), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            cwd=folder, start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            return f"trtllm-build was still running after {deadline_seconds:g} s{_last(log)}", time.monotonic() - begun
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    seconds = time.monotonic() - begun
    if status:
        return f"trtllm-build left with status {status}{_last(log)}", seconds
    return problem_of(to, release), seconds


def problem_of(folder: Path, release: str) -> str:
    """Return what is wrong with the engine that was written."""
    root, path = Root("/"), folder.absolute().as_posix()
    written = read_engine_folder(root, path)
    if written is None:
        return "trtllm-build left no config.json with a rank0.engine"
    if written.note or written.ranks != 1 or written.tensorrt_llm != release:
        found = written.note or f"{written.tensorrt_llm}, {written.ranks} ranks"
        return f"expected an engine of TensorRT-LLM {release} for 1 rank, found {found}"
    plan = read_plan(root, f"{path}/rank0.engine")
    is_told = plan.tensorrt is not None or plan.note.startswith("a plan of header format")
    return "" if is_told else f"rank0.engine: {plan.note}"


def _last(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace")[-8192:].split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return f"; last words: {said[-1][:_MOST_WORDS]}" if said else ""
