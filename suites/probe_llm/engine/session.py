"""The engine as a backend's session: brought up once, it answers requests step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from pytest_trtcheck._suites.probe_llm.engine.adapter import read_adapter
from pytest_trtcheck._suites.probe_llm.engine.beams import BeamJob
from pytest_trtcheck._suites.probe_llm.engine.job import Job, Limits
from pytest_trtcheck._suites.probe_llm.engine.kv import Pool, Shape, Store
from pytest_trtcheck._suites.probe_llm.engine.model import LinearFactory, Llama, Part, plain_linear
from pytest_trtcheck._suites.probe_llm.engine.parallel import Shared, shared_linear
from pytest_trtcheck._suites.probe_llm.engine.scheduler import Scheduler
from pytest_trtcheck._suites.probe_llm.engine.speculation import DraftModel, NGrams, NoProposals, Proposer
from pytest_trtcheck._suites.probe_llm.guide import GuideError
from pytest_trtcheck.providers import Completion, Model, Refused, Request, Setup

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
SLOTS = 8
BLOCK_SIZE = 16


class Session:
    """An open engine. The classes of its parts are attributes, so that a variant replaces one."""

    llama: type[Llama] = Llama
    shared_class: type[Shared] = Shared
    store_class: type[Store] = Store
    pool_class: type[Pool] = Pool
    scheduler_class: type[Scheduler] = Scheduler
    job_class: type[Job] = Job
    beam_job_class: type[BeamJob] = BeamJob
    block_size = BLOCK_SIZE
    """Where the setup leaves it open."""

    def __init__(self, setup: Setup, model: Model, device: str) -> None:
        self.setup, self.model, self.device = setup, model, device
        self.dtype = self.dtype_of(setup)
        self.network = self.llama(model.main, self.dtype, device, self.context(), self.linear_factory())
        if setup.adapter:
            self.network.adapters = read_adapter(model.adapter, self.dtype, device)
        is_drafted = setup.speculation == "draft"
        self.draft = DraftModel.load(model.draft, self.dtype, device) if is_drafted else None
        self.context_limit = min(self.context(), int(self.network.config["max_position_embeddings"]))
        slots, size = setup.slots or SLOTS, setup.page_size or self.block_size
        tokens = setup.kv_tokens or slots * (self.context_limit + size)
        self.length = min(self.context_limit, tokens // size * size)
        if setup.length_limit > self.length:
            raise Refused(f"a KV cache of {tokens} tokens holds no request of {setup.length_limit}")
        self.limits = Limits(int(self.network.config["eos_token_id"]), self.length)
        config = self.network.config
        shape = Shape(
            config["num_hidden_layers"], config["num_key_value_heads"], config["head_dim"], tokens // size, size
        )
        pool = self.pool_class(shape.blocks, reuse=setup.prefix_reuse)
        self.scheduler = self.scheduler_class(pool, self.make_store(shape), slots, setup.chunk)

    def dtype_of(self, setup: Setup) -> torch.dtype:
        """Return the type of weights and activations."""
        return DTYPES[setup.dtype]

    def context(self) -> int:
        """Return the most tokens that a request may come to."""
        return self.setup.length_limit or 2048

    def linear_factory(self) -> LinearFactory:
        """Return what makes linear layers of weights; a quantized engine has its own."""
        if self.setup.tensor_parallel > 1:
            return shared_linear(self.device, self.setup.tensor_parallel, self.shared_class)
        return plain_linear

    def make_store(self, shape: Shape) -> Store:
        """Return the store of keys and values; a quantized cache has its own."""
        return self.store_class(shape, self.dtype, self.device)

    def make_job(self, number: int, request: Request) -> Job:
        """Return a request as the engine works on it; what decodes otherwise is chosen here."""
        if request.beams > 1:
            return self.beam_job_class(number, request, self.limits, self.scheduler)
        job = self.job_class(number, request, self.limits)
        job.proposer = self.make_proposer()
        return job

    def make_proposer(self) -> Proposer:
        """Return what proposes tokens for one request."""
        if self.setup.speculation == "ngram":
            return NGrams(self.setup.draft_tokens)
        return NoProposals() if self.draft is None else DraftModel(self.draft, self.setup.draft_tokens)

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer requests, in their order."""
        jobs = [self.make_job(number, request) for number, request in enumerate(requests)]
        for job in jobs:
            job.words = self.why_refused(job, len(requests))
            job.finish = "refused" if job.words else ""
        self.scheduler.arriving = [job for job in jobs if not job.finish]
        with torch.inference_mode():
            while any(not job.finish for job in jobs):
                self.step(jobs)
        return [job.completion() for job in jobs]

    def step(self, jobs: Sequence[Job]) -> None:
        """Compute one step of everything that runs."""
        planned = self.scheduler.plan(job.number for job in jobs if job.answer or job.finish)
        if not planned:
            self.give_up(jobs)
            return
        logits = self.forward([part for _, parts in planned for part in parts])
        for job, parts in planned:
            rows = [logits.pop(0) for _ in parts]
            for sequence, part in zip(job.sequences, parts, strict=True):
                sequence.cached = part.first + len(part.tokens)
            if all(part.rows for part in parts):
                job.advance(rows)
            for sequence in job.sequences:
                self.scheduler.settle(sequence)
            if job.finish:
                self.scheduler.retire(job)

    def forward(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        """Return logits for each part."""
        return self.network.forward(parts, self.scheduler.store)

    def give_up(self, jobs: Sequence[Job]) -> None:
        """Refuse requests that wait for one that waits for them, or for blocks that nobody will return."""
        for job in jobs:
            if job.finish:
                continue
            job.finish, job.words = "refused", "no blocks of the KV cache are left"
            if job in self.scheduler.arriving:
                job.words = f"waits for request {job.request.after}, which never delivers a token"
        self.scheduler.arriving = []
        self.scheduler.waiting.clear()

    def why_refused(self, job: Job, count: int) -> str:
        """Return why a request cannot be run, in words; empty when it can."""
        prompt, vocabulary = job.request.prompt, int(self.network.config["vocab_size"])
        if not prompt:
            return "the prompt is empty: expected one token at least"
        if len(prompt) >= self.limits.length:
            return f"the prompt has {len(prompt)} tokens: expected {self.limits.length - 1} at most"
        if min(prompt) < 0 or max(prompt) >= vocabulary:
            return f"the prompt has token ids beyond 0 to {vocabulary - 1}"
        if job.request.max_tokens < 1:
            return f"max_tokens is {job.request.max_tokens}: expected 1 at least"
        if job.request.after is not None and not 0 <= job.request.after < count:
            return f"comes after request {job.request.after}, which is not there"
        if job.request.adapter and not self.setup.adapter:
            return "asks for an adapter, and the engine was brought up without one"
        try:
            job.chooser.guide  # noqa: B018 - reads the expression
        except GuideError as error:
            return str(error)
        return ""

    def statistics(self) -> Mapping[str, float]:
        """Return what the engine knows of itself, since it was opened."""
        scheduler = self.scheduler
        return {
            "kv_blocks": scheduler.pool.size,
            "kv_blocks_used": sum(1 for users in scheduler.pool.users if users),
            "reused_tokens": scheduler.reused_tokens,
            "preemptions": scheduler.preemptions,
            "largest_batch": scheduler.largest_batch,
        }

    def close(self) -> None:
        """Free the cache and the weights."""
        del self.scheduler, self.network
