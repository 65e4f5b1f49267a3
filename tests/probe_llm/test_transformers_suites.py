"""The suites on a library that people use: nothing that transformers does rightly may be flagged."""

from __future__ import annotations

from importlib import metadata
from types import ModuleType

import pytest

pytestmark = [pytest.mark.torch, pytest.mark.transformers]
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from pytest_trtcheck._suites.batching import proof as batching  # noqa: E402
from pytest_trtcheck._suites.decoding import proof as decoding  # noqa: E402
from pytest_trtcheck._suites.probe_llm.providers.transformers import Transformers  # noqa: E402
from pytest_trtcheck.model.level import Level  # noqa: E402
from pytest_trtcheck.providers import LlmCase, LlmSession, Model, Setup, Where  # noqa: E402


class Installed(Transformers):
    """Transformers as it is installed here."""

    HERE = Where("cpu", versions={"transformers": metadata.version("transformers"), "torch": torch.__version__})

    def why_not(self, case: LlmCase, where: Where) -> str:
        return super().why_not(case, self.HERE)

    def open(self, setup: Setup, model: Model, where: Where) -> LlmSession:
        return super().open(setup, model, self.HERE)


@pytest.mark.parametrize(("suite", "least"), [(batching, 12), (decoding, 15)], ids=["batching", "decoding"])
def test_every_case_that_it_can_run_passes(suite: ModuleType, least: int) -> None:
    proof = suite.prove(Level.QUICK, range(1), "cpu", broken=[], sound=[Installed()])
    (tally,) = proof.sound
    assert (tally.flagged, tally.first, tally.words) == (0, "", "")
    assert tally.ran >= least
