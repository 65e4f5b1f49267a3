"""The real server of the extra ``serving``, started from the wheel as the suite starts it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from pytest_trtcheck._suites.serving.bench import Bench
from pytest_trtcheck._suites.serving.installation import Installation, installation_of
from pytest_trtcheck.probe.root import Root
from pytest_trtcheck.probe.triton_server import triton_server_fact


@pytest.fixture(scope="session")
def installation() -> Installation:
    found = installation_of(triton_server_fact(Root("/"), os.environ, sys.path))
    assert found is not None, "the extra serving is installed, and no server is found"
    return found


@pytest.fixture(scope="session")
def bench(installation: Installation) -> Iterator[Bench]:
    bench = Bench(installation, has_torch=True, seed=7)
    yield bench
    bench.close()
