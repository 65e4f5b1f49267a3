"""Met only when pytest is pointed at this folder: the bundled suites have no meaning without a run around them."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """Refuse to run the suites as ordinary tests, which could end green and have judged nothing."""
    if not config.option.trtcheck:
        raise pytest.UsageError("the bundled suites give no verdict as ordinary tests; run pytest --trtcheck")
