"""A backend that is the built-in engine with other parts."""

from __future__ import annotations

import re
from typing import ClassVar

from pytest_trtcheck._suites.probe_llm.choosing import Chooser
from pytest_trtcheck._suites.probe_llm.engine.beams import BeamJob
from pytest_trtcheck._suites.probe_llm.engine.job import Job
from pytest_trtcheck._suites.probe_llm.engine.session import Session
from pytest_trtcheck._suites.probe_llm.providers.torch_engine import TorchEngine
from pytest_trtcheck.providers import LlmCase, Model, Setup, Where


class BrokenEngine(TorchEngine):
    """The engine with a part that is wrong; the first line of a variant's description says what is."""

    session_class: ClassVar[type[Session]] = Session
    chooser: ClassVar[type[Chooser]] = Chooser
    job: ClassVar[type[Job]] = Job
    beam_job: ClassVar[type[BeamJob]] = BeamJob
    shows_in: ClassVar[frozenset[str]] = frozenset()
    """Features of which a case must have one for the mistake to change anything; empty for any case."""

    @property
    def name(self) -> str:  # type: ignore[override]
        """What the table calls it: the class's name, in words with underscores."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def can_show(self, case: LlmCase) -> bool:
        """Say whether the mistake changes anything in a case."""
        return not self.shows_in or bool(self.shows_in & case.features)

    def open(self, setup: Setup, model: Model, where: Where) -> Session:
        """Bring up the engine with the parts of this variant."""
        chooser = self.chooser
        job = type("BrokenJob", (self.job,), {"chooser_class": chooser})
        beam_job = type("BrokenBeamJob", (self.beam_job,), {"chooser_class": chooser})
        session = type("BrokenSession", (self.session_class,), {"job_class": job, "beam_job_class": beam_job})
        opened: Session = session(setup, model, where.device)
        return opened
