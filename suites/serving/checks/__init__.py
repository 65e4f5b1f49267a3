"""The checks of this suite, in the order in which they run."""

from __future__ import annotations

from pytest_trtcheck._suites.serving.checking import Check


def owned_checks() -> tuple[Check, ...]:
    """Return the checks on a server that is ours: started, loaded, abused and stopped here."""
    from pytest_trtcheck._suites.serving.checks import (
        batching,
        clients,
        control,
        ending,
        inference,
        llm,
        load,
        requests,
        scheduling,
        soak,
        start,
        streams,
        trouble,
    )  # fmt: skip

    before = (start, inference, batching, scheduling, streams, control, load, soak)
    return (
        *(check for module in before for check in module.CHECKS),
        *start.LAST,
        *requests.CHECKS,
        *clients.CHECKS,
        *trouble.CHECKS,
        *llm.CHECKS,
        *load.LLM_CHECKS,
        *ending.CHECKS,
    )
