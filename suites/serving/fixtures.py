"""Fixtures of this suite, registered as a plugin so that all its modules share one bench in a worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.session.run import run_of

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.bench import Bench


@pytest.fixture(scope="session")
def trtcheck_serving_bench(pytestconfig: pytest.Config) -> Iterator[Bench]:
    """Return the bench of this process: servers start on first use and are stopped at the end, whatever happens."""
    from pytest_trtcheck._suites.serving.backend_releases import release_for
    from pytest_trtcheck._suites.serving.bench import Bench
    from pytest_trtcheck._suites.serving.installation import installation_of

    run = run_of(pytestconfig)
    installation = installation_of(run.stack.get("triton_server"))
    assert installation is not None, "planned only where a server was found"
    bench = Bench(
        installation,
        has_torch=run.stack.get("torch").is_found,
        release=release_for(run.stack.get("tensorrt_llm").value),
        seed=run.draw_seed(),
        limits=run.settings.serving_limits,
    )
    try:
        yield bench
    finally:
        bench.close()
