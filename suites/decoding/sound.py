"""Sound variants: what engines do differently from one another without being wrong. None may ever be flagged."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pytest_trtcheck._suites.batching.broken.base import Variant, variant
from pytest_trtcheck._suites.batching.sound import SOUND as SOUND_ENGINES
from pytest_trtcheck._suites.probe_llm.beams import Search
from pytest_trtcheck._suites.probe_llm.choosing import Chooser
from pytest_trtcheck._suites.probe_llm.engine.beams import BeamJob
from pytest_trtcheck._suites.probe_llm.engine.job import Job
from pytest_trtcheck._suites.probe_llm.engine.session import Session
from pytest_trtcheck._suites.probe_llm.engine.speculation import NGrams, Proposer


class _ByGumbel(Chooser):
    """Draws by the largest of log-probabilities with Gumbel noise, as some engines do."""

    def choose(self, logits: torch.Tensor, answer: Sequence[int]) -> int:
        if self.request.temperature == 0:
            return super().choose(logits, answer)
        shares = self.distribution(logits, answer)
        noise = torch.tensor([self.uniform() for _ in range(len(shares))], dtype=torch.float64).clamp(min=1e-300)
        return int((shares.double().log() - (-noise.log()).log()).argmax())


class _BackToFront(Chooser):
    """Goes through the shares from the last token on."""

    def choose(self, logits: torch.Tensor, answer: Sequence[int]) -> int:
        if self.request.temperature == 0:
            return super().choose(logits, answer)
        sums = self.distribution(logits, answer).double().flip(0).cumsum(0)
        return len(sums) - 1 - min(int((sums <= self.uniform() * float(sums[-1])).sum()), len(sums) - 1)


class _InSingle(Chooser):
    """Draws in fp32."""

    def distribution(self, logits: torch.Tensor, answer: Sequence[int]) -> torch.Tensor:
        return super().distribution(logits.float(), answer)


class _OtherSeeds(Chooser):
    """Hashes the seed before use."""

    def uniform(self) -> float:
        if self._generator is None and self.request.seed is not None:
            self._generator = torch.Generator()
            self._generator.manual_seed((self.request.seed * 2654435761 + 12345) % 2**63)
        return super().uniform()


class _Patient(Search):
    """Goes on to the limit whatever has ended."""

    def _is_over(self) -> bool:
        return not self.going or len(self.going[0][0]) >= self.limit


class _NothingToSay(NGrams):
    """Proposes tokens that are always wrong."""

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:  # noqa: ARG002
        return [4] * min(self.most, most)


class _WrongProposals(Session):
    def make_proposer(self) -> Proposer:
        return _NothingToSay(self.setup.draft_tokens) if self.setup.speculation else super().make_proposer()


class _OneProposal(Session):
    def make_proposer(self) -> Proposer:
        return NGrams(1) if self.setup.speculation == "ngram" else super().make_proposer()


def _searching(search: type[Search]) -> type[BeamJob]:
    return type("Searching", (BeamJob,), {"search_class": search})


def _choosing(name: str, about: str, chooser: type[Chooser]) -> type[Variant]:
    return variant(name, about, job_class=type("Choosing", (Job,), {"chooser_class": chooser}))


_NAMES = (
    "sound_engine", "sound_blocks_8", "sound_youngest_first", "sound_one_at_a_time", "sound_reversed", "sound_double",
    "sound_angles", "sound_fused", "sound_memory_order", "sound_threads_1", "sound_threads_2", "sound_threads_4",
    "sound_threads_8", "sound_threads_16",
)  # fmt: skip

SOUND: tuple[type[Variant], ...] = (
    *(made for made in SOUND_ENGINES if made.name in _NAMES),
    _choosing("sound_gumbel", "Draws by Gumbel noise.", _ByGumbel),
    _choosing("sound_back_to_front", "Draws from the last token on.", _BackToFront),
    _choosing("sound_single", "Draws in fp32.", _InSingle),
    _choosing("sound_other_seeds", "Makes another number of the seed.", _OtherSeeds),
    variant("sound_patient_beams", "Beams go on to the limit.", beam_job_class=_searching(_Patient)),
    variant("sound_wrong_proposals", "Every proposed token is wrong.", _WrongProposals),
    variant("sound_one_proposal", "One token is proposed at a time.", _OneProposal),
)
