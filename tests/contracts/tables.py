"""What is recorded of each release: ``matrix/sources/api_contracts.yaml``, and the layers of TensorRT beside it."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "matrix" / "sources" / "api_contracts.yaml"
Entry = Mapping[str, Any]


@cache
def contracts() -> dict[str, Any]:
    """Return the recorded tables."""
    loaded: dict[str, Any] = yaml.load(
        SOURCE.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    return loaded


@cache
def layers() -> dict[str, Any]:
    """Return members of TensorRT's layers and of enumerations that the tables only name."""
    loaded: dict[str, Any] = json.loads((HERE / "tensorrt_layers.json").read_text(encoding="utf-8"))
    return loaded


def other_class(name: str) -> Entry | None:
    """Return since and until of a class of TensorRT of which only the name is recorded."""
    found = contracts()["tensorrt_other_classes"].get(name)
    return {"since": found[0], "until": found[1]} if isinstance(found, list) else None


def number(release: str) -> tuple[int, ...]:
    """Return a release's leading numbers, which order releases; ``<=0.5.0`` counts as 0.5.0."""
    found = re.match(r"[<=]*(\d+(?:\.\d+)*)", release)
    assert found, release
    return tuple(int(part) for part in found[1].split("."))


def tensorrt_releases() -> list[str]:
    """Return every release of TensorRT that was read, from binaries or, 9.x, from source."""
    read = contracts()["meta"]["versions_read"]
    return sorted({*read["tensorrt"], *(name for name in read["tensorrt_source"] if name.startswith("9."))}, key=number)


def tensorrt_llm_releases() -> list[str]:
    """Return every release of TensorRT-LLM whose source was read at its tag, or at the commit that stands for it."""
    return sorted(contracts()["meta"]["versions_read"]["tensorrt_llm_exact"], key=number)


def is_in_tensorrt(entry: Entry, release: str) -> bool:
    """Say whether TensorRT of a release has what an entry describes."""
    wanted = number(release)
    from_source = wanted[0] == 9
    since = str(entry.get("since_src", entry["since"]) if from_source else entry["since"])
    until = str(entry.get("until_src", entry["until"]) if from_source else entry["until"])
    return number(since) <= wanted and (until == "current" or wanted <= number(until))


def signatures(entry: Entry, release: str) -> list[inspect.Signature]:
    """Return the signatures that a callable has in a release."""
    now = entry
    for step in entry.get("history", []):
        if number(step["from"]) <= number(release):
            now = step
    assert now.get("signature") != "absent", f"absent in {release}"
    return [signature(names) for names in now.get("overloads", [now.get("signature")])]


def signature(names: list[str]) -> inspect.Signature:
    """Return a signature from parameter names as the tables write them: ``a``, ``a=1``, ``*``, ``**kwargs``."""
    parameters: list[inspect.Parameter] = []
    by_name_only = seen_default = False
    for text in names:
        name, _, default = text.partition("=")
        if name == "*":
            by_name_only = True
        elif name.startswith("**"):
            parameters.append(inspect.Parameter(name[2:], inspect.Parameter.VAR_KEYWORD))
        elif name != "...":
            # Behind a default the recorded signatures of pybind11 may have a required parameter, which Python's cannot.
            required = not default and (by_name_only or not seen_default)
            seen_default = seen_default or bool(default)
            kind = inspect.Parameter.KEYWORD_ONLY if by_name_only else inspect.Parameter.POSITIONAL_OR_KEYWORD
            parameters.append(inspect.Parameter(name, kind, default=inspect.Parameter.empty if required else default))
    return inspect.Signature(parameters)


def bind(candidates: list[inspect.Signature], what: str, *args: Any, **kwargs: Any) -> inspect.BoundArguments:
    """Bind a call to the first signature that takes it, or fail as the library would."""
    for candidate in candidates:
        with suppress(TypeError):
            return candidate.bind(*args, **kwargs)
    raise TypeError(f"{what}{' or '.join(map(str, candidates))} does not take {args} {kwargs}")
