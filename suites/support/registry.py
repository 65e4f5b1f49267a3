"""Providers found through a hook; what one plugin or provider does wrong costs itself only.

Planning happens in the controlling process, where no deadline watches: whatever is asked there has a time limit of its
own. It ends what waits in Python; a call that hangs or crashes in native code while planning ends the run.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import pytest

from pytest_trtcheck._suites.support.words import first_line

T = TypeVar("T")

ASKING_SECONDS = 20.0
_MOST_WORDS = 300


class UnusableError(Exception):
    """What was asked of a plugin or a provider could not be had; the words say why."""


class _TimeIsUp(BaseException):
    """Not an Exception: code that is asked may catch those."""


@dataclass(frozen=True)
class BrokenHook:
    """A plugin whose providers could not be had, or a provider that cannot be asked."""

    plugin: str
    words: str


@dataclass(frozen=True)
class Providers:
    """What a hook delivered."""

    usable: tuple[Any, ...]
    broken: tuple[BrokenHook, ...]


def ask(question: Callable[[], T]) -> T:
    """Return the answer of foreign code; UnusableError for whatever it raises, and when it takes too long.

    An interrupt, and pytest's own end of the run, go through.
    """
    try:
        with _time_limit():
            return question()
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except _TimeIsUp:
        raise UnusableError(f"no answer within {ASKING_SECONDS:g} s") from None
    except BaseException as error:  # noqa: BLE001 - sys.exit and pytest.skip must not end the run or drop a module
        raise UnusableError(f"{type(error).__name__}: {first_line(error, _MOST_WORDS)}") from None


def find_providers(config: pytest.Config, hook_name: str, method: str = "run") -> Providers:
    """Call every implementation of a hook by itself and return the providers, built-in ones first, and what went wrong.

    A provider has a name of its own, ``why_not``, and the method that the suite calls.
    """
    usable: dict[str, Any] = {}
    broken: list[BrokenHook] = []
    for implementation in getattr(config.hook, hook_name).get_hookimpls():
        plugin = _short(implementation.plugin_name)
        arguments = [config] if "config" in implementation.argnames else []
        try:
            given = ask(partial(_providers, implementation.function, arguments))
        except UnusableError as error:
            broken.append(BrokenHook(plugin, str(error)))
            continue
        for provider in given:
            problem = _problem(provider, usable, method)
            if problem:
                broken.append(BrokenHook(plugin, problem))
            else:
                usable[provider.name] = provider
    return Providers(tuple(usable.values()), tuple(broken))


@contextmanager
def _time_limit() -> Iterator[None]:
    """Raise in what runs too long; signals reach the main thread only, elsewhere there is no limit."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: object) -> None:  # noqa: ARG001
        raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, ASKING_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _providers(function: Callable[..., Any], arguments: list[Any]) -> list[Any]:
    given = function(*arguments)
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise TypeError(f"expected a list of providers, found {type(given).__name__}")
    return list(given)


def _problem(provider: Any, known: dict[str, Any], method: str) -> str:
    """Return why this is no provider, empty when it is one."""
    try:
        name, missing = ask(partial(_looked_at, provider, method))
    except UnusableError as error:
        return f"a provider that cannot be looked at: {error}"
    if not isinstance(name, str) or not name.isidentifier():
        return f"expected a provider with a name that is an identifier, found {name!r:.60}"
    if missing:
        return f"provider {name:.60} has no {' and no '.join(missing)}"
    return f"provider {name:.60} is there already" if name in known else ""


def _looked_at(provider: Any, method: str) -> tuple[Any, list[str]]:
    """Return a provider's name, and which of its methods are missing."""
    missing = [method for method in ("why_not", method) if not callable(getattr(provider, method, None))]
    return getattr(provider, "name", None), missing


def _short(plugin: str) -> str:
    """Return the end of a plugin's name; a conftest's is a path, which differs from machine to machine."""
    return plugin.rpartition("/")[2] if "/" in plugin else plugin.rpartition(".")[2]
