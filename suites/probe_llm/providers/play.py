"""Plays requests on what gives handles: who arrives when, who is cancelled, in which pieces answers came.

An engine may work step by step (``parts`` runs one step) or by itself; ``Threads`` makes the second kind of anything
that answers one request at a time and may be asked several at once.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_trtcheck.providers import Completion, Request


@dataclass(frozen=True)
class Part:
    """All that has come of one request so far."""

    number: int
    tokens: tuple[int, ...] = ()
    finish: str = ""
    """As a completion's; empty while more is to come."""
    words: str = ""
    log_probs: tuple[Mapping[int, float], ...] = ()
    beams: tuple[tuple[tuple[int, ...], float], ...] = ()


class Engine(Protocol):
    """What requests are played on. Requests have numbers."""

    def submit(self, number: int, request: Request, *, stream: bool) -> None:
        """Take a request; with ``stream``, parts are wanted before the last one."""

    def parts(self) -> Iterable[Part]:
        """Wait until something came of any request, and return what came; at least one part in bounded time."""

    def cancel(self, number: int) -> None:
        """Give up a request; what comes of it later is ignored. Called for finished ones never."""


class Progress:
    """What is known of one request while it is played."""

    def __init__(self, number: int, request: Request) -> None:
        self.number, self.request = number, request
        self.part = Part(number)
        self.pieces: list[int] = []

    @property
    def is_over(self) -> bool:
        """Say whether its last part has come."""
        return bool(self.part.finish)

    @property
    def is_due_to_cancel(self) -> bool:
        """Say whether as many tokens have come as it was to be cancelled after."""
        return 0 < self.request.cancel_after <= len(self.part.tokens) and not self.is_over

    def take(self, part: Part) -> None:
        """Note what came."""
        new = len(part.tokens) - len(self.part.tokens)
        if new > 0:
            self.pieces.append(new)
        self.part = part

    def end(self, finish: str, words: str = "") -> None:
        """End it with the tokens that have come."""
        self.part = Part(self.number, self.part.tokens, finish, words, self.part.log_probs)

    def completion(self) -> Completion:
        """Return the answer. Where a stop word was taken back, so are the pieces that brought it."""
        part = self.part
        pieces = _cut(self.pieces, len(part.tokens)) if self.request.streaming else ()
        return Completion(part.tokens, part.finish, part.words, part.log_probs, pieces, part.beams)


def play(requests: Sequence[Request], engine: Engine) -> list[Completion]:
    """Return the answers to requests, in their order, each sent and cancelled when it asks to be.

    A request whose turn never comes, because it waits for one that waits for it, is refused in words. Whatever
    happens, nothing is left running.
    """
    known = [Progress(number, request) for number, request in enumerate(requests)]
    waited_for = {request.after for request in requests}
    waiting = dict(enumerate(known))
    running: dict[int, Progress] = {}
    try:
        while True:
            for one in [one for one in waiting.values() if _may_start(one, known)]:
                stream = one.request.streaming or one.request.cancel_after > 0 or one.number in waited_for
                running[one.number] = waiting.pop(one.number)
                engine.submit(one.number, one.request, stream=stream)
            if not running:
                break
            for part in engine.parts():
                if part.number in running:
                    _note(running, part, engine)
    finally:
        for number in running:
            engine.cancel(number)
    for one in waiting.values():
        one.end("refused", f"waits for request {one.request.after}, which never delivers a token")
    return [one.completion() for one in known]


def _may_start(one: Progress, known: Sequence[Progress]) -> bool:
    """Say whether what a request waits for has delivered a token, or ended without one."""
    after = one.request.after
    if after is None:
        return True
    if not 0 <= after < len(known):
        return False
    return bool(known[after].part.tokens) or known[after].is_over


def _note(running: dict[int, Progress], part: Part, engine: Engine) -> None:
    one = running[part.number]
    one.take(part)
    if one.is_due_to_cancel:
        engine.cancel(one.number)
        one.end("cancelled")
    if one.is_over:
        del running[one.number]


def _cut(pieces: Sequence[int], count: int) -> tuple[int, ...]:
    """Return as many pieces, the last one shortened, as make up so many tokens."""
    kept: list[int] = []
    for piece in pieces:
        fitting = min(piece, count - sum(kept))
        if fitting > 0:
            kept.append(fitting)
    return tuple(kept)


Ask = Callable[[int, Request, bool], Iterator[Part]]
"""Answers one request, part by part; closed early when it is cancelled, and then frees what it holds."""


class Threads:
    """An engine that asks for each request in a thread of its own.

    ``ask`` must come to an end by itself in bounded time: a thread cannot be stopped from outside.
    """

    def __init__(self, ask: Ask, most: int = 0) -> None:
        """``most`` bounds how many ask at once; 0 for all."""
        self._ask = ask
        self._came: queue.Queue[Part | BaseException] = queue.Queue()
        self._given_up: set[int] = set()
        self._room = threading.Semaphore(most) if most else None

    def submit(self, number: int, request: Request, *, stream: bool) -> None:
        """Start a thread."""
        threading.Thread(target=self._work, args=(number, request, stream), daemon=True).start()

    def parts(self) -> Iterable[Part]:
        """Wait for one part; what an answer raised is raised here."""
        came = self._came.get()
        if isinstance(came, BaseException):
            raise came
        return (came,)

    def cancel(self, number: int) -> None:
        """Let the thread end at its next part; one that has to be cancelled by its script has ended already."""
        self._given_up.add(number)

    def _work(self, number: int, request: Request, stream: bool) -> None:
        try:
            if self._room is None:
                self._answer(number, request, stream)
            else:
                with self._room:
                    self._answer(number, request, stream)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the answer is waited for
            self._came.put(error)

    def _answer(self, number: int, request: Request, stream: bool) -> None:
        parts = self._ask(number, request, stream)
        finish = ""
        for part in parts:
            finish = part.finish
            has_enough = 0 < request.cancel_after <= len(part.tokens) and not finish
            if has_enough or number in self._given_up:
                # Before the part is told: whoever hears of it may rely on the request being cancelled.
                close = getattr(parts, "close", None)
                if close is not None:
                    close()
                part = Part(number, part.tokens, "cancelled", "", part.log_probs)  # noqa: PLW2901
                finish = part.finish
            self._came.put(part)
            if finish:
                return
        raise RuntimeError(f"the answer to request {number} ended without a reason")
