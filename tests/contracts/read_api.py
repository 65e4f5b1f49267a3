"""Reads what a release's classes and functions take from an unpacked wheel, without importing it.

``python -m tests.contracts.read_api vllm FOLDER…`` prints the table of ``tests/data/api/vllm.json``; each folder is a
wheel, unpacked. What is read is named below.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ABOUT = {
    "vllm": "Parameters and fields by release, read from the sources in each wheel by tests/contracts/read_api.py; "
    "'...' stands for a default, a field without one has none.",
    "transformers": "Parameters, options and keys by release, read from the sources in each wheel by "
    "tests/contracts/read_api.py; '...' stands for a default. Options are what GenerationConfig sets on itself, keys "
    "what from_pretrained takes out of its keyword arguments.",
}
V1 = "vllm/v1/engine/llm_engine.py"
WANTED: dict[str, dict[str, tuple[str, ...]]] = {
    "vllm": {
        "LLM.__init__": ("vllm/entrypoints/llm.py",),
        "LLM.get_metrics": ("vllm/entrypoints/llm.py",),
        "LLMEngine.add_request": (V1,),
        "LLMEngine.step": (V1,),
        "LLMEngine.abort_request": (V1,),
        "LLMEngine.has_unfinished_requests": (V1,),
        "EngineCoreClient.shutdown": ("vllm/v1/engine/core_client.py",),
        "EngineArgs": ("vllm/engine/arg_utils.py",),
        "SamplingParams": ("vllm/sampling_params.py",),
        "GuidedDecodingParams": ("vllm/sampling_params.py",),
        "StructuredOutputsParams": ("vllm/sampling_params.py",),
        "LoRARequest": ("vllm/lora/request.py",),
        "CompletionOutput": ("vllm/outputs.py",),
    },
    "transformers": {
        "GenerationMixin.generate": ("transformers/generation/utils.py",),
        "GenerationConfig": ("transformers/generation/configuration_utils.py",),
        "PreTrainedModel.from_pretrained": ("transformers/modeling_utils.py",),
        "StoppingCriteria.__call__": ("transformers/generation/stopping_criteria.py",),
        "StopStringCriteria.__init__": ("transformers/generation/stopping_criteria.py",),
        "BaseStreamer.put": ("transformers/generation/streamers.py",),
    },
}


def parameters(function: ast.FunctionDef) -> str:
    """Return parameters as they can be written in a definition, annotations left out and defaults as ``...``."""
    arguments = function.args
    catching = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *catching]:
        argument.annotation = None
    arguments.defaults = [ast.Constant(...) for _ in arguments.defaults]
    arguments.kw_defaults = [None if default is None else ast.Constant(...) for default in arguments.kw_defaults]
    written = ast.unparse(arguments)
    return re.sub(r"^(?:self|cls)(?:, |$)", "", written)


def fields(found: ast.ClassDef) -> str:
    """Return a class's fields as keyword arguments: annotated names, or else what it takes from ``kwargs``."""
    names = []
    for node in found.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            is_inner = node.target.id.startswith("_") or "init=False" in ast.unparse(node)
            if not is_inner and "ClassVar" not in ast.unparse(node.annotation):
                names.append(node.target.id if node.value is None else f"{node.target.id}=...")
    if not names:
        starts = [node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
        keys = [str(one.value) for start in starts for one in _keys(start)]
        names = [f"{name}=..." for name in dict.fromkeys(keys)]
    return ", ".join(["*", *names])


def _keys(found: ast.AST) -> Iterator[ast.Constant]:
    """Yield the names in calls of ``kwargs.pop``."""
    for node in ast.walk(found):
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "kwargs.pop"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.args[0]


def entry(root: Path, what: str, files: tuple[str, ...]) -> dict[str, str] | None:
    """Return what one class or method takes; None where the release has none."""
    owner, _, method = what.partition(".")
    for file in files:
        if not (root / file).is_file():
            continue
        for found in ast.parse((root / file).read_text(encoding="utf-8")).body:
            if not isinstance(found, ast.ClassDef) or found.name != owner:
                continue
            if not method:
                base = next((ast.unparse(one) for one in found.bases if ast.unparse(one) in WANTED["vllm"]), "")
                taken = fields(found)
                return (entry(root, base, files) if base and taken == "*" else None) or {
                    "file": file,
                    "parameters": taken,
                }
            last = [node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == method]
            if last:
                keys = sorted({str(one.value) for one in _keys(last[-1])})
                told = {"file": file, "parameters": parameters(last[-1])}
                return {**told, "keys": ", ".join(keys)} if method == "from_pretrained" else told
    return None


def read(library: str, root: Path) -> tuple[str, dict[str, Any]]:
    """Return a release's number and its entries."""
    metadata = next(root.glob("*.dist-info/METADATA")).read_text(encoding="utf-8")
    release = re.search(r"^Version: (.+)$", metadata, re.M)
    assert release is not None
    found = {what: entry(root, what, files) for what, files in WANTED[library].items()}
    return release[1], {"functions": {what: one for what, one in found.items() if one}}


def main(library: str, folders: list[str]) -> None:
    """Print the table."""
    releases = dict(sorted((read(library, Path(folder)) for folder in folders), key=lambda one: _order(one[0])))
    print(json.dumps({"about": ABOUT[library], "read": "2026-11-20", "releases": releases}, indent=1))


def _order(release: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", release)]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
