"""A session on transformers' Llama that modelopt has quantized: greedy answers, log-probabilities, layers."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from pytest_trtcheck._suites.probe_llm.tasks import EOS
from pytest_trtcheck._suites.quantization.calibration import calibration_questions
from pytest_trtcheck.providers import Completion, Model, Refused, Request, Setup
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.rules.quantization import ALGORITHMS

_TOGETHER = 64


def config_name(quantization: str) -> str:
    """Return what modelopt calls an algorithm; Refused where the matrix names none."""
    row = next((row for row in load_matrix().rows(ALGORITHMS) if row.version == quantization), None)
    name = row.value("modelopt_config") if row else None
    if not name:
        raise Refused(f"no configuration of modelopt is known for {quantization}")
    return str(name)


class ModelOptSession:
    """The model with modelopt's quantizers, calibrated on a few questions of every set."""

    def __init__(self, setup: Setup, model: Model, device: str) -> None:
        import modelopt.torch.quantization as mtq
        from transformers import LlamaForCausalLM

        name = config_name(setup.quantization)
        config = getattr(mtq, name, None)
        if config is None:
            raise Refused(f"this release of modelopt has no {name}")
        self.device = device
        network: Any = LlamaForCausalLM.from_pretrained(model.main, dtype=torch.float32)
        network = network.to(device).eval()
        with torch.no_grad():
            self.network: Any = mtq.quantize(network, copy.deepcopy(config), forward_loop=self._calibrate)

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer requests one token after the other, each time from the first token on: no cache, nothing to share."""
        answers: dict[int, Completion] = {}
        # Alike in length together: what is padded costs as much as what is not.
        order = sorted(range(len(requests)), key=lambda number: len(requests[number].prompt))
        for start in range(0, len(order), _TOGETHER):
            chosen = order[start : start + _TOGETHER]
            answers |= dict(zip(chosen, self._together([requests[number] for number in chosen]), strict=True))
        return [answers[number] for number in range(len(requests))]

    def layers(self, tokens: Sequence[int]) -> Mapping[str, tuple[torch.Tensor, torch.Tensor]]:
        """Return what goes into and comes out of every linear layer, by name."""
        seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        with self._watched(seen), torch.no_grad():
            self.network(torch.tensor([list(tokens)], device=self.device))
        return seen

    def close(self) -> None:
        """Free the model."""
        del self.network

    def _calibrate(self, network: Any) -> None:
        for question in calibration_questions():
            network(torch.tensor([[*question.prompt_ids, *question.answer_ids]], device=self.device))

    def _together(self, requests: Sequence[Request]) -> list[Completion]:
        tokens = [list(request.prompt) for request in requests]
        told: list[list[dict[int, float]]] = [[] for _ in requests]
        done = [False] * len(requests)
        while not all(done):
            open_ = [number for number, is_done in enumerate(done) if not is_done]
            for number, row in zip(open_, self._next([tokens[number] for number in open_]), strict=True):
                token = int(row.argmax())
                tokens[number].append(token)
                request = requests[number]
                if request.log_probs:
                    best = row.topk(min(request.log_probs, len(row)))
                    told[number].append(dict(zip(best.indices.tolist(), best.values.tolist(), strict=True)))
                done[number] = token == EOS or len(tokens[number]) - len(request.prompt) >= request.max_tokens
        return [
            Completion(
                tokens=tuple(found[len(request.prompt) :]),
                finish="end" if found[-1] == EOS else "length",
                log_probs=tuple(logs),
            )
            for request, found, logs in zip(requests, tokens, told, strict=True)
        ]

    def _next(self, sequences: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Return log-probabilities ``[vocabulary]`` of what follows each sequence."""
        longest = max(map(len, sequences))
        # Padding comes last, where a causal model does not see it.
        padded = torch.tensor([[*one, *[0] * (longest - len(one))] for one in sequences], device=self.device)
        with torch.no_grad():
            logits = self.network(padded).logits
        return [rows[len(one) - 1].float().log_softmax(-1) for rows, one in zip(logits, sequences, strict=True)]

    @contextmanager
    def _watched(self, seen: dict[str, tuple[torch.Tensor, torch.Tensor]]) -> Iterator[None]:
        def note(name: str, module: Any, given: tuple[torch.Tensor, ...], answer: torch.Tensor) -> None:  # noqa: ARG001
            seen[name] = (given[0][0].detach(), answer[0].detach())

        linears = [(name, one) for name, one in self.network.named_modules() if isinstance(one, torch.nn.Linear)]
        handles = [module.register_forward_hook(partial(note, name)) for name, module in linears]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
