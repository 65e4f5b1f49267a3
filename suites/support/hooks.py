"""What all suites do with the plugins that bring providers: a plan made once, and a check for each hook that failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import pytest

from pytest_trtcheck.session import fail

if TYPE_CHECKING:
    from pytest_trtcheck._suites.support.registry import BrokenHook
    from pytest_trtcheck.session.run import Run

PlanT = TypeVar("PlanT")


def planned_once(
    config: pytest.Config, run: Run, key: pytest.StashKey[PlanT], make: Callable[[pytest.Config, Run], PlanT]
) -> PlanT:
    """Return a suite's plan of this process; made once, so that every hook is called once."""
    if key not in config.stash:
        config.stash[key] = make(config, run)
    return config.stash[key]


def plans_hooks(metafunc: pytest.Metafunc, broken: Sequence[BrokenHook], check_id: str) -> bool:
    """Plan ``test_hook`` for hooks that brought nothing usable, and say True; False where another test is planned."""
    if "hook" not in metafunc.fixturenames:
        return False
    mark = pytest.mark.trtcheck_check(check_id)
    metafunc.parametrize("hook", [pytest.param(hook, id=hook.plugin, marks=mark) for hook in broken])
    return True


def test_hook(hook: BrokenHook, request: pytest.FixtureRequest) -> None:
    """Tell of providers that could not be had, each plugin once."""
    fail(request, hook.words, f"{hook.plugin}: {hook.words}")
