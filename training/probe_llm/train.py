"""One training stage: optimizer, schedule, log."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own habit

from training.probe_llm import evaluate
from training.probe_llm.data import Batch, Feeder, make_batch
from training.probe_llm.network import PLAIN, Network, compiled

LOG_EVERY = 50


@dataclass(frozen=True)
class Stage:
    """What is trained, for how long and how. With ``steps`` the run is the same on every machine; else time rules."""

    name: str
    seconds: float
    steps: int | None = None
    rate: float = 2e-3
    decay: float = 0.1
    warmup: int = 200
    short_only: float = 0.25
    plans: tuple[str, str] = ("first", "second")
    look_every: float = 60.0


@dataclass
class Log:
    """JSON lines, flushed as they come, so that a run that is cut off leaves its curve."""

    path: Path
    began: float = field(default_factory=time.monotonic)

    def write(self, **row: Any) -> None:
        """Append a row with the seconds since the start, and print it."""
        line = json.dumps({"at": round(time.monotonic() - self.began, 1), **row})
        with self.path.open("a", encoding="utf-8") as out:
            out.write(line + "\n")
        print(line, flush=True)


class Clock:
    """Progress of a stage from 0 to 1, by steps or by time; time starts at step 3, when all is compiled."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.end = stage, time.monotonic() + stage.seconds
        self.start, self.step = time.monotonic(), 0

    def tick(self) -> None:
        """One step is done."""
        self.step += 1
        if self.step == 3:
            self.start = min(time.monotonic(), self.end - 1e-3)

    @property
    def progress(self) -> float:
        """Share of the stage that is over."""
        if self.stage.steps is not None:
            return self.step / self.stage.steps
        return 0.0 if self.step < 3 else (time.monotonic() - self.start) / (self.end - self.start)


def optimizer_for(network: Network, stage: Stage) -> torch.optim.Optimizer:
    """AdamW; norms and embeddings do not decay."""
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    plain = [p for name, p in trained if p.dim() < 2 or "embed" in name or "lm_head" in name]
    decayed = [p for name, p in trained if not (p.dim() < 2 or "embed" in name or "lm_head" in name)]
    groups = [{"params": decayed, "weight_decay": stage.decay}, {"params": plain, "weight_decay": 0.0}]
    fused = trained[0][1].is_cuda
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=stage.rate, betas=(0.9, 0.95), fused=fused)


def rate_at(stage: Stage, step: int, progress: float) -> float:
    """Linear warm-up, then half a cosine down to nothing."""
    return stage.rate * min(1.0, (step + 1) / stage.warmup) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class Trainer:
    """Runs stages on one network."""

    def __init__(self, network: Network, feeder: Feeder, log: Log, *, use_compiler: bool) -> None:
        self.network, self.feeder, self.log = network, feeder, log
        self.device = next(network.parameters()).device
        self.angles: dict[tuple[tuple[int, int], ...], tuple[torch.Tensor, torch.Tensor]] = {}
        self.around = PLAIN
        if use_compiler:
            self._try_compiler()

    def _try_compiler(self) -> None:
        """Use the compiler if one step works under it here."""
        self.around = compiled()
        try:
            self.loss(make_batch("compiler", "first", self.feeder.tokens)).backward()
        except RuntimeError as error:
            self.log.write(compiler=f"{type(error).__name__}: {str(error)[:500]}")
            self.around = PLAIN
        self.network.zero_grad(set_to_none=True)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Weighted cross entropy of a batch."""
        if batch.groups not in self.angles:
            self.angles[batch.groups] = self.network.angles(batch.groups, self.device)
        tokens, targets, weights = (
            torch.from_numpy(part).to(self.device, non_blocking=True)
            for part in (batch.tokens, batch.targets, batch.weights)
        )
        logits = self.network(tokens.int(), batch.groups, *self.angles[batch.groups], self.around)
        each = F.cross_entropy(logits, targets.long(), reduction="none")
        return (each * weights).sum() / weights.sum()

    def look(self, stage: Stage, step: int) -> None:
        """Log the accuracy on small easy sets."""
        count = 128 if self.device.type == "cuda" else 4
        small = evaluate.easy(self.network, count, seed=7)
        hard = [evaluate.score(self.network, task, size, count, 7) for task, size in (("tie", 21), ("close_draw", 16))]
        self.log.write(stage=stage.name, step=step, accuracy={s.task: round(s.accuracy, 3) for s in small + hard})

    def _plans(self, stage: Stage, clock: Clock) -> Iterator[str]:
        while True:
            yield stage.plans[0] if clock.progress < stage.short_only else stage.plans[1]

    def run(self, stage: Stage) -> int:
        """Train one stage; gives the number of steps."""
        optimizer, clock = optimizer_for(self.network, stage), Clock(stage)
        looked, timed, timed_step = time.monotonic(), time.monotonic(), 0
        for batch in self.feeder.batches(self._plans(stage, clock)):
            progress = clock.progress
            if progress >= 1.0:
                break
            for group in optimizer.param_groups:
                group["lr"] = rate_at(stage, clock.step, progress)
            loss = self.loss(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            optimizer.step()
            clock.tick()
            if clock.step % LOG_EVERY == 0 or clock.step <= 3:
                value, now = loss.item(), time.monotonic()
                speed = (clock.step - timed_step) * self.feeder.tokens / (now - timed)
                row = {"loss": round(value, 4), "norm": round(norm.item(), 3), "tokens_per_s": round(speed)}
                self.log.write(stage=stage.name, step=clock.step, progress=round(progress, 4), **row)
                timed, timed_step = now, clock.step
                if now - looked > stage.look_every:
                    self.look(stage, clock.step)
                    looked = timed = time.monotonic()
        self.look(stage, clock.step)
        return clock.step
