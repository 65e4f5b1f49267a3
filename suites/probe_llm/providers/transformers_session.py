"""A model loaded by transformers, and its ``generate`` called with batches of requests that decode alike."""

from __future__ import annotations

import gc
import importlib
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.probe_llm.providers.answers import DTYPES, context_of, prompt_problem, without
from pytest_trtcheck._suites.probe_llm.providers.transformers import cache_backend
from pytest_trtcheck._suites.probe_llm.tasks import BOS, EOS, PAD, encode
from pytest_trtcheck._suites.support.reasons import older
from pytest_trtcheck.providers import Completion, Refused, Request

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_trtcheck.providers import Model, Setup, Where

ADAPTER = "probe"
NO_ADAPTER = "__base__"
"""What PEFT calls a row of a batch without an adapter."""
DTYPE_SINCE = "4.56"
"""``from_pretrained`` takes ``dtype``; ``torch_dtype`` before."""


@dataclass(frozen=True)
class Row:
    """One request of a batch."""

    number: int
    request: Request
    room: int
    """Tokens that it may still come to: its own limit, and the model's."""

    @property
    def limit(self) -> int:
        """Tokens after which it ends at the latest."""
        asked = self.request.cancel_after or self.room
        return min(self.room, asked)


class Session:
    """An open model."""

    def __init__(self, setup: Setup, model: Model, where: Where, cache: str) -> None:
        library = importlib.import_module("transformers")
        self.setup, self.device, self.cache = setup, where.device, cache
        self.context = context_of(setup, model)
        torch = importlib.import_module("torch")
        dtype = {
            "torch_dtype" if older(where, "transformers", DTYPE_SINCE) else "dtype": getattr(torch, DTYPES[setup.dtype])
        }
        load = library.AutoModelForCausalLM.from_pretrained
        self.model = load(str(model.main), local_files_only=True, **dtype).to(where.device).eval()
        self.draft = None
        if setup.speculation == "draft":
            self.draft = load(str(model.draft), local_files_only=True, **dtype).to(where.device).eval()
            self.draft.generation_config.num_assistant_tokens = setup.draft_tokens
            self.draft.generation_config.num_assistant_tokens_schedule = "constant"
            self.draft.generation_config.assistant_confidence_threshold = 0.0
        if setup.adapter:
            peft = importlib.import_module("peft")
            with unwarned():
                self.model = peft.PeftModel.from_pretrained(self.model, str(model.adapter), adapter_name=ADAPTER).eval()
        self.tokenizer = library.AutoTokenizer.from_pretrained(str(model.main), local_files_only=True)
        self.quantized = cache_backend(where) if setup.kv_dtype else ""

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer requests, in their order."""
        answers: dict[int, Completion] = {}
        rows = []
        for number, request in enumerate(requests):
            words = prompt_problem(request.prompt, self.context)
            if words:
                answers[number] = Completion((), "refused", words)
            else:
                rows.append(Row(number, request, min(request.max_tokens, self.context - len(request.prompt))))
        for batch in self.batches(rows):
            answers.update(zip((row.number for row in batch), self.answer(batch), strict=True))
        return [answers[number] for number in range(len(requests))]

    def batches(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """Return rows that may share a call of ``generate``, at most as many as there are slots."""
        alike: dict[Any, list[Row]] = {}
        for row in rows:
            request = row.request
            alone = request.streaming or request.seed is not None or bool(self.setup.speculation)
            # What may differ within a batch; beams of one length only, since rows of theirs do not stop by themselves.
            key = replace(request, prompt=(), max_tokens=0, after=None, cancel_after=0, log_probs=0, adapter=False)
            alike.setdefault((key, row.number if alone else row.limit if request.beams > 1 else None), []).append(row)
        most = self.setup.slots or len(rows)
        for group in alike.values():
            yield from (group[start : start + most] for start in range(0, len(group), most))

    def answer(self, batch: Sequence[Row]) -> list[Completion]:
        """Answer one batch."""
        import torch

        width = max(len(row.request.prompt) for row in batch)
        padded = [[PAD] * (width - len(row.request.prompt)) + list(row.request.prompt) for row in batch]
        ids = torch.tensor(padded, device=self.device)
        ends = torch.tensor([width - len(row.request.prompt) for row in batch], device=self.device)
        mask = (torch.arange(width, device=self.device)[None] >= ends[:, None]).long()
        streamer = Streamer() if batch[0].request.streaming else None
        with torch.inference_mode(), self.seeded(batch[0].request.seed), unwarned():
            out = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=self.config(batch),
                **self.extras(batch, width, streamer),
            )
        if batch[0].request.beams > 1:
            return [self.best_beams(out, index, row, width) for index, row in enumerate(batch)]
        return [self.completion(out, index, row, width, streamer) for index, row in enumerate(batch)]

    def config(self, batch: Sequence[Row]) -> Any:
        """Return the options that a batch shares."""
        library = importlib.import_module("transformers")
        request = batch[0].request
        options: dict[str, Any] = {
            "max_new_tokens": max(row.limit for row in batch),
            "do_sample": request.temperature > 0,
            "repetition_penalty": request.repetition_penalty,
            "bos_token_id": BOS,
            "eos_token_id": EOS,
            "pad_token_id": PAD,
            "return_dict_in_generate": True,
            "output_logits": any(row.request.log_probs for row in batch),
        }
        if request.temperature > 0:
            options |= {"temperature": request.temperature, "top_k": request.top_k, "top_p": request.top_p}
        if request.beams > 1:
            options |= {
                "num_beams": request.beams, "num_return_sequences": request.beams,
                "length_penalty": request.length_penalty, "early_stopping": False, "output_scores": True,
            }  # fmt: skip
        if request.bad_words:
            options["bad_words_ids"] = [encode(words) for words in request.bad_words]
        if request.stop:
            options["stop_strings"] = list(request.stop)
        if self.setup.speculation == "ngram":
            options["prompt_lookup_num_tokens"] = self.setup.draft_tokens
        if self.setup.chunk:
            options["prefill_chunk_size"] = self.setup.chunk
        known = vars(library.GenerationConfig())
        options |= self.cache_options(known)
        unknown = sorted(set(options) - set(known))
        if unknown:
            # It takes any name, and does nothing about those that it does not know.
            raise Refused(f"GenerationConfig of this release knows no {', no '.join(unknown)}")
        return library.GenerationConfig(**options)

    def cache_options(self, known: Collection[str]) -> dict[str, Any]:
        """Return the options of the cache."""
        if self.quantized:
            return {"cache_implementation": "quantized", "cache_config": {"backend": self.quantized, "nbits": 8}}
        if not self.cache:
            return {}
        # Compiling takes longer than all that is asked; what is judged is the cache.
        quietly = {"disable_compile": True} if "disable_compile" in known else {}
        return {"cache_implementation": self.cache, **quietly}

    def extras(self, batch: Sequence[Row], width: int, streamer: Streamer | None) -> dict[str, Any]:
        """Return the arguments of ``generate`` that are no options."""
        library = importlib.import_module("transformers")
        extras: dict[str, Any] = {}
        if batch[0].request.stop:
            extras["tokenizer"] = self.tokenizer
        if batch[0].request.beams == 1:
            rule = row_limits([width + row.limit for row in batch], self.device)
            extras["stopping_criteria"] = library.StoppingCriteriaList([rule])
        if streamer is not None:
            extras["streamer"] = streamer
        if self.draft is not None:
            extras["assistant_model"] = self.draft
        if self.setup.adapter:
            extras["adapter_names"] = [ADAPTER if row.request.adapter else NO_ADAPTER for row in batch]
        return extras

    @contextmanager
    def seeded(self, seed: int | None) -> Iterator[None]:
        """Let torch draw from a seed, and go on from where it was afterwards."""
        import torch

        if seed is None:
            yield
            return
        with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if self.device == "cuda" else ()):
            torch.manual_seed(seed)
            yield

    def completion(self, out: Any, index: int, row: Row, width: int, streamer: Streamer | None) -> Completion:
        """Return the answer of a row."""
        came = out.sequences[index, width:].tolist()[: row.limit]
        tokens, finish = _ended(row, came)
        rows: tuple[dict[int, float], ...] = ()
        if row.request.log_probs:
            logits = [step[index] for step in out.logits[: len(tokens)]]
            rows = tuple(
                likeliest(step, row.request.log_probs, token) for step, token in zip(logits, tokens, strict=True)
            )
        pieces = streamer.pieces(len(tokens)) if streamer else ()
        return Completion(tokens, finish, log_probs=rows, pieces=pieces)

    def best_beams(self, out: Any, index: int, row: Row, width: int) -> Completion:
        """Return the answer of a row with its beams, the best first."""
        first = index * row.request.beams
        beams: list[tuple[tuple[int, ...], float]] = []
        for at in range(first, first + row.request.beams):
            beam = tuple(_until_end(out.sequences[at, width:].tolist()))
            # The score is the sum divided by a power of the length, the end mark counted.
            beams.append((beam, float(out.sequences_scores[at]) * len(beam) ** row.request.length_penalty))
        tokens, finish = _ended(row, list(beams[0][0]))
        rows: tuple[dict[int, float], ...] = ()
        if row.request.log_probs:
            sources = out.beam_indices[first].tolist()[: len(tokens)]
            rows = tuple(
                likeliest(out.logits[step][source], row.request.log_probs, token)
                for step, (source, token) in enumerate(zip(sources, tokens, strict=True))
            )
        return Completion(tokens, finish, log_probs=rows, beams=tuple(beams))

    def close(self) -> None:
        """Free the models."""
        import torch

        del self.model, self.draft
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()


@contextmanager
def unwarned() -> Iterator[None]:
    """Let one library use what another deprecates: an ini file may turn warnings into errors, and nothing is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _ended(row: Row, came: list[int]) -> tuple[tuple[int, ...], str]:
    """Return a row's tokens and finish."""
    tokens = tuple(_until_end(came))
    if tokens[-1:] == (EOS,):
        return tokens, "end"
    shorter = without(tokens, row.request.stop)
    if shorter != tokens:
        return shorter, "stop"
    if len(tokens) < row.limit:
        raise RuntimeError(
            f"generate gave {len(tokens)} of {row.limit} tokens and no reason: expected an end mark or a stop word"
        )
    return tokens, "length" if row.limit == row.room else "cancelled"


def _until_end(came: Sequence[int]) -> list[int]:
    """Return what came without its filling: pads, or end marks where beams are searched and the pad's id is 0."""
    if EOS in came:
        return list(came[: came.index(EOS) + 1])
    last = max((place for place, token in enumerate(came) if token != PAD), default=0)
    return list(came[: last + 1])


def likeliest(logits: Tensor, count: int, chosen: int) -> dict[int, float]:
    """Return natural logarithms by token id: the likeliest, and the chosen one, from raw logits of one place."""
    rows = logits.double().log_softmax(-1)
    top = rows.topk(min(count, rows.shape[-1]))
    return {**dict(zip(top.indices.tolist(), top.values.tolist(), strict=True)), chosen: float(rows[chosen])}


def row_limits(lengths: Sequence[int], device: str) -> Callable[..., Tensor]:
    """Return a rule of transformers that stops each row of a batch at a length of its own."""
    import torch
    from transformers import StoppingCriteria

    limits = torch.tensor(lengths, device=device)

    class RowLimits(StoppingCriteria):  # type: ignore[misc] # its base is known at run time only
        def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:  # noqa: ARG002
            reached: Tensor = limits <= input_ids.shape[1]
            return reached

    rule: Callable[..., Tensor] = RowLimits()
    return rule


class Streamer:
    """Counts the tokens that ``generate`` hands over; the prompt comes first."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def put(self, value: Tensor) -> None:
        """Take what came."""
        self.counts.append(value.numel())

    def end(self) -> None:
        """Nothing is left to flush."""

    def pieces(self, count: int) -> tuple[int, ...]:
        """Return pieces that make up so many tokens."""
        pieces: list[int] = []
        for came in self.counts[1:]:
            if count > sum(pieces):
                pieces.append(min(came, count - sum(pieces)))
        return tuple(pieces)
