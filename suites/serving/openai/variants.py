"""Broken and sound servers of the OpenAI protocol, what catches each and what it says then."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_trtcheck._suites.serving.broken import openai as broken
from pytest_trtcheck._suites.serving.openai import sound
from pytest_trtcheck._suites.serving.openai.manners import Manners

_WHOLE = "openai-completions openai-chat"
_STREAMS = "openai-completions-stream openai-chat-stream"
_ALL = f"openai-models {_WHOLE} {_STREAMS} openai-stop openai-logprobs openai-errors"


@dataclass(frozen=True)
class OpenAiVariant:
    """One server."""

    manners: type[Manners]
    checks: tuple[str, ...]
    """Names of the checks that judge it."""
    says: str = ""
    """What one of them must say of it; empty for a sound one."""

    @property
    def name(self) -> str:
        """What it is called in the table."""
        return "openai-" + "".join(f"-{c.lower()}" if c.isupper() else c for c in self.manners.__name__).lstrip("-")

    @property
    def about(self) -> str:
        """What it does."""
        return (self.manners.__doc__ or "").partition("\n")[0].rstrip(".").removeprefix("Sound: ")

    @property
    def is_sound(self) -> bool:
        """True for one that must pass."""
        return not self.says


def _one(manners: type[Manners], checks: str, says: str = "") -> OpenAiVariant:
    return OpenAiVariant(manners, tuple(checks.split()), says)


def broken_openai() -> tuple[OpenAiVariant, ...]:
    """Return servers each of which makes one mistake."""
    return (
        _one(broken.NamelessModels, "openai-models", "data[0].id: expected a name"),
        _one(broken.BareModels, "openai-models", "expected an object 'list'"),
        _one(broken.LostLetter, _WHOLE, "the probe model answers"),
        _one(broken.WrongObject, _WHOLE, ".object: expected"),
        _one(broken.WrongCreated, _WHOLE, ".created: expected whole seconds"),
        _one(broken.OneChoice, _WHOLE, ".choices: expected a list"),
        _one(broken.WrongSum, _WHOLE, "tokens are not 0 in all"),
        _one(broken.WrongCount, _WHOLE, "usage.completion_tokens: an answer of"),
        _one(broken.CutSaysStop, _WHOLE, "expected finish_reason 'length'"),
        _one(broken.Mixed, _WHOLE, "callers at once: "),
        _one(broken.WrongOrder, _STREAMS, "the probe model answers"),
        _one(broken.LostToken, _STREAMS, "the probe model answers"),
        _one(broken.NoDone, _STREAMS, "without [DONE]"),
        _one(broken.AllAtOnce, _STREAMS, "tokens came in 1 events"),
        _one(broken.NoFinish, _STREAMS, "none of which has a finish_reason"),
        _one(broken.TwoFinishes, _STREAMS, "comes after the event that said 'stop'"),
        _one(broken.ManyIds, _STREAMS, "is not that of the first event"),
        _one(broken.NoRole, "openai-chat-stream", "no event says that the assistant speaks"),
        _one(broken.ErrorInStream, _STREAMS, "an error comes with HTTP 200: out of memory"),
        _one(broken.KeepsStop, "openai-stop", "the answer ends with the stop word"),
        _one(broken.KeepsStopInStreams, "openai-stop", "the answer ends with the stop word"),
        _one(broken.NeverStops, "openai-stop", "stop '"),
        _one(broken.ShiftedScores, "openai-logprobs", "among top_logprobs"),
        _one(broken.ForeignScores, "openai-logprobs", "are not the answer's"),
        _one(broken.FlatScores, "openai-logprobs", "the reference gives"),
        _one(broken.ErrorsAs200, "openai-errors", "an error comes with HTTP 200"),
        _one(broken.AnswersAnything, "openai-errors", "expected an error, found HTTP 200"),
        _one(broken.WordlessErrors, "openai-errors", "an error without words"),
        _one(broken.ErrorsAsHtml, "openai-errors", "expected an error in JSON"),
        _one(broken.DiesOfErrors, "openai-errors", "the engine is dead"),
    )


def sound_openai() -> tuple[OpenAiVariant, ...]:
    """Return servers that speak the protocol, each in its own manner."""
    return (
        _one(Manners, _ALL),
        _one(sound.ThreeTokens, _ALL),
        _one(sound.CountsAtTheEnd, _ALL),
        _one(sound.TextAlone, "openai-models openai-completions openai-completions-stream openai-stop openai-errors"),
        _one(sound.Templated, _ALL),
    )
