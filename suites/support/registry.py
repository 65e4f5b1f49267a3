"""Providers found through a hook; what one plugin does wrong costs that plugin's providers only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class BrokenHook:
    """A plugin whose providers could not be had."""

    plugin: str
    words: str


@dataclass(frozen=True)
class Providers:
    """What a hook delivered."""

    usable: tuple[Any, ...]
    broken: tuple[BrokenHook, ...]


def find_providers(config: pytest.Config, hook_name: str) -> Providers:
    """Call every implementation of a hook by itself and return the providers, built-in ones first, and what went wrong.

    A provider has a name of its own, ``why_not`` and ``run``.
    """
    usable: dict[str, Any] = {}
    broken: list[BrokenHook] = []
    for implementation in getattr(config.hook, hook_name).get_hookimpls():
        plugin = implementation.plugin_name
        try:
            given = implementation.function(*([config] if "config" in implementation.argnames else []))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - an import that calls sys.exit must not end the run
            broken.append(BrokenHook(_short(plugin), f"{type(error).__name__}: {error}"))
            continue
        if not isinstance(given, Sequence) or isinstance(given, str):
            broken.append(BrokenHook(_short(plugin), f"expected a list of providers, found {type(given).__name__}"))
            continue
        for provider in given:
            problem = _problem(provider, usable)
            if problem:
                broken.append(BrokenHook(_short(plugin), problem))
            else:
                usable[provider.name] = provider
    return Providers(tuple(usable.values()), tuple(broken))


def _short(plugin: str) -> str:
    """Return the end of a plugin's name; a conftest's is a path, which differs from machine to machine."""
    return plugin.rpartition("/")[2] if "/" in plugin else plugin.rpartition(".")[2]


def _problem(provider: Any, known: dict[str, Any]) -> str:
    name = getattr(provider, "name", None)
    if not isinstance(name, str) or not name.isidentifier():
        return f"expected a provider with a name that is an identifier, found {name!r} of {type(provider).__name__}"
    missing = [method for method in ("why_not", "run") if not callable(getattr(provider, method, None))]
    if missing:
        return f"provider {name} has no {' and no '.join(missing)}"
    return f"provider {name} is there already" if name in known else ""
