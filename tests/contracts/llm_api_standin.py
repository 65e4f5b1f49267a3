"""A stand-in for TensorRT-LLM's LLM API of one release, made from the tables; nothing of TensorRT-LLM is in it.

Classes have the recorded names, as pydantic or dataclass fields, and refuse others. Answers are those of ``toy_llm``.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import make_dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_trtcheck._suites.probe_llm.tasks import EOS, encode
from tests.attention.libraries import module
from tests.contracts import tables
from tests.contracts.toy_llm import Job, log_probs_of

AT = {
    "0.16.0": ("0.16", "0.21 to 1.0rc"),
    "0.19.0": ("0.18 to 0.19", "0.21 to 1.0rc"),
    "1.0.0": ("1.0rc (mid 2025)", "1.0 to 1.1"),
    "1.2.1": ("1.2", "1.2"),
    "1.3.0rc20": ("1.3rc (stable part)", "1.3.0rc27"),
    "1.3.0rc27": ("1.3rc (stable part)", "1.3.0rc27"),
}
"""Which recorded lists of arguments stand for a release: of LLM, and of KvCacheConfig (not recorded before 0.21)."""

LAST_WITH_ENGINES = "1.3.0rc20"
ENGINE_ONLY = (
    "enable_tqdm", "workspace", "enable_build_cache", "extended_runtime_perf_knob_config", "calib_config",
    "quant_config", "build_config", "fast_build",
)  # fmt: skip
"""Fields of TrtLlmArgs beside those that both backends share. Source: tensorrt_llm/llmapi/llm_args.py, stored ids
1520735490 (1.0 to 1.1) and 1090804222 (1.2)."""


def recorded(name: str) -> dict[str, Any]:
    """Return what is recorded under a name."""
    found: dict[str, Any] = tables.contracts()["tensorrt_llm"][f"tensorrt_llm.{name}"]
    return found


def names(entry: list[str]) -> list[str]:
    """Return parameter names of a recorded signature."""
    return list(tables.signature(entry).parameters)


def of_release(name: str, at: str) -> list[str]:
    """Return parameter names recorded for a group of releases."""
    return next(names(step["signature"]) for step in recorded(name)["by_version"] if step["at"] == at)


class LlmApi:
    """The modules of a release, and what was called."""

    def __init__(self, release: str, *, tells_end_mark: bool = True, attention: str = "TrtllmAttention") -> None:
        self.release, self.attention, self.tells_end_mark = release, attention, tells_end_mark
        self.uses: Counter[str] = Counter()
        self.given: dict[str, Any] = {}
        self.params: list[dict[str, Any]] = []
        self.aborted = 0
        self.number = tables.number(release)

    def model(self, name: str, fields: list[str]) -> type:
        """Return a class as pydantic makes them, extra names forbidden."""
        standin = self

        class Model:
            model_fields = dict.fromkeys(fields)

            def __init__(self, **kwargs: Any) -> None:
                unknown = sorted(set(kwargs) - set(fields))
                if unknown:
                    raise TypeError(f"{name} of {standin.release}: extra inputs are not permitted: {unknown}")
                standin.uses[name] += 1
                self.given = kwargs

        return Model

    def install(self, monkeypatch: pytest.MonkeyPatch) -> LlmApi:
        """Put the modules where imports find them."""
        arguments = of_release("LLM", AT[self.release][0])
        has_engines = tables.number(self.release)[:2] < (1, 3) or self.release == LAST_WITH_ENGINES
        if self.number >= (1, 0):
            arguments = [name for name in arguments if name not in ENGINE_ONLY]
            engine_arguments = [*arguments, *(ENGINE_ONLY if has_engines else ())]
        else:
            engine_arguments = arguments
        args, llm = self.model("LlmArgs", arguments), self.llm(arguments)
        base = names(recorded("llmapi.DecodingBaseConfig")["signature"])
        if "rc27" in self.release:
            base = ["speculative_model" if name == "speculative_model_dir" else name for name in base]
        guide = recorded("llmapi.GuidedDecodingParams")["signature"]
        sampling = make_dataclass(
            "SamplingParams", [(name, Any, None) for name in names(recorded("SamplingParams")["signature"])]
        )
        build = names(recorded("BuildConfig@1.x")["signature"])
        api = {
            "KvCacheConfig": self.model("KvCacheConfig", of_release("llmapi.KvCacheConfig", AT[self.release][1])),
            "NGramDecodingConfig": self.model(
                "NGramDecodingConfig", [*base, *names(recorded("llmapi.NGramDecodingConfig")["signature"])]
            ),
            "DraftTargetDecodingConfig": self.model("DraftTargetDecodingConfig", base),
            "GuidedDecodingParams": make_dataclass(
                "GuidedDecodingParams", [(name, Any, None) for name in names(guide)]
            ),
            "QuantConfig": make_dataclass(
                "QuantConfig", [(name, Any, None) for name in names(recorded("llmapi.QuantConfig")["signature"])]
            ),
            "QuantAlgo": SimpleNamespace(
                **{name: name for name in recorded("llmapi.QuantAlgo")["by_version"][0]["members"]}
            ),
            "BuildConfig": self.build_config(build),
        }
        is_torch = self.number >= (1, 0)
        module(monkeypatch, "tensorrt_llm", __path__=[], LLM=llm, SamplingParams=sampling)
        module(monkeypatch, "tensorrt_llm.llmapi", __path__=[], **api)
        if is_torch:
            engine_args = self.model("TrtLlmArgs", engine_arguments)
            module(monkeypatch, "tensorrt_llm.llmapi.llm_args", TorchLlmArgs=args, TrtLlmArgs=engine_args)
            lora = self.model("LoraConfig", names(recorded("lora_helper.LoraConfig")["signature"]))
            module(monkeypatch, "tensorrt_llm.lora_helper", LoraConfig=lora)
            module(monkeypatch, "tensorrt_llm._tensorrt_engine", LLM=self.llm(engine_arguments))
            module(monkeypatch, "tensorrt_llm._torch", __path__=[])
            module(monkeypatch, "tensorrt_llm._torch.attention_backend", __path__=[])
            choose = tables.contracts()["tensorrt_llm_torch_attention"][
                "tensorrt_llm._torch.attention_backend.utils.get_attention_backend"
            ]["signature"]
            chosen = type(self.attention, (), {})

            def get_attention_backend(*given: Any) -> type:
                tables.signature(choose).bind(*given)
                return chosen

            module(
                monkeypatch, "tensorrt_llm._torch.attention_backend.utils", get_attention_backend=get_attention_backend
            )
        else:
            module(monkeypatch, "tensorrt_llm.llmapi.llm_utils", LlmArgs=args)
        request = recorded("executor.LoRARequest")["signature"]
        kind = make_dataclass("LoRARequest", [(name, Any, None) for name in names(request)])
        module(monkeypatch, "tensorrt_llm.executor", LoRARequest=kind)
        return self

    def build_config(self, fields: list[str]) -> type:
        """Return BuildConfig, whose plugin configuration has the recorded names."""
        plugins = set(names(recorded("plugin.PluginConfig")["signature"]))

        class Plugins:
            def __setattr__(self, name: str, value: Any) -> None:
                assert name in plugins, name
                self.__dict__[name] = value

        base = self.model("BuildConfig", fields)

        class BuildConfig(base):  # type: ignore[misc, valid-type] # made above
            def __init__(self, **kwargs: Any) -> None:
                super().__init__(**kwargs)
                self.plugin_config = Plugins()

        return BuildConfig

    def llm(self, arguments: list[str]) -> type:
        """Return LLM: some arguments by name, the others through its args class."""
        standin = self

        class Llm:
            def __init__(self, model: Any, tokenizer: Any = None, dtype: str = "auto", **kwargs: Any) -> None:
                unknown = sorted(set(kwargs) - set(arguments))
                if unknown:
                    raise TypeError(f"LLM of {standin.release}: extra inputs are not permitted: {unknown}")
                standin.given = {"model": model, "dtype": dtype, **kwargs}
                self.args = SimpleNamespace(attn_backend="TRTLLM")

            def generate_async(self, *args: Any, **kwargs: Any) -> Handle:
                call = tables.signature(recorded("LLM.generate_async")["signature"]).bind(*args, **kwargs).arguments
                return Handle(standin, call)

            def shutdown(self) -> None:
                standin.uses["shutdown"] += 1

        return Llm


class RequestError(RuntimeError):
    """Stands in for the executor's error of one request."""


class Handle:
    """A request under way; its output is one object that changes."""

    def __init__(self, standin: LlmApi, call: dict[str, Any]) -> None:
        self.standin, self.params = standin, call["sampling_params"]
        standin.params.append({name: value for name, value in vars(self.params).items() if value is not None})
        limit = standin.given.get("max_seq_len") or standin.given["build_config"].given["max_seq_len"]
        adapter = call.get("lora_request") is not None
        self.job = Job(call["inputs"], self.params.max_tokens, self.params.stop or (), adapter, limit)
        if not call["inputs"]:
            raise ValueError("prompt_token_ids is empty")
        beams = self.params.n if self.params.use_beam_search else 1
        self.outputs = [
            SimpleNamespace(
                token_ids=[], finish_reason=None, stop_reason=None, logprobs=[], cumulative_logprob=-float(index)
            )
            for index in range(beams or 1)
        ]

    def step(self) -> None:
        if len(self.job.prompt) >= self.job.context:
            # The library finds out in its executor.
            raise RequestError("the prompt is longer than max_seq_len")
        self.job.step()
        tokens = self.job.tokens
        if self.job.stop:
            tokens = tokens[: -len(encode(self.job.stop))]
        elif tokens[-1] == EOS and not self.standin.tells_end_mark:
            tokens = tokens[:-1]
        for output in self.outputs:
            output.token_ids = tokens
            output.finish_reason, output.stop_reason = self.job.reason, self.job.stop
            output.logprobs = [log_probs_of(token, self.params.logprobs or 1) for token in tokens]

    def __iter__(self) -> Iterator[Handle]:
        while self.job.reason is None:
            self.step()
            yield self

    def result(self, timeout: float) -> Handle:
        assert timeout > 0
        for _ in self:
            pass
        return self

    def abort(self) -> None:
        self.standin.aborted += 1


def is_loaded() -> bool:
    """Say whether anything of the library is in this process."""
    return "tensorrt_llm" in sys.modules
