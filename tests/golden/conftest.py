"""Golden files: ``pytest tests/golden --rewrite-golden`` writes them anew; what changed is then read in the diff."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

EXPECTED = Path(__file__).with_name("expected")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return a function that compares a text with a golden file, byte by byte."""
    rewrite = request.config.getoption("--rewrite-golden")

    def compare(file_name: str, text: str) -> None:
        path = EXPECTED / file_name
        if rewrite:
            path.write_bytes(text.encode())
            pytest.skip(f"{file_name} was rewritten")
        assert path.read_bytes().decode() == text, f"{file_name} differs; see tests/golden/conftest.py"

    return compare
