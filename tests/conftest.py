"""Options of the test run. Being here makes ``tests`` importable from every folder below it."""

from __future__ import annotations

import pytest

# pytest takes this in the topmost conftest only.
pytest_plugins = ["pytester"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-golden",
        action="store_true",
        help="Write the files of tests/golden/expected anew instead of comparing with them; then read the diff",
    )
