"""Mistakes of a server, made by a stand-in in front of a real one."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import replace

from pytest_trtcheck._suites.serving.endpoint import Answer
from pytest_trtcheck._suites.serving.standin import Mischief

_WARM_SECONDS = 1.0
_WAIT_SECONDS = 0.5


def _is_infer(path: str) -> bool:
    return path.endswith("/infer")


class ReadyTooEarly(Mischief):
    """Calls itself ready a second before it can answer."""

    def __init__(self) -> None:
        self.since = 0.0

    def answer(self, method: str, path: str, body: bytes) -> Answer | None:
        """Refuse inference at first."""
        self.since = self.since or time.monotonic()
        if _is_infer(path) and time.monotonic() - self.since < _WARM_SECONDS:
            return Answer(503, {}, b'{"error": "the model is loading"}')
        return None


class ErrorsAs200(Mischief):
    """Errors come with status 200."""

    def change(self, method: str, path: str, body: bytes, answer: Answer) -> Answer | None:
        """Leave the words."""
        return replace(answer, status=200) if answer.status >= 400 else answer


class NothingFails(Mischief):
    """Errors come as empty answers with status 200."""

    def change(self, method: str, path: str, body: bytes, answer: Answer) -> Answer | None:
        """Leave out the words."""
        return Answer(200, {}, b"{}") if answer.status >= 400 else answer


class WordlessErrors(Mischief):
    """Errors come without words."""

    def change(self, method: str, path: str, body: bytes, answer: Answer) -> Answer | None:
        """Leave the status."""
        return replace(answer, body=b"") if answer.status >= 400 else answer


class ClosesOnError(Mischief):
    """Closes the connection instead of telling an error."""

    def change(self, method: str, path: str, body: bytes, answer: Answer) -> Answer | None:
        """Say nothing."""
        return None if answer.status >= 400 else answer


class FrozenMetrics(Mischief):
    """Metrics stay what they were when they were first asked for."""

    def __init__(self) -> None:
        self.first: Answer | None = None

    def change(self, method: str, path: str, body: bytes, answer: Answer) -> Answer | None:
        """Tell the first again."""
        if path != "/metrics":
            return answer
        self.first = self.first or answer
        return self.first


class DoubledMetrics(Mischief):
    """Metrics count every request twice."""

    def change(self, method: str, path: str, body: bytes, answer: Answer) -> Answer | None:
        """Double the successes."""
        if path != "/metrics":
            return answer
        pattern = rb"(?m)^(nv_inference_request_success\{.*\}) (\d+)$"
        return replace(answer, body=re.sub(pattern, lambda m: b"%s %d" % (m[1], 2 * int(m[2])), answer.body))


class FrozenStatistics(Mischief):
    """Statistics of a model stay what they were when they were first asked for."""

    def __init__(self) -> None:
        self.first: dict[str, Answer] = {}

    def change(self, method: str, path: str, body: bytes, answer: Answer) -> Answer | None:
        """Tell the first again."""
        return self.first.setdefault(path, answer) if path.endswith("/stats") else answer


class SwappedAnswers(Mischief):
    """Two callers who ask at the same time get each other's answer."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: list[tuple[threading.Event, list[Answer]]] = []

    def change(self, method: str, path: str, body: bytes, answer: Answer) -> Answer | None:
        """Exchange it with whoever waits, or wait a moment for somebody."""
        if not _is_infer(path) or answer.status != 200:
            return answer
        with self.lock:
            if self.waiting:
                event, place = self.waiting.pop()
                other = place[0]
                place[0] = answer
                event.set()
                return other
            event, place = threading.Event(), [answer]
            self.waiting.append((event, place))
        event.wait(_WAIT_SECONDS)
        with self.lock:
            if (event, place) in self.waiting:
                self.waiting.remove((event, place))
        return place[0]


class CutBytes(Mischief):
    """The last byte of a binary answer is lost."""

    def change(self, method: str, path: str, body: bytes, answer: Answer) -> Answer | None:
        """Cut it off."""
        return replace(answer, body=answer.body[:-1]) if "inference-header-content-length" in answer.headers else answer


class LostEvent(Mischief):
    """The last event of a stream is lost on its way."""

    def events(self, events: Iterable[bytes]) -> Iterable[bytes]:
        """Hold each line until the next event begins."""
        held: list[bytes] = []
        for line in events:
            if line.startswith(b"data:") and held:
                yield from held
                held = []
            held.append(line)


class BrokenOffStream(Mischief):
    """A stream breaks off in the middle of an event."""

    def events(self, events: Iterable[bytes]) -> Iterable[bytes]:
        """End within the third."""
        for number, line in enumerate(events):
            if number >= 4:
                yield line[: len(line) // 2]
                return
            yield line


class Stranger(Mischief):
    """Another server answers on the port."""

    def change(self, method: str, path: str, body: bytes, answer: Answer) -> Answer | None:
        """Tell another name."""
        if path != "/v2":
            return answer
        return replace(answer, body=json.dumps({**json.loads(answer.body), "name": "triton"}).encode())


class DeafSettings(Mischief):
    """Settings are confirmed and not changed."""

    def answer(self, method: str, path: str, body: bytes) -> Answer | None:
        """Confirm what was asked for last, for ever the same."""
        return Answer(200, {}, b'{"trace_rate": "1000", "log_verbose_level": 0}') if _is_setting(path) else None


def _is_setting(path: str) -> bool:
    return path in {"/v2/logging", "/v2/trace/setting"}


class NeverUnloads(Mischief):
    """An unload is confirmed and not done."""

    def answer(self, method: str, path: str, body: bytes) -> Answer | None:
        """Confirm it."""
        return Answer(200, {}, b"") if path.endswith("/unload") else None


class OnePriority(Mischief):
    """All priorities are one."""

    def pass_on(self, path: str, body: bytes) -> bytes:
        """Ask with the lower of the two that a check uses."""
        return body.replace(b'"priority": 1', b'"priority": 2')


class ForgetsId(Mischief):
    """The id of a generate request does not come back."""

    def change(self, method: str, path: str, body: bytes, answer: Answer) -> Answer | None:
        """Leave it out."""
        if not path.endswith("/generate") or answer.status != 200:
            return answer
        told = json.loads(answer.body)
        told.pop("id", None)
        return replace(answer, body=json.dumps(told).encode())
