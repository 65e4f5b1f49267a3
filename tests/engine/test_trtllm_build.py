"""trtllm-build on the probe model: the checkpoint is whole, the flags are those of each release, results are judged."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from pytest_trtcheck._suites.engine import trtllm
from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
from tests.contracts import tables

_PROGRAM = """#!{python}
import json, sys
from pathlib import Path
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert (Path(given["--checkpoint_dir"]) / "rank0.safetensors").stat().st_size > 7_000_000
to = Path(given["--output_dir"])
to.mkdir()
{body}
"""
_WHOLE = """
(to / "config.json").write_text(json.dumps({"version": "0.20.0", "build_config": {}}))
(to / "rank0.engine").write_bytes(b"ftrt" + bytes(20) + bytes([10, 10, 0, 31]) + b"x" * 99)
"""


def test_the_flags_are_known_to_every_release_that_was_read() -> None:
    read = tables.contracts()["tensorrt_llm_cli"]["trtllm-build"]["by_version"]
    assert {entry["at"] for entry in read} >= {"0.9.0", "0.11.0", "1.x"}
    used = {part.removeprefix("--") for part in trtllm.command(Path("a"), Path("b"), "x")[1::2]}
    for entry in read:
        flags = {name for flag in entry["flags"] for name in flag.partition("=")[0].split("|")}
        assert used <= flags, entry["at"]


def test_the_checkpoint_holds_every_tensor_of_the_probe_model_once(tmp_path: Path) -> None:
    trtllm.write_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["architecture"], config["dtype"], config["head_size"]) == ("LlamaForCausalLM", "bfloat16", 64)
    ours, theirs = (
        (folder / name).read_bytes() for folder, name in ((MODEL, "model.safetensors"), (tmp_path, "rank0.safetensors"))
    )
    sizes = [int.from_bytes(data[:8], "little") for data in (ours, theirs)]
    given, written = (json.loads(data[8 : 8 + size]) for data, size in zip((ours, theirs), sizes, strict=True))
    assert len(theirs) - sizes[1] == len(ours) - sizes[0]

    def tensor(header: dict[str, dict[str, list[int]]], data: bytes, size: int, name: str) -> bytes:
        begin, end = header[name]["data_offsets"]
        return data[8 + size + begin : 8 + size + end]

    qkv = b"".join(tensor(given, ours, sizes[0], f"model.layers.3.self_attn.{which}_proj.weight") for which in "qkv")
    assert tensor(written, theirs, sizes[1], "transformer.layers.3.attention.qkv.weight") == qkv
    assert written["transformer.layers.3.attention.qkv.weight"]["shape"] == [256 + 2 * 128, 256]
    gate = tensor(given, ours, sizes[0], "model.layers.0.mlp.gate_proj.weight")
    assert tensor(written, theirs, sizes[1], "transformer.layers.0.mlp.fc.weight") == gate
    assert len(written) == 3 + 6 * 7


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("0.8.0", "known from 0.9.0 on"),
        ("1.3.0rc21", "1.3.0rc20 is the last release"),
        ("1.3.0rc20", ""),
        ("0.21.0", ""),
    ],
)
def test_releases_without_the_command_are_told(release: str, words: str) -> None:
    found = trtllm.why_not(release)
    assert words in found
    assert bool(words) == bool(found)


@pytest.mark.parametrize(
    ("body", "release", "words"),
    [
        (_WHOLE, "0.20.0", ""),
        (_WHOLE, "0.21.0", "expected an engine of TensorRT-LLM 0.21.0 for 1 rank, found 0.20.0, 1 ranks"),
        ("pass", "0.20.0", "left no config.json with a rank0.engine"),
        ("sys.exit('no kernel image')", "0.20.0", "trtllm-build left with status 1; last words: no kernel image"),
        ("import os; os.abort()", "0.20.0", "trtllm-build left with status -6"),
        (_WHOLE.replace("ftrt", "what"), "0.20.0", "rank0.engine: no TensorRT plan"),
        (
            "import time; print('building', flush=True); time.sleep(99)",
            "0.20.0",
            "was still running after 3 s; last words: building",
        ),
    ],
)
def test_what_a_stand_in_of_the_command_leaves_is_judged(
    body: str, release: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "trtllm-build"
    program.write_text(_PROGRAM.format(python=sys.executable, body=body))
    program.chmod(stat.S_IRWXU)
    monkeypatch.setattr(trtllm, "find_program", lambda: str(program))
    problem, seconds = trtllm.build(tmp_path, release, 3 if "sleep" in body else 60)
    assert words in problem
    assert bool(words) == bool(problem)
    assert seconds > 0


def test_a_library_without_its_command_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no trtllm-build is beside" in trtllm.build(tmp_path, "0.20.0")[0]
