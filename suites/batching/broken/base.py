"""What a variant of the engine is: a backend whose sessions have some part replaced."""

from __future__ import annotations

from typing import Any

from pytest_trtcheck._suites.probe_llm.engine.session import Session
from pytest_trtcheck._suites.probe_llm.providers.torch_engine import ABILITIES
from pytest_trtcheck.providers import LlmCase, Model, Setup, Where
from pytest_trtcheck.providers.llm import lacking


class Variant:
    """A backend with an engine of its own. The first line of its description is its row in the table."""

    name = ""
    session: type[Session] = Session

    def why_not(self, case: LlmCase, where: Where) -> str:  # noqa: ARG002
        """Return what the engine lacks."""
        return lacking(case, ABILITIES)

    def open(self, setup: Setup, model: Model, where: Where) -> Session:
        """Bring the engine up."""
        return self.session(setup, model, where.device)


def variant(name: str, about: str, session: type[Session] | None = None, **parts: Any) -> type[Variant]:
    """Return a backend whose sessions have other parts: ``scheduler_class``, ``pool_class``, ``llama`` and so on."""
    made = session or type("Session", (Session,), parts)
    return type("Made", (Variant,), {"name": name, "session": made, "__doc__": about})
