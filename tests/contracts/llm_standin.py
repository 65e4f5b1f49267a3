"""A stand-in for TensorRT-LLM of one release, made from the tables; nothing of TensorRT-LLM is in it.

Names that the tables do not have in a release raise AttributeError, calls are bound to the recorded signatures. The two
plugins and the PyTorch backend compute their answers in fp64.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from tests.contracts import tables

_SETTERS = ("set_bert_attention_plugin", "set_gpt_attention_plugin", "set_context_fmha")
"""Setters up to 0.10, by the note at PluginConfig."""


class LlmStandin:
    """The module ``tensorrt_llm`` of a release."""

    def __init__(self, release: str) -> None:
        self.__version__ = release
        self.uses: Counter[str] = Counter()
        self.calls: dict[str, inspect.BoundArguments] = {}
        """Arguments of the last call, by name of the function."""
        self.plugins: dict[str, Any] = {}
        self.order: list[str] = []
        self.refuses_to_run = False

    def __getattr__(self, name: str) -> Any:
        return Path(self, f"tensorrt_llm.{name}")

    def entry(self, path: str) -> Mapping[str, Any]:
        """Return the entry of a name, or raise as a module without it would."""
        found: Mapping[str, Any] | None = tables.contracts()["tensorrt_llm"].get(path)
        if found is None or tables.number(found["since"]) > tables.number(self.__version__):
            raise AttributeError(f"tensorrt_llm {self.__version__} has no {path}")
        return found

    def bound(self, path: str, *args: Any, **kwargs: Any) -> inspect.BoundArguments:
        """Bind a call as the release would."""
        found = tables.signatures(self.entry(path), self.__version__)
        self.uses[path] += 1
        self.order.append(path.rpartition(".")[2])
        self.calls[path.rpartition(".")[2]] = bound = tables.bind(found, path, *args, **kwargs)
        return bound


class Path:
    """A dotted name below the module: a package, a class or a function."""

    def __init__(self, module: LlmStandin, path: str) -> None:
        known = tables.contracts()["tensorrt_llm"]
        if path not in known and not any(name.startswith(f"{path}.") for name in known):
            raise AttributeError(f"tensorrt_llm {module.__version__} has no {path}")
        self._module, self._path = module, path

    def __getattr__(self, name: str) -> Any:
        members = tables.contracts()["tensorrt_llm"].get(self._path, {}).get("members")
        if members is not None:
            if name not in members:
                raise AttributeError(f"{self._path} has no member {name}")
            self._module.uses[f"{self._path}.{name}"] += 1
            return name
        return Path(self._module, f"{self._path}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module = self._module
        name = self._path.rpartition(".")[2]
        if name == "Builder":
            assert not args
            assert not kwargs
            return Builder(module)
        bound = module.bound(self._path, *args, **kwargs)
        if name == "net_guard":
            return nullcontext()
        if name == "from_serialized_engine":
            return Session(module)
        if name == "gpt_attention":
            return Tensor(module), Tensor(module)
        assert name in {"Tensor", "bert_attention"}
        return Tensor(module, bound.arguments.get("name") if name == "Tensor" else None)


class Tensor:
    """A tensor of a network."""

    def __init__(self, module: LlmStandin, name: str | None = None) -> None:
        self.module, self.name = module, name

    def mark_output(self, *args: Any) -> None:
        bound = self.module.bound("tensorrt_llm.Tensor.mark_output", *args)
        self.name = bound.arguments["name"]


class Builder:
    """The recorded calls of ``tensorrt_llm.Builder``."""

    def __init__(self, module: LlmStandin) -> None:
        self.module = module

    def create_builder_config(self, *args: Any, **kwargs: Any) -> Any:
        self.module.bound("tensorrt_llm.Builder.create_builder_config", *args, **kwargs)
        return object()

    def create_network(self) -> Any:
        self.module.bound("tensorrt_llm.Builder.create_network")
        return SimpleNamespace(plugin_config=PluginConfig(self.module))

    def build_engine(self, *args: Any) -> Any:
        self.module.bound("tensorrt_llm.Builder.build_engine", *args)
        return b"engine"


class PluginConfig:
    """Setters up to 0.10, attributes from 0.11, as the note at the entry tells."""

    def __init__(self, module: LlmStandin) -> None:
        self.__dict__["module"] = module

    def __getattr__(self, name: str) -> Any:
        release = tables.number(self.module.__version__)
        here = {*_SETTERS[2 if release >= (0, 11) else 0 :], *(["to_legacy_setting"] if release >= (0, 8) else [])}
        if name not in here:
            raise AttributeError(f"PluginConfig of {self.module.__version__} has no {name}")
        self.module.uses[f"PluginConfig.{name}"] += 1
        return lambda *given: self.module.plugins.update({name.removeprefix("set_"): given[0] if given else True})

    def __setattr__(self, name: str, value: Any) -> None:
        signature = tables.signatures(self.module.entry("tensorrt_llm.plugin.PluginConfig"), self.module.__version__)[0]
        assert tables.number(self.module.__version__) >= (0, 11), "attributes are for 0.11 and later"
        assert name in signature.parameters, name
        self.module.uses[f"PluginConfig.{name}"] += 1
        self.module.plugins[name] = value


class Session:
    """Computes what the plugin of the network would."""

    def __init__(self, module: LlmStandin) -> None:
        self.module = module

    def run(self, *args: Any, **kwargs: Any) -> bool:
        given = self.module.bound("tensorrt_llm.runtime.Session.run", *args, **kwargs).arguments
        calls = self.module.calls
        is_bert = "bert_attention" in calls
        call = calls["bert_attention" if is_bert else "gpt_attention"].arguments
        size = call["head_size" if is_bert else "hidden_size_per_head"]
        heads = (call["num_heads"], call["num_heads"] if is_bert else call["num_kv_heads"])
        lengths = given["inputs"]["input_lengths" if is_bert else "context_lengths"].tolist()
        qkv = given["inputs"]["qkv"]
        for row, length in enumerate(lengths):
            answer = attend(qkv[row, :length], heads, size, call["q_scaling"], is_causal=not is_bert)
            given["outputs"]["output"][row, :length] = answer
        return not self.module.refuses_to_run


def attend(qkv: Any, heads: tuple[int, int], size: int, q_scaling: float, *, is_causal: bool) -> Any:
    """Return attention of one sequence from fused ``[tokens, (heads + 2 * kv_heads) * size]``, in its dtype."""
    import torch

    split = qkv.double().split([heads[0] * size, heads[1] * size, heads[1] * size], dim=-1)
    q, k, v = (part.unflatten(-1, (-1, size)).transpose(0, 1) for part in split)
    k, v = (part.repeat_interleave(heads[0] // heads[1], 0) for part in (k, v))
    logits = q @ k.mT / (q_scaling * size**0.5)
    if is_causal:
        logits = logits.masked_fill(torch.ones_like(logits, dtype=torch.bool).triu(1), float("-inf"))
    return (logits.softmax(-1) @ v).transpose(0, 1).flatten(1).to(qkv.dtype)


class TorchPath:
    """The modules of ``tensorrt_llm._torch.attention_backend`` as the tables have them for 1.0 to 1.2."""

    def __init__(self, given: str = "TrtllmAttention") -> None:
        self.uses: Counter[str] = Counter()
        path = self
        recorded = tables.contracts()["tensorrt_llm_torch_attention"]
        prefix = "tensorrt_llm._torch.attention_backend"
        forward = recorded[f"{prefix}.AttentionBackend.forward"]["by_version"][0]
        assert forward["at"] == "1.0 to 1.2"
        names = [name.partition(" ")[0] for name in recorded[f"{prefix}.AttentionMetadata"]["signature"]]
        signatures = {
            "Metadata": tables.signature(
                [name if "=" in name else f"{name}=None" if name != "*" else name for name in names]
            ),
            "create_attention": tables.signature(recorded[f"{prefix}.utils.create_attention"]["signature"]),
            "get_attention_backend": tables.signature(recorded[f"{prefix}.utils.get_attention_backend"]["signature"]),
            "forward": tables.signature([name.strip("'") for name in forward["signature"]]),
        }

        def bind(name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
            path.uses[name] += 1
            return tables.bind([signatures[name]], name, *args, **kwargs).arguments

        class Metadata:
            def __init__(self, **kwargs: Any) -> None:
                self.given, self.is_prepared, self.max_seq_len = bind("Metadata", **kwargs), False, 0

            def prepare(self) -> None:
                assert self.max_seq_len == max(self.given["prompt_lens"])
                self.is_prepared = True

        class Backend:
            def __init__(self, given: dict[str, Any]) -> None:
                self.given = given

            def forward(self, *args: Any, **kwargs: Any) -> Any:
                import torch

                call = bind("forward", *args, **kwargs)
                metadata = call["metadata"]
                assert metadata.is_prepared
                mine = self.given
                heads = (mine["num_heads"], mine["num_kv_heads"])
                parts = call["q"].split(metadata.given["seq_lens"].tolist())
                is_causal = call["attention_mask"] == "CAUSAL"
                scaling = mine["q_scaling"]
                return torch.cat(
                    [attend(part, heads, mine["head_dim"], scaling, is_causal=is_causal) for part in parts]
                )

        classes = {
            name: type(name, (Backend,), {"Metadata": Metadata}) for name in ("TrtllmAttention", "VanillaAttention")
        }
        masks = recorded[f"{prefix}.interface enums"]["members"]["PredefinedAttentionMask"]

        def get_attention_backend(*args: Any) -> Any:
            bind("get_attention_backend", *args)
            return classes[given]

        self.modules = {
            prefix: SimpleNamespace(**classes),
            f"{prefix}.utils": SimpleNamespace(
                get_attention_backend=get_attention_backend,
                create_attention=lambda *args, **kwargs: classes[given](bind("create_attention", *args, **kwargs)),
            ),
            f"{prefix}.interface": SimpleNamespace(
                PredefinedAttentionMask=SimpleNamespace(**{name: name for name in masks})
            ),
        }
