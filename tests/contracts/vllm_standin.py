"""A stand-in for vLLM of one release, made from the tables; nothing of vLLM is in it, and no model.

Its classes take what the release's took and refuse the rest; the engine answers as ``toy_llm`` says, one token of each
running request a step.
"""

from __future__ import annotations

import inspect
from collections import Counter
from dataclasses import make_dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_trtcheck._suites.probe_llm.tasks import decode
from tests.attention.libraries import module, releases, signature
from tests.contracts.toy_llm import Job, log_probs_of

LIBRARY = "vllm"


class VllmStandin:
    """The modules of a release, and what was called."""

    def __init__(self, release: str) -> None:
        self.release = release
        self.uses: Counter[str] = Counter()
        self.llm: Any = None
        self.params: list[Any] = []

    def bind(self, function: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Bind a call as the release would."""
        self.uses[function] += 1
        return dict(signature(LIBRARY, self.release, function).bind(*args, **kwargs).arguments)

    def has(self, function: str) -> bool:
        """Say whether the release has a function."""
        return function in releases(LIBRARY)[self.release]["functions"]

    def fields(self, name: str) -> list[str]:
        """Return a class's fields."""
        return list(signature(LIBRARY, self.release, name).parameters)

    def struct(self, name: str) -> type:
        """Return a class of fields as msgspec makes them."""
        standin = self

        class Struct:
            __struct_fields__ = tuple(standin.fields(name))

            def __init__(self, **kwargs: Any) -> None:
                self.given = standin.bind(name, **kwargs)

        return Struct

    def install(self, monkeypatch: pytest.MonkeyPatch) -> VllmStandin:
        """Put the modules where imports find them."""
        standin = self

        class Llm:
            def __init__(self, **kwargs: Any) -> None:
                known = inspect.signature(Llm.__init__).parameters
                own = {name: value for name, value in kwargs.items() if name in known}
                standin.bind("LLM.__init__", **own)
                standin.bind("EngineArgs", **{name: value for name, value in kwargs.items() if name not in own})
                standin.llm, self.given = self, kwargs
                self.llm_engine = Engine(standin, kwargs)

        start = signature(LIBRARY, self.release, "LLM.__init__")
        Llm.__init__.__signature__ = start  # type: ignore[attr-defined] # what inspect reads
        if self.has("LLM.get_metrics"):
            Llm.get_metrics = lambda _: Engine.metrics(standin)  # type: ignore[attr-defined] # by release
        params = self.struct("SamplingParams")
        sampling: dict[str, Any] = {"SamplingParams": params}
        for guide in ("GuidedDecodingParams", "StructuredOutputsParams"):
            if self.has(guide):
                sampling[guide] = make_dataclass(guide, [(name, Any, None) for name in self.fields(guide)])
        args = make_dataclass("EngineArgs", [(name, Any, None) for name in self.fields("EngineArgs")])
        module(monkeypatch, "vllm", LLM=Llm, SamplingParams=params)
        module(monkeypatch, "vllm.sampling_params", **sampling)
        module(monkeypatch, "vllm.engine", __path__=[])
        module(monkeypatch, "vllm.engine.arg_utils", EngineArgs=args)
        module(monkeypatch, "vllm.lora", __path__=[])
        module(monkeypatch, "vllm.lora.request", LoRARequest=self.struct("LoRARequest"))
        return self


class Engine:
    """The recorded calls of ``LLMEngine``, and answers of a toy."""

    preemptions = 0

    def __init__(self, standin: VllmStandin, given: dict[str, Any]) -> None:
        self.standin, self.given = standin, given
        self.jobs: dict[str, tuple[Job, Any]] = {}
        self.engine_core = SimpleNamespace(shutdown=lambda *a, **k: standin.bind("EngineCoreClient.shutdown", *a, **k))

    @staticmethod
    def metrics(standin: VllmStandin) -> list[Any]:
        """Return counters of the process, which another engine may have moved before, and what has no value."""
        standin.bind("LLM.get_metrics")
        Engine.preemptions += 1
        return [
            SimpleNamespace(name="vllm:num_preemptions", value=float(Engine.preemptions)),
            SimpleNamespace(name="vllm:e2e_request_latency_seconds", buckets={}),
        ]

    def add_request(self, *args: Any, **kwargs: Any) -> None:
        call = self.standin.bind("LLMEngine.add_request", *args, **kwargs)
        params = call["params"].given
        self.standin.params.append(params)
        job = Job(
            call["prompt"]["prompt_token_ids"],
            params["max_tokens"],
            params.get("stop") or (),
            call.get("lora_request") is not None,
            self.given["max_model_len"],
        )
        job.refuse()
        self.jobs[call["request_id"]] = (job, params)

    def has_unfinished_requests(self) -> bool:
        self.standin.bind("LLMEngine.has_unfinished_requests")
        return bool(self.jobs)

    def abort_request(self, *args: Any) -> None:
        for name in self.standin.bind("LLMEngine.abort_request", *args)["request_ids"]:
            del self.jobs[name]

    def step(self) -> list[Any]:
        self.standin.bind("LLMEngine.step")
        outputs = []
        for name, (job, params) in list(self.jobs.items())[: self.given.get("max_num_seqs", 256)]:
            job.step()
            if job.reason:
                del self.jobs[name]
            outputs.append(
                SimpleNamespace(request_id=name, finished=bool(job.reason), outputs=[self.output(job, params)])
            )
        return outputs

    def output(self, job: Job, params: dict[str, Any]) -> Any:
        """Return an output with the fields that the release records."""
        rows = None
        if params.get("logprobs"):
            rows = [
                {
                    token: SimpleNamespace(logprob=value)
                    for token, value in log_probs_of(chosen, params["logprobs"]).items()
                }
                for chosen in job.tokens
            ]
        text = decode(job.tokens)
        text = text[: -len(job.stop)] if job.stop else text
        told = {
            "index": 0, "text": text, "token_ids": list(job.tokens), "cumulative_logprob": None, "logprobs": rows,
            "finish_reason": job.reason, "stop_reason": job.stop,
        }  # fmt: skip
        return SimpleNamespace(**self.standin.bind("CompletionOutput", **told))
