"""Arguments by the names that the installed release takes: they change by release, and unknown ones are refused."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

from pytest_trtcheck.providers import Model, Refused, Request


def names_of(*targets: Any) -> frozenset[str]:
    """Return the argument names of classes or functions: a pydantic model's or dataclass's fields, or parameters."""
    names: set[str] = set()
    for target in targets:
        fields = getattr(target, "model_fields", None) or getattr(target, "__struct_fields__", None)
        if fields:
            names.update(fields)
        elif dataclasses.is_dataclass(target):
            names.update(field.name for field in dataclasses.fields(target) if field.init)
        else:
            names.update(inspect.signature(target).parameters)
    return frozenset(names)


class Arguments:
    """Collects arguments for a call, each under the first of its spellings that the target takes."""

    def __init__(self, what: str, *targets: Any) -> None:
        """Take the names of the targets, all of one call, as LLM and its args; ``what`` names it in refusals."""
        self.what, self.names = what, names_of(*targets)
        self.given: dict[str, Any] = {}

    def put(self, value: Any, *spellings: str) -> Arguments:
        """Add an argument that is needed; Refused where the release has none of its names."""
        if not self.try_put(value, *spellings):
            raise Refused(f"{self.what} of this release takes no {' or '.join(spellings)}")
        return self

    def try_put(self, value: Any, *spellings: str) -> bool:
        """Add an argument where the release has one of its names, and say whether it has."""
        name = next((name for name in spellings if name in self.names), None)
        if name is not None:
            self.given[name] = value
        return name is not None


def lora_request(kind: Any, model: Model) -> Any:
    """Return the model's adapter as a request names it, of a library's ``LoRARequest``."""
    found = Arguments("LoRARequest", kind).put("probe", "lora_name").put(1, "lora_int_id")
    return kind(**found.put(str(model.adapter), "lora_path").given)


def lora_rank(model: Model) -> int:
    """Return the rank of the model's adapter."""
    return int(json.loads((model.adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"])


def guide(kind: Any, request: Request) -> Any:
    """Return what an answer must look like, of a library's class for that."""
    name, value = ("regex", request.regex) if request.regex else ("json", request.json_schema)
    return kind(**Arguments(kind.__name__, kind).put(value, name).given)
