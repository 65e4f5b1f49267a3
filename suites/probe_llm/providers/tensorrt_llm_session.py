"""An LLM of TensorRT-LLM that is up: how it is brought up, and how requests are put to it."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.probe_llm.providers.answers import DTYPES, context_of, ended, told
from pytest_trtcheck._suites.probe_llm.providers.arguments import Arguments, guide, lora_rank, lora_request
from pytest_trtcheck._suites.probe_llm.providers.play import Part, Threads, play
from pytest_trtcheck._suites.probe_llm.providers.tensorrt_llm import MOST_BEAMS
from pytest_trtcheck._suites.probe_llm.tasks import EOS, PAD
from pytest_trtcheck._suites.support.reasons import on_one_line
from pytest_trtcheck.providers import Refused

if TYPE_CHECKING:
    from pytest_trtcheck.providers import Completion, Model, Request, Setup

MEMORY_SHARE = 0.3
"""Of the GPU's free memory, where the setup leaves the KV cache open; the probe model needs less."""
ENGINE_SLOTS = 8
QUANTIZATIONS = {"int8_weight_only": "W8A16", "int4_weight_only": "W4A16"}
"""Algorithms that need no calibration, and so no data set, as ``QuantAlgo`` names them."""
ATTENTION_CLASSES = {"TRTLLM": "TrtllmAttention", "FLASHINFER": "FlashInferAttention", "VANILLA": "VanillaAttention"}
_SECONDS = 600.0
"""For one answer; the check's own deadline is shorter."""


def open_torch(setup: Setup, model: Model) -> Session:
    """Return a session on the PyTorch backend."""
    llm, api = importlib.import_module("tensorrt_llm"), importlib.import_module("tensorrt_llm.llmapi")
    found = Arguments("tensorrt_llm.LLM", llm.LLM, _args_class("TorchLlmArgs", "LlmArgs"))
    _put_shared(found, setup, model, api)
    found.put(context_of(setup, model), "max_seq_len")
    if setup.slots:
        found.put(setup.slots, "max_batch_size")
    if setup.chunk:
        found.put(setup.chunk, "max_num_tokens")
    if setup.adapter:
        found.put(_lora_config(model), "lora_config")
    if setup.speculation:
        found.put(_speculation(setup, model, api), "speculative_config")
    session = Session(llm.LLM(**found.given), llm, model)
    problem = other_attention(session.llm)
    if problem:
        session.close()
        raise Refused(problem)
    return session


def open_engine(setup: Setup, model: Model, *, has_torch_default: bool) -> Session:
    """Return a session on an engine, built now; ``has_torch_default``: engines have a package of their own."""
    llm, api = importlib.import_module("tensorrt_llm"), importlib.import_module("tensorrt_llm.llmapi")
    kind = importlib.import_module("tensorrt_llm._tensorrt_engine").LLM if has_torch_default else llm.LLM
    found = Arguments("LLM of the engine backend", kind, _args_class("TrtLlmArgs", "LlmArgs"))
    _put_shared(found, setup, model, api)
    context = context_of(setup, model)
    builder = getattr(llm, "BuildConfig", None) or api.BuildConfig
    build = Arguments("BuildConfig", builder).put(context, "max_seq_len").put(context - 1, "max_input_len")
    build.put(setup.slots or ENGINE_SLOTS, "max_batch_size").put(MOST_BEAMS, "max_beam_width")
    build.put(setup.chunk or ENGINE_SLOTS * context, "max_num_tokens")
    config = builder(**build.given)
    if setup.chunk or setup.prefix_reuse:
        config.plugin_config.use_paged_context_fmha = True
    if setup.page_size:
        config.plugin_config.tokens_per_block = setup.page_size
    found.put(config, "build_config")
    if setup.quantization:
        algorithm = getattr(api.QuantAlgo, QUANTIZATIONS[setup.quantization])
        found.put(
            api.QuantConfig(**Arguments("QuantConfig", api.QuantConfig).put(algorithm, "quant_algo").given),
            "quant_config",
        )
    return Session(kind(**found.given), llm, model)


def _put_shared(found: Arguments, setup: Setup, model: Model, api: Any) -> None:
    """Add what both backends take under one name."""
    found.put(str(model.main), "model").put(DTYPES[setup.dtype], "dtype")
    found.put(setup.tensor_parallel, "tensor_parallel_size")
    cache = Arguments("KvCacheConfig", api.KvCacheConfig).put(setup.prefix_reuse, "enable_block_reuse")
    if setup.kv_tokens:
        cache.put(setup.kv_tokens, "max_tokens")
    else:
        cache.put(MEMORY_SHARE, "free_gpu_memory_fraction")
    if setup.kv_dtype:
        cache.put({"fp8_e4m3": "fp8"}[setup.kv_dtype], "dtype")
    if setup.page_size:
        cache.try_put(setup.page_size, "tokens_per_block")
    found.put(api.KvCacheConfig(**cache.given), "kv_cache_config")
    if setup.chunk:
        found.put(True, "enable_chunked_prefill")
    if not setup.speculation:
        # It must be chosen before it is known whether an answer has to match anything.
        found.try_put("xgrammar", "guided_decoding_backend")


def _args_class(*names: str) -> Any:
    """Return the class that collects the arguments of LLM, of whichever name the release has."""
    for path in ("tensorrt_llm.llmapi.llm_args", "tensorrt_llm.llmapi.llm_utils"):
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError:
            continue
        for name in names:
            if hasattr(module, name):
                return getattr(module, name)
    raise Refused(f"no {' or '.join(names)} in tensorrt_llm.llmapi: arguments unknown")


def _imported(name: str, *paths: str) -> Any:
    """Return a class from the first module that has it."""
    for path in paths:
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError:
            continue
        if hasattr(module, name):
            return getattr(module, name)
    raise Refused(f"no {name} in {' or '.join(paths)}")


def _lora_config(model: Model) -> Any:
    kind = _imported(
        "LoraConfig", "tensorrt_llm.lora_helper", "tensorrt_llm.lora_manager", "tensorrt_llm._torch.peft.lora.config"
    )
    found = Arguments("LoraConfig", kind).put([str(model.adapter)], "lora_dir").put(lora_rank(model), "max_lora_rank")
    found.try_put(1, "max_loras")
    found.try_put(1, "max_cpu_loras")
    return kind(**found.given)


def _speculation(setup: Setup, model: Model, api: Any) -> Any:
    if setup.speculation == "ngram":
        kind = api.NGramDecodingConfig
        found = Arguments("NGramDecodingConfig", kind).put(2, "max_matching_ngram_size")
        found.put(setup.draft_tokens, "max_draft_len", "prompt_lookup_num_tokens")
    else:
        kind = api.DraftTargetDecodingConfig
        found = Arguments("DraftTargetDecodingConfig", kind).put(setup.draft_tokens, "max_draft_len")
        # Its name has changed to and fro.
        found.put(str(model.draft), "speculative_model", "speculative_model_dir")
    return kind(**found.given)


def other_attention(llm: Any) -> str:
    """Return what is wrong if the attention backend in use is not the one that the arguments name; empty when it is.

    An unknown name silently becomes another backend, so the class is looked at, where it can be found.
    """
    asked = getattr(getattr(llm, "args", None), "attn_backend", None)
    try:
        choose = importlib.import_module("tensorrt_llm._torch.attention_backend.utils").get_attention_backend
    except (ModuleNotFoundError, AttributeError):
        return ""
    expected = ATTENTION_CLASSES.get(str(asked))
    if expected is None:
        return ""
    chosen = choose(asked).__name__
    return "" if chosen == expected else f"asked for the attention backend {asked}, TensorRT-LLM gave {chosen}"


class Session:
    """An LLM that is up."""

    def __init__(self, llm: Any, library: Any, model: Model) -> None:
        self.llm, self.library, self.model = llm, library, model
        self.api = importlib.import_module("tensorrt_llm.llmapi")

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer requests, in their order."""
        return play(requests, Handles(self))

    def params(self, request: Request) -> Any:
        """Return a request as the release's ``SamplingParams``."""
        kind = self.library.SamplingParams
        found = Arguments("SamplingParams", kind).put(request.max_tokens, "max_tokens")
        found.put(EOS, "end_id").put(PAD, "pad_id")
        if request.temperature > 0:
            # What is left out is 0 to the runtime, and a top_p of 0 takes the likeliest token.
            found.put(request.temperature, "temperature").put(request.top_p, "top_p").put(request.top_k, "top_k")
        elif request.beams == 1:
            found.put(1, "top_k")
        if request.seed is not None:
            found.put(request.seed, "seed")
        if request.beams > 1:
            found.put(True, "use_beam_search").put(request.beams, "n").put(request.beams, "best_of")
            found.put(request.length_penalty, "length_penalty")
        if request.repetition_penalty != 1:
            found.put(request.repetition_penalty, "repetition_penalty")
        if request.stop:
            found.put(list(request.stop), "stop")
        if request.bad_words:
            found.put(list(request.bad_words), "bad")
        if request.log_probs:
            found.put(request.log_probs, "logprobs")
        if request.regex or request.json_schema:
            found.put(guide(self.api.GuidedDecodingParams, request), "guided_decoding")
        return kind(**found.given)

    def lora(self) -> Any:
        """Return the adapter as a request names it."""
        kind = _imported("LoRARequest", "tensorrt_llm.executor", "tensorrt_llm.executor.request")
        return lora_request(kind, self.model)

    def submit(self, request: Request, *, stream: bool) -> Any:
        """Return the handle of a request."""
        ids = list(request.prompt)
        if not request.adapter:
            return self.llm.generate_async(ids, sampling_params=self.params(request), streaming=stream)
        return self.llm.generate_async(
            ids, sampling_params=self.params(request), streaming=stream, lora_request=self.lora()
        )

    def close(self) -> None:
        """Stop the workers and free their memory."""
        import torch

        self.llm.shutdown()
        del self.llm
        gc.collect()
        torch.cuda.empty_cache()


class Handles(Threads):
    """Requests are handed in here, in their order; a thread waits for each answer."""

    def __init__(self, session: Session) -> None:
        super().__init__(self.answer)
        self.session = session
        self.handles: dict[int, Any] = {}

    def submit(self, number: int, request: Request, *, stream: bool) -> None:
        """Hand a request in, and wait for it elsewhere."""
        try:
            self.handles[number] = self.session.submit(request, stream=stream)
        except Exception as error:
            if not _is_refusal(error):
                raise
            self.handles[number] = on_one_line(str(error))
        super().submit(number, request, stream=stream)

    def answer(self, number: int, request: Request, stream: bool) -> Iterator[Part]:
        """Yield the parts of an answer."""
        handle = self.handles.pop(number)
        if isinstance(handle, str):
            yield Part(number, finish="refused", words=handle)
            return
        is_over = False
        try:
            for _ in handle if stream else (handle.result(_SECONDS),):
                part = self.part(number, request, handle)
                is_over = bool(part.finish)
                yield part
        except Exception as error:
            if not _is_refusal(error):
                raise
            is_over = True
            yield Part(number, finish="refused", words=on_one_line(str(error)))
        finally:
            if not is_over:
                handle.abort()

    def part(self, number: int, request: Request, handle: Any) -> Part:
        """Return what has come; outputs are cumulative, and one object for all."""
        answer = handle.outputs[0]
        tokens, finish = tuple(answer.token_ids), ""
        if answer.finish_reason is not None:
            stop = answer.stop_reason if isinstance(answer.stop_reason, str) else None
            tokens, finish = ended(request, tokens, str(answer.finish_reason), stop)
        rows = told(_rows(answer), len(tokens)) if request.log_probs else ()
        beams: tuple[tuple[tuple[int, ...], float], ...] = ()
        if finish and request.beams > 1:
            beams = tuple(
                (ended(request, one.token_ids, str(one.finish_reason))[0], float(one.cumulative_logprob))
                for one in handle.outputs
            )
        return Part(number, tokens, finish, "", rows, beams)


def _rows(answer: Any) -> list[Mapping[int, Any]]:
    """Return log-probabilities by token id; some releases tell one number for each token."""
    rows = zip(answer.token_ids, answer.logprobs or (), strict=False)
    return [row if isinstance(row, Mapping) else {token: row} for token, row in rows]


def _is_refusal(error: Exception) -> bool:
    """Say whether a request was declined: ValueError when it is handed in, the executor's RequestError later."""
    return isinstance(error, ValueError) or type(error).__name__ == "RequestError"
