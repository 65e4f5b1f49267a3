"""Inputs and reference of the case at hand, made once in a worker and shared by all providers."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from pytest_trtcheck._suites.attention.inputs import AttentionInputs, make_inputs
from pytest_trtcheck._suites.attention.judge import Judgement, judge
from pytest_trtcheck._suites.attention.reference import Reference, make_reference
from pytest_trtcheck.providers import AttentionCase, AttentionProvider
from pytest_trtcheck.providers.attention import padding_of


def seed_of(case: AttentionCase, seed: int) -> int:
    """Return the seed of one case in a run with this seed: no two cases draw the same numbers."""
    return (seed + zlib.crc32(case.name.encode())) % 2**31


@dataclass
class Workbench:
    """Holds one case at a time: the plan goes case by case."""

    case: AttentionCase | None = None
    seed: int = 0
    device: str = ""
    _inputs: dict[str, AttentionInputs] = field(default_factory=dict)
    _reference: Reference | None = None
    references_made: int = 0

    def lay_out(self, case: AttentionCase, seed: int, device: str) -> None:
        """Make the reference of a case unless it is the one at hand."""
        if (case, seed, device) != (self.case, self.seed, self.device):
            self._inputs, self._reference = {}, None
            self.case, self.seed, self.device = case, seed, device
            self._reference = make_reference(case, self._inputs_for("nan"))
            self.references_made += 1

    def judge(self, provider: AttentionProvider) -> Judgement:
        """Run a provider on the case at hand; inputs that it changed are made anew for the next one."""
        assert self.case is not None
        assert self._reference is not None
        padding = padding_of(provider)
        judgement = judge(self.case, provider, self._inputs_for(padding), self._reference)
        if judgement.spoiled:
            del self._inputs[padding]
        return judgement

    def _inputs_for(self, padding: str) -> AttentionInputs:
        assert self.case is not None
        if padding not in self._inputs:
            self._inputs[padding] = make_inputs(self.case, seed_of(self.case, self.seed), self.device, padding)
        return self._inputs[padding]
