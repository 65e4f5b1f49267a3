"""Inputs and reference of the case at hand, made once in a worker and shared by all providers."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from pytest_trtcheck._suites.attention.inputs import AttentionInputs, make_inputs
from pytest_trtcheck._suites.attention.judge import judge
from pytest_trtcheck._suites.attention.reference import Reference, make_reference
from pytest_trtcheck._suites.support.judgement import Judgement
from pytest_trtcheck._suites.support.torch_state import one_thread, pinned
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
            # Known as the one at hand only once it is complete: memory may not be enough for it.
            self.case, self._inputs, self._reference = None, {}, None
            with one_thread(case.multiplications), pinned():
                inputs = make_inputs(case, seed_of(case, seed), device)
                self._reference = make_reference(case, inputs)
            self._inputs["nan"] = inputs
            self.case, self.seed, self.device = case, seed, device
            self.references_made += 1

    def judge(self, provider: AttentionProvider) -> Judgement:
        """Run a provider on the case at hand; inputs that it changed are made anew for the next one."""
        assert self.case is not None
        assert self._reference is not None
        padding = padding_of(provider)
        with one_thread(self.case.multiplications), pinned():
            # Taken out while they are in foreign hands: whatever happens, nobody gets changed ones.
            inputs = self._inputs.pop(padding, None) or self._make_inputs(padding)
            judgement = judge(self.case, provider, inputs, self._reference)
        if not judgement.spoiled:
            self._inputs[padding] = inputs
        return judgement

    def _make_inputs(self, padding: str) -> AttentionInputs:
        assert self.case is not None
        return make_inputs(self.case, seed_of(self.case, self.seed), self.device, padding)
