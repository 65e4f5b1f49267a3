"""An engine of vLLM that is up: its arguments, requests as it takes them, answers as it gives them."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.probe_llm.providers.answers import DTYPES, context_of, ended, told
from pytest_trtcheck._suites.probe_llm.providers.arguments import Arguments, guide, lora_rank, lora_request
from pytest_trtcheck._suites.probe_llm.providers.play import Part, play
from pytest_trtcheck._suites.probe_llm.providers.vllm_process import fits_in_one_process, undisturbed
from pytest_trtcheck._suites.probe_llm.tasks import VOCABULARY, encode
from pytest_trtcheck._suites.support.reasons import on_one_line

if TYPE_CHECKING:
    from pytest_trtcheck.providers import Completion, Model, Request, Setup

BLOCK_SIZES = {"cuda": 16, "cpu": 32}
"""Tokens in the smallest block that attention takes; what a cache of so many tokens is made of."""
NULL_BLOCKS = 1
"""Blocks of the pool that hold nothing."""
MEMORY_SHARE = 0.3
"""Of the GPU's memory; the probe model and all its requests need less."""
CPU_CACHE_BYTES = 512 << 20
"""The KV cache where vLLM runs on a CPU: 87,000 tokens of the probe model in fp32."""
GRAMMARS = "xgrammar"
"""What vLLM tries first by itself for regular expressions and schemas; only a named one can be told how."""
_COUNTERS = {"reused_tokens": "vllm:prefix_cache_hits", "preemptions": "vllm:num_preemptions"}


class Session:
    """An engine that is up, with the requests that it works on."""

    def __init__(self, setup: Setup, model: Model, device: str) -> None:
        self.model, self.device = model, device
        with undisturbed(one_process=fits_in_one_process(setup, device)):
            self.bring_up(setup)
        self.engine = self.llm.llm_engine
        self.numbers: dict[str, tuple[int, Request]] = {}
        self.count = 0
        self.refused: list[Part] = []
        self.largest = 0
        self.before = self.counted()

    def bring_up(self, setup: Setup) -> None:
        """Import the library and start the engine."""
        self.vllm = importlib.import_module("vllm")
        self.adapter = None
        if setup.adapter:
            self.adapter = lora_request(importlib.import_module("vllm.lora.request").LoRARequest, self.model)
        self.llm = self.vllm.LLM(**self.arguments(setup).given)

    def arguments(self, setup: Setup) -> Arguments:
        """Return the arguments that the engine is brought up with."""
        args = importlib.import_module("vllm.engine.arg_utils").EngineArgs
        found = Arguments("vllm.LLM", self.vllm.LLM, args)
        found.put(str(self.model.main), "model").put(DTYPES[setup.dtype], "dtype")
        found.put(MEMORY_SHARE, "gpu_memory_utilization").put(context_of(setup, self.model), "max_model_len")
        found.put(setup.prefix_reuse, "enable_prefix_caching").put(setup.tensor_parallel, "tensor_parallel_size")
        # Those of the whole vocabulary are asked for; 20 are told at most otherwise.
        found.put(VOCABULARY, "max_logprobs")
        # Compiling and capturing graphs takes longer than all that is asked of one engine.
        found.put(True, "enforce_eager").put(False, "disable_log_stats")
        if setup.slots or setup.chunk:
            # A step must have room for one token of each request.
            found.put(min(setup.slots or setup.chunk, setup.chunk or setup.slots), "max_num_seqs")
        if setup.chunk:
            found.put(setup.chunk, "max_num_batched_tokens").put(True, "enable_chunked_prefill")
        if self.device == "cpu":
            found.put(CPU_CACHE_BYTES, "kv_cache_memory_bytes")
        page = setup.page_size or BLOCK_SIZES[self.device]
        if setup.page_size or setup.kv_tokens:
            found.put(page, "block_size")
        if setup.kv_tokens:
            found.put(setup.kv_tokens // page + NULL_BLOCKS, "num_gpu_blocks_override")
        if setup.kv_dtype:
            found.put(setup.kv_dtype, "kv_cache_dtype")
        if setup.quantization:
            found.put(setup.quantization, "quantization")
        if setup.adapter:
            found.put(True, "enable_lora").put(1, "max_loras").put(lora_rank(self.model), "max_lora_rank")
        if setup.speculation:
            found.put(speculation(setup, self.model), "speculative_config")
        compact(found)
        return found

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer requests, in their order."""
        return play(requests, self)

    def submit(self, number: int, request: Request, *, stream: bool) -> None:  # noqa: ARG002
        """Add a request to the engine; one that it does not take is refused in its words."""
        self.count += 1
        name = f"probe-{self.count}"
        try:
            params = self.params(request)
            prompt = {"prompt_token_ids": list(request.prompt)}
            self.engine.add_request(name, prompt, params, lora_request=self.adapter if request.adapter else None)
        except Exception as error:
            if not _is_refusal(error):
                raise
            self.refused.append(Part(number, finish="refused", words=on_one_line(str(error))))
        else:
            self.numbers[name] = (number, request)

    def parts(self) -> Iterable[Part]:
        """Run a step, unless something was refused."""
        refused, self.refused = self.refused, []
        if refused:
            return refused
        if not self.engine.has_unfinished_requests():
            raise RuntimeError(f"the engine says that it is done; without an answer: {len(self.numbers)} requests")
        outputs = [output for output in self.engine.step() if output.request_id in self.numbers]
        self.largest = max(self.largest, len(outputs))
        return [self.part(output) for output in outputs]

    def cancel(self, number: int) -> None:
        """Abort a request."""
        names = [name for name, (known, _) in self.numbers.items() if known == number]
        for name in names:
            del self.numbers[name]
        if names:
            self.engine.abort_request(names)

    def part(self, output: Any) -> Part:
        """Return what came of a request so far; outputs are cumulative."""
        number, request = self.numbers[output.request_id]
        answer = output.outputs[0]
        tokens, finish = tuple(answer.token_ids), ""
        if output.finished:
            del self.numbers[output.request_id]
            stop = answer.stop_reason if isinstance(answer.stop_reason, str) else None
            tokens = up_to(stop, answer.text, tokens) if stop else tokens
            tokens, finish = ended(request, tokens, str(answer.finish_reason), stop)
        return Part(number, tokens, finish, log_probs=told(answer.logprobs, len(tokens)))

    def params(self, request: Request) -> Any:
        """Return a request as the release's ``SamplingParams``."""
        kind = self.vllm.SamplingParams
        found = Arguments("vllm.SamplingParams", kind)
        found.put(request.max_tokens, "max_tokens").put(request.temperature, "temperature")
        found.put(request.repetition_penalty, "repetition_penalty")
        if request.temperature > 0:
            # -1 stands for all in every release; 0 does in later ones.
            found.put(request.top_k or -1, "top_k").put(request.top_p, "top_p").put(request.seed, "seed")
        if request.stop:
            found.put(list(request.stop), "stop")
        if request.bad_words:
            found.put(list(request.bad_words), "bad_words")
        if request.log_probs:
            found.put(request.log_probs, "logprobs")
        if request.regex or request.json_schema:
            module = importlib.import_module("vllm.sampling_params")
            guides = getattr(module, "StructuredOutputsParams", None) or module.GuidedDecodingParams
            found.put(guide(guides, request), "structured_outputs", "guided_decoding")
        return kind(**found.given)

    def counted(self) -> Mapping[str, float]:
        """Return the process's counters; they outlive an engine."""
        metrics = getattr(self.llm, "get_metrics", None)
        if metrics is None:
            return {}
        values = {metric.name: float(metric.value) for metric in metrics() if hasattr(metric, "value")}
        return {ours: values[theirs] for ours, theirs in _COUNTERS.items() if theirs in values}

    def statistics(self) -> Mapping[str, float]:
        """Return what was counted since the engine was opened; the batch is that of requests told of in one step."""
        counted = {name: value - self.before.get(name, 0.0) for name, value in self.counted().items()}
        return {**counted, "largest_batch": float(self.largest)}

    def close(self) -> None:
        """Stop the engine's processes and free its memory."""
        import torch

        stop = getattr(getattr(self.engine, "engine_core", None), "shutdown", None)
        if stop is not None:
            stop()
        del self.engine, self.llm
        gc.collect()
        torch.cuda.empty_cache()


def compact(found: Arguments) -> None:
    """Let JSON hold no white space but what it needs: a model may go on with blanks for ever, and no schema forbids it.

    The flag of the same name in a request's parameters is read by no backend (0.20.2, 0.28.0, 0.32.0).
    """
    if found.try_put({"backend": GRAMMARS, "disable_any_whitespace": True}, "structured_outputs_config"):
        return
    if found.try_put(True, "guided_decoding_disable_any_whitespace"):
        found.put(GRAMMARS, "guided_decoding_backend")
    else:
        found.try_put(f"{GRAMMARS}:disable-any-whitespace", "guided_decoding_backend")


def speculation(setup: Setup, model: Model) -> dict[str, Any]:
    """Return how tokens are proposed."""
    if setup.speculation == "ngram":
        return {"method": "ngram", "num_speculative_tokens": setup.draft_tokens, "prompt_lookup_max": 4}
    return {"method": "draft_model", "model": str(model.draft), "num_speculative_tokens": setup.draft_tokens}


def up_to(stop: str, text: str, tokens: tuple[int, ...]) -> tuple[int, ...]:
    """Return the tokens up to a stop word: only the text ends before it, and a step of several may bring more tokens.

    Tokens that do not say the text and then the stop word are left, so that what is wrong with them shows.
    """
    said = tuple(encode(text + stop))
    return said if tokens[: len(said)] == said else tokens


def _is_refusal(error: Exception) -> bool:
    """Say whether the engine says no to a request: ValueError, and a class of its own in later releases."""
    return isinstance(error, ValueError) or type(error).__name__ == "VLLMValidationError"
