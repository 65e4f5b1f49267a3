"""Sound variants: what engines do differently from one another without being wrong. None may ever be flagged."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch.nn.functional import scaled_dot_product_attention

from pytest_trtcheck._suites.batching.broken.base import Variant, variant
from pytest_trtcheck._suites.probe_llm.engine.job import Job
from pytest_trtcheck._suites.probe_llm.engine.kv import Key, Store
from pytest_trtcheck._suites.probe_llm.engine.model import Group, Llama, Part
from pytest_trtcheck._suites.probe_llm.engine.parallel import Shared
from pytest_trtcheck._suites.probe_llm.engine.scheduler import Scheduler
from pytest_trtcheck._suites.probe_llm.engine.session import Session
from pytest_trtcheck.providers import Completion, Request, Setup


class _YoungestFirst(Scheduler):
    def admit(self) -> None:
        self.waiting.reverse()
        super().admit()
        self.waiting.reverse()


class _ShortestFirst(Scheduler):
    def admit(self) -> None:
        self.waiting = deque(sorted(self.waiting, key=lambda job: len(job.sequences[0].tokens)))
        super().admit()


class _Cautious(Scheduler):
    """Admits a request only when there are blocks for all that it may become: nobody is ever evicted."""

    def blocks_wanted(self, job: Job) -> int:
        promised = sum(self.blocks_for(self.longest(other)) - len(other.sequences[0].blocks) for other in self.running)
        return promised + self.blocks_for(self.longest(job))

    def longest(self, job: Job) -> int:
        """Return how many tokens a request may come to."""
        return len(job.request.prompt) + job.most_tokens


class _OneAtATime(Session):
    def forward(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        return [super(_OneAtATime, self).forward([part])[0] for part in parts]


class _PromptsApart(Session):
    """Prompts first, then one token of all others, as engines do that never mix."""

    def forward(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        rows: dict[int, torch.Tensor] = {}
        for reads in (True, False):
            chosen = [index for index, part in enumerate(parts) if (len(part.tokens) > 1) is reads]
            found = super().forward([parts[index] for index in chosen]) if chosen else []
            rows |= zip(chosen, found, strict=True)
        return [rows[index] for index in range(len(parts))]


class _Reversed(Session):
    def forward(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        return super().forward(list(parts)[::-1])[::-1]


class _Double(Session):
    def dtype_of(self, setup: Setup) -> torch.dtype:  # noqa: ARG002
        return torch.float64


class _AnglesInSingle(Llama):
    def angles(self, context: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosine and sine as most software has them."""
        half = self.head_size // 2
        pairs = torch.arange(half, dtype=torch.float32, device=self.device)
        frequency = torch.exp(-pairs / half * torch.tensor(float(self.config["rope_theta"])).log())
        angle = torch.arange(context, dtype=torch.float32, device=self.device)[:, None] * frequency
        return angle.cos().to(self.wide), angle.sin().to(self.wide)


class _Fused(Llama):
    def attend(self, layer: int, q: torch.Tensor, groups: Sequence[Group], store: Store) -> torch.Tensor:
        """Return the same from torch's own attention."""
        answer = torch.empty_like(q)
        for group in groups:
            k, v = (found.transpose(1, 2) for found in store.read(layer, group.places))
            share = q.shape[1] // k.shape[1]
            keys, values = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
            queries = q[group.index].transpose(1, 2)
            found = scaled_dot_product_attention(queries, keys, values, attn_mask=~group.hidden[:, None])
            answer[group.index] = found.transpose(1, 2)
        return answer.reshape(len(q), -1)


class _WiderStore(Store):
    """Reads a copy in another order of memory."""

    def read(self, layer: int, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(found.transpose(1, 2).contiguous().transpose(1, 2) for found in super().read(layer, places))


class _PromptsOnly(Scheduler):
    """Publishes blocks of prompts, not of answers."""

    def key(self, tokens: Sequence[int], sequence) -> Key:  # type: ignore[no-untyped-def]
        return super().key(tokens, sequence)

    def settle(self, sequence) -> None:  # type: ignore[no-untyped-def]
        if len(sequence.tokens) - sequence.cached > 1 or sequence.published == 0:
            super().settle(sequence)
        else:
            self.rewind(sequence, min(sequence.cached, len(sequence.tokens) - 1))


class _PiecesOfThree(Job):
    def completion(self) -> Completion:
        found = super().completion()
        whole, rest = divmod(len(found.tokens), 3)
        pieces = (3,) * whole + ((rest,) if rest else ())
        return replace(found, pieces=pieces if self.request.streaming else ())


class _RefusesWhatMayBeCut(Session):
    def why_refused(self, job: Job, count: int) -> str:
        request = job.request
        if request.prompt and len(request.prompt) + request.max_tokens > self.limits.length:
            return f"prompt and max_tokens come to {len(request.prompt) + request.max_tokens} tokens"
        return super().why_refused(job, count)


class _CancelsLate(Job):
    """Notices a cancelling three tokens later, as a server does that is told of it from outside."""

    def __init__(self, number: int, request: Request, limits) -> None:  # type: ignore[no-untyped-def]
        late = request.cancel_after + 3 if request.cancel_after else 0
        super().__init__(number, replace(request, cancel_after=late), limits)


class _SumsBackToFront(Shared):
    def summed(self, found: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
        return super().summed(found[::-1], device)


class _Silent(Session):
    statistics = None  # type: ignore[assignment]


def _with_threads(count: int) -> type[Variant]:
    class Threaded(Session):
        def generate(self, requests: Sequence[Request]) -> list[Completion]:
            before = torch.get_num_threads()
            torch.set_num_threads(count)
            try:
                return super().generate(requests)
            finally:
                torch.set_num_threads(before)

    words = "thread" if count == 1 else "threads"
    return variant(f"sound_threads_{count}", f"Computes with {count} {words}.", Threaded)


SOUND: tuple[type[Variant], ...] = (
    variant("sound_engine", "The engine as it is."),
    variant("sound_blocks_8", "Blocks of 8 tokens.", block_size=8),
    variant("sound_blocks_32", "Blocks of 32 tokens.", block_size=32),
    variant("sound_blocks_64", "Blocks of 64 tokens.", block_size=64),
    variant("sound_youngest_first", "The youngest that waits goes first.", scheduler_class=_YoungestFirst),
    variant("sound_shortest_first", "The shortest that waits goes first.", scheduler_class=_ShortestFirst),
    variant("sound_cautious", "Nobody is admitted who might have to be evicted.", scheduler_class=_Cautious),
    variant("sound_one_at_a_time", "Each request is computed by itself.", _OneAtATime),
    variant("sound_prompts_apart", "Prompts and generation never share a step.", _PromptsApart),
    variant("sound_reversed", "The batch is laid out in reverse.", _Reversed),
    variant("sound_double", "Everything in fp64.", _Double),
    variant("sound_angles", "Angles of the rotation in fp32.", llama=_AnglesInSingle),
    variant("sound_fused", "torch's fused attention.", llama=_Fused),
    variant("sound_memory_order", "Keys in another order of memory.", store_class=_WiderStore),
    variant("sound_prompts_only", "Blocks of answers are not reused.", scheduler_class=_PromptsOnly),
    variant("sound_pieces_of_three", "Streams three tokens at a time.", job_class=_PiecesOfThree),
    variant("sound_refuses", "Refuses what the limit would cut short.", _RefusesWhatMayBeCut),
    variant("sound_cancels_late", "Notices a cancelling three tokens later.", job_class=_CancelsLate),
    variant("sound_sums_reversed", "Devices' parts are summed the other way round.", shared_class=_SumsBackToFront),
    variant("sound_silent", "Tells nothing of itself.", _Silent),
    *(_with_threads(count) for count in (1, 2, 4, 8, 16)),
)
