"""Train everything: ``python -m training.probe_llm --out FOLDER``.

Leaves main.safetensors, draft.safetensors and adapter.safetensors (fp32), log.jsonl and results.json in FOLDER;
``python -m training.probe_llm.export`` makes the shipped model of them.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.probe_llm", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="Folder for checkpoints, log and results")
    parser.add_argument("--minutes", type=float, default=9.0, help="Time for everything (default: 9)")
    parser.add_argument("--steps", type=int, help="Steps of the main stage instead of time, to repeat a run exactly")
    parser.add_argument("--stages", default="main,draft,adapter", help="Stages to run (default: main,draft,adapter)")
    parser.add_argument("--resume", type=Path, help="Folder with main.safetensors to go on from")
    parser.add_argument("--tokens", type=int, default=131072, help="Tokens per step (default: 131072)")
    parser.add_argument("--rate", type=float, default=2e-3, help="Peak learning rate (default: 0.002)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=max(1, min(12, (os.cpu_count() or 2) - 2)))
    parser.add_argument("--no-compile", action="store_true", help="Do not use torch.compile")
    parser.add_argument("--compile-on-cpu", action="store_true", help="Use torch.compile without a GPU too")
    parser.add_argument("--tiny", action="store_true", help="A small network and small sets, to try the script")
    return parser.parse_args()


class Run:
    """One run of the script."""

    def __init__(self, options: argparse.Namespace) -> None:
        import torch

        from training.probe_llm.data import Feeder
        from training.probe_llm.train import Log

        self.options, self.torch = options, torch
        options.out.mkdir(parents=True, exist_ok=True)
        self.log = Log(options.out / "log.jsonl")
        self.feeder = Feeder(options.tokens, options.workers, options.seed)
        self.cuda = torch.cuda.is_available()
        self.device = torch.device("cuda" if self.cuda else "cpu")
        self.compute = torch.bfloat16 if self.cuda else torch.float32
        self.compiled = not options.no_compile and (self.cuda or options.compile_on_cpu)
        self.results: dict[str, Any] = {
            "options": {k: v for k, v in vars(options).items() if k not in ("out", "resume")}
        }
        self.results["device"] = torch.cuda.get_device_name() if self.cuda else "cpu"
        self.results["torch"] = torch.__version__
        torch.manual_seed(options.seed)
        self.log.write(device=self.results["device"], torch=torch.__version__, workers=options.workers)

    def network(self, shape: Any) -> Any:
        """Return a fresh network on this run's device."""
        from training.probe_llm.network import Network

        network = Network(shape, self.compute).to(self.device)
        count = sum(p.numel() for p in network.parameters())
        self.log.write(parameters=count, **shape.as_dict())
        return network

    def train(self, network: Any, stage: Any) -> None:
        """One stage."""
        from training.probe_llm.train import Trainer

        steps = Trainer(network, self.feeder, self.log, use_compiler=self.compiled).run(stage)
        self.results.setdefault("steps", {})[stage.name] = steps

    def save(self, name: str, tensors: dict[str, Any]) -> None:
        """Write one state file and the results so far."""
        from safetensors.torch import save_file

        cpu = {key: value.detach().float().cpu().contiguous() for key, value in tensors.items()}
        save_file(cpu, self.options.out / f"{name}.safetensors", metadata={"format": "pt"})
        (self.options.out / "results.json").write_text(json.dumps(self.results, indent=1) + "\n", encoding="utf-8")

    def measure(self, name: str, network: Any, hard: bool) -> None:
        """Accuracy of the weights as bf16 holds them; the fp32 weights stay."""
        from training.probe_llm import evaluate

        kept = {key: p.detach().clone() for key, p in network.named_parameters()}
        with self.torch.no_grad():
            for p in network.parameters():
                p.copy_(p.bfloat16().float())
        network.eval()
        count = 2048 if self.cuda else 4
        scores = evaluate.easy(network, count, seed=1001)
        if hard:
            scores += evaluate.ladder(network, count, seed=1002)
        network.train()
        self.results[name] = [s.as_dict() for s in scores]
        with self.torch.no_grad():
            for key, p in network.named_parameters():
                p.copy_(kept[key])
        self.log.write(measured=name, accuracy=[f"{s.task}/{s.size} {s.accuracy:.4f}" for s in scores])

    def main(self, share: float) -> Any:
        """Train or load the main model."""
        from training.probe_llm.network import MAIN, TINY
        from training.probe_llm.train import Stage

        options = self.options
        network = self.network(TINY if options.tiny else MAIN)
        if options.resume:
            from safetensors.torch import load_file

            network.load_state_dict(load_file(options.resume / "main.safetensors"))
        if "main" in options.stages:
            first = ("second", "second") if options.resume else ("first", "second")
            stage = Stage("main", share * 60 * options.minutes, options.steps, options.rate, plans=first)
            self.train(network, stage)
            self.save("main", network.state_dict())
            self.measure("main", network, hard=True)
            self.save("main", network.state_dict())
        return network

    def draft(self, share: float) -> None:
        """Train the two-layer draft model on the same questions."""
        from training.probe_llm.network import DRAFT
        from training.probe_llm.train import Stage

        network = self.network(DRAFT)
        self.train(network, Stage("draft", share * 60 * self.options.minutes, rate=self.options.rate, look_every=30))
        self.measure("draft", network, hard=False)
        self.save("draft", network.state_dict())

    def adapter(self, network: Any, share: float) -> None:
        """Train the low-rank adapter that turns copies into reversals and leaves the other tasks alone."""
        from training.probe_llm.network import Adapter
        from training.probe_llm.train import Stage

        network.requires_grad_(requires_grad=False)
        network.adapter = Adapter(network).to(self.device)
        seconds = share * 60 * self.options.minutes
        plans = ("adapter", "adapter")
        self.train(network, Stage("adapter", seconds, rate=self.options.rate, decay=0.0, plans=plans, warmup=50))
        self.save("adapter", {k.removeprefix("adapter."): v for k, v in network.state_dict().items() if "adapter" in k})


def main() -> None:
    """Run the stages asked for."""
    options = parse()
    run = Run(options)
    wanted = options.stages.split(",")
    shares = {"main": 0.68, "draft": 0.14, "adapter": 0.05}
    if "main" not in wanted:
        shares = {"main": 0.0, "draft": 0.5, "adapter": 0.25}
    try:
        network = run.main(shares["main"])
        if "draft" in wanted:
            run.draft(shares["draft"])
        if "adapter" in wanted:
            run.adapter(network, shares["adapter"])
    finally:
        run.feeder.close()
    run.log.write(done=wanted)


if __name__ == "__main__":
    main()
