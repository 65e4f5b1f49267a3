"""Answers in the OpenAI protocol for completions, read piece by piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.probe_llm.providers.answers import ended
from pytest_trtcheck._suites.probe_llm.providers.play import Part
from pytest_trtcheck._suites.probe_llm.providers.wire import Call, DeclinedError, error_words, number
from pytest_trtcheck._suites.probe_llm.tasks import encode

if TYPE_CHECKING:
    from pytest_trtcheck.providers import Request

_ID_PREFIX = "token_id:"
"""How vLLM writes a token in log-probabilities when it is told to name ids."""


@dataclass(frozen=True)
class _Told:
    """Log-probabilities of one piece, in the protocol's form, once it was found to be of that form."""

    ids: tuple[int, ...]
    rows: tuple[dict[int, float], ...]


class Answer:
    """What has come of one answer."""

    def __init__(self, names: Mapping[str, int], request: Request) -> None:
        self.names, self.request = names, request
        self.ids: list[int] = []
        self.rows: list[dict[int, float]] = []
        self.said = ""
        self.stop: str | None = None
        self.names_stops = False

    @property
    def is_over(self) -> bool:
        """Say whether the reason of the end has come."""
        return bool(self.said)

    def add(self, call: Call, document: Any) -> None:
        """Take a piece, or all of it; ServerError for what the protocol does not allow."""
        words = error_words(document)
        choices = document.get("choices") if isinstance(document, dict) else None
        if words and not choices:
            raise DeclinedError(words)
        if choices == []:
            # A last event with the usage alone.
            return
        choice = choices[0] if isinstance(choices, list) else None
        if not isinstance(choice, dict):
            raise call.wrong(f"expected choices, found {str(document)[:120]!r}")
        text, said = choice.get("text"), choice.get("finish_reason")
        if not isinstance(text, str) or not isinstance(said, (str, type(None))):
            raise call.wrong(f"expected text and finish_reason, found {str(choice)[:120]!r}")
        told = self._told(call, choice.get("logprobs"))
        self.rows += told.rows if told else ()
        self.ids += self._ids(choice.get("token_ids"), told, text)
        if len(self.ids) > self.request.max_tokens:
            raise call.wrong(f"more tokens than asked for: expected {self.request.max_tokens} at most")
        self.said = said or self.said
        if "stop_reason" in choice:
            self.names_stops = True
            found = choice["stop_reason"]
            self.stop = found if isinstance(found, str) and found in self.request.stop else self.stop

    def part(self, number: int) -> Part:
        """Return what has come so far."""
        return Part(number, tuple(self.ids), log_probs=tuple(self.rows))

    def last(self, call: Call, number: int) -> Part:
        """Return the whole answer."""
        try:
            tokens, finish = ended(self.request, self.ids, self.said, self.stop, names_stops=self.names_stops)
        except RuntimeError as error:
            raise call.wrong(str(error)) from None
        return Part(number, tokens, finish, log_probs=tuple(self.rows[: len(tokens)]))

    def _ids(self, ids: Any, told: _Told | None, text: str) -> Sequence[int]:
        """Return the tokens of a piece: by id, by their names beside log-probabilities, or by the text."""
        if isinstance(ids, list) and all(isinstance(one, int) and 0 <= one < 2**31 for one in ids):
            return ids
        return told.ids if told else encode(text)

    def _told(self, call: Call, found: Any) -> _Told | None:
        if not self.request.log_probs or found is None:
            return None
        names, values = (found.get("tokens"), found.get("token_logprobs")) if isinstance(found, dict) else (None, None)
        tops = found.get("top_logprobs") if isinstance(found, dict) else None
        tops = tops if isinstance(tops, list) else [None] * len(names or ())
        if not isinstance(names, list) or not isinstance(values, list) or not len(names) == len(values) == len(tops):
            raise call.wrong(f"expected lists of tokens and their log-probabilities, found {str(found)[:120]!r}")
        ids = tuple(self._id(call, name) for name in names)
        rows = []
        for one, value, top in zip(ids, values, tops, strict=True):
            named = {**(top if isinstance(top, dict) else {})}
            row = {self._id(call, name): self._log_prob(call, entry) for name, entry in named.items()}
            rows.append({**row, one: self._log_prob(call, value)})
        return _Told(ids, tuple(rows))

    def _id(self, call: Call, name: Any) -> int:
        found = self.names.get(name) if isinstance(name, str) else None
        if found is None and isinstance(name, str) and name.startswith(_ID_PREFIX):
            digits = name.removeprefix(_ID_PREFIX)
            found = int(digits) if digits.isdecimal() and len(digits) < 10 else None
        if found is None:
            raise call.wrong(f"expected a token of the probe model in logprobs, found {str(name)[:60]!r}")
        return found

    def _log_prob(self, call: Call, value: Any) -> float:
        found = number(value)
        if found is None:
            raise call.wrong(f"expected a number as log-probability, found {str(value)[:60]!r}")
        return found
