"""Backends brought up, one session at a time, and the references that their answers are held against."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pytest

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL, verify
from pytest_trtcheck._suites.probe_llm.truth import Oracle
from pytest_trtcheck._suites.support.torch_state import one_thread, pinned
from pytest_trtcheck._suites.support.words import first_line
from pytest_trtcheck.errors import ProbeModelError
from pytest_trtcheck.providers import LlmBackend, LlmSession, Model, Refused, Request, Setup, Where
from pytest_trtcheck.providers.llm import statistics_of

PROBE_MODEL = Model(MODEL, MODEL / "lora", MODEL / "draft")

T = TypeVar("T")

_MOST_WORDS = 400


class TroubleError(Exception):
    """A backend that failed, or declined."""

    def __init__(self, words: str, text: str = "", *, refused: bool = False, again: bool = False) -> None:
        super().__init__(words)
        self.words, self.text = words, text
        self.refused = refused
        """True: the library declined, in its words."""
        self.again = again
        """True: it was told before, by the check that met it first."""


def guarded(action: Callable[[], T], what: str) -> T:
    """Return what foreign code returns; TroubleError for whatever it raises, sys.exit too."""
    try:
        return action()
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except (Refused, NotImplementedError) as refusal:
        raise TroubleError(f"{what}: {first_line(refusal, _MOST_WORDS)}", refused=True) from None
    except BaseException as error:  # noqa: BLE001 - whatever a backend raises is its result
        words = f"{what}: {type(error).__name__}: {first_line(error, _MOST_WORDS)}"
        raise TroubleError(words, traceback.format_exc()) from None


class Bench:
    """Holds the session at hand: checks of one setup come one after the other."""

    def __init__(self, model: Model = PROBE_MODEL) -> None:
        self.model = model
        self.opened = 0
        """How many sessions were brought up."""
        self._oracles: dict[tuple[str, str], Oracle] = {}
        self._session: LlmSession | None = None
        self._at_hand: tuple[str, Setup] | None = None
        self._failed: dict[tuple[str, Setup], TroubleError] = {}

    def oracle(self, dtype: str, device: str) -> Oracle:
        """Return the references for a dtype; made once."""
        if (dtype, device) not in self._oracles:
            self._oracles[dtype, device] = Oracle(self.model, dtype, device)
        return self._oracles[dtype, device]

    def open(self, backend: LlmBackend, setup: Setup, where: Where) -> None:
        """Bring a backend up unless it is; TroubleError where it does not come up, at once if it did not before."""
        key = (backend.name, setup)
        if key == self._at_hand:
            return
        if key in self._failed:
            before = self._failed[key]
            raise TroubleError(f"did not come up before: {before.words}", refused=before.refused, again=True)
        self.close()
        try:
            session = self._brought_up(backend, setup, where)
        except TroubleError as trouble:
            self._failed[key] = trouble
            raise
        self._session, self._at_hand = session, key
        self.opened += 1

    def _brought_up(self, backend: LlmBackend, setup: Setup, where: Where) -> LlmSession:
        try:
            verify(self.model.main)
        except ProbeModelError as error:
            raise TroubleError(str(error)) from None
        with one_thread(), pinned():
            session: Any = guarded(lambda: backend.open(setup, self.model, where), "bringing it up")
        if not callable(getattr(session, "generate", None)) or not callable(getattr(session, "close", None)):
            raise TroubleError(f"open returned no session with generate and close, found {type(session).__name__}")
        return session  # type: ignore[no-any-return]

    def generate(self, requests: Sequence[Request]) -> Any:
        """Return whatever the session at hand answers; after a failure it is not used again."""
        assert self._session is not None
        session = self._session
        try:
            with one_thread(), pinned():
                return guarded(lambda: session.generate(requests), "generate")
        except TroubleError:
            self.close()
            raise

    def statistics(self) -> Mapping[str, float]:
        """Return what the session at hand tells of itself, as far as it is numbers."""
        assert self._session is not None
        session = self._session
        told: Any = guarded(lambda: dict(statistics_of(session)), "statistics")
        return {name: float(value) for name, value in told.items() if isinstance(value, (int, float))}

    def close(self) -> None:
        """Close the session at hand. One that cannot be closed is left: the next check does not suffer for it."""
        session, self._session, self._at_hand = self._session, None, None
        if session is None:
            return
        try:
            guarded(session.close, "close")
        except TroubleError:
            return
