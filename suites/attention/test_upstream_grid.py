"""Upstream's 49 cases with upstream's criterion, on what there is here: a number that people know.

Runs without this tool's session as well: ``python -m unittest pytest_trtcheck._suites.attention.test_upstream_grid``.
"""

from __future__ import annotations

import sys
import unittest
from collections import defaultdict
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from parameterized import param, parameterized

from pytest_trtcheck._suites.attention.upstream import (
    GRID,
    SECONDS_UPSTREAM,
    GridCase,
    grid_device,
    grid_providers,
    run_on_first,
)
from pytest_trtcheck.providers import Refused

pytestmark = [
    pytest.mark.trtcheck_check("TRC-ATT-004"),
    pytest.mark.trtcheck_needs("torch"),
    pytest.mark.trtcheck_group("upstream's grid"),
    # On two cores it takes longer than a quick run has.
    pytest.mark.trtcheck_level("standard"),
]

_SEED = 0


def _name(function: Callable[..., Any], number: str, arguments: param) -> str:
    case: GridCase = arguments.args[0]
    return f"{function.__name__}_{number:0>2}_{case.name}"


class UpstreamGrid(unittest.TestCase):
    """``TestFunctional.test_bert_attention`` of TensorRT-LLM."""

    seconds: ClassVar[dict[str, list[float]]]

    @classmethod
    def setUpClass(cls) -> None:
        """Begin to count the time by provider."""
        cls.seconds = defaultdict(list)

    @classmethod
    def tearDownClass(cls) -> None:
        """Tell which provider ran how many cases in what time."""
        parts = [f"{name} {len(times)} cases in {sum(times):.2f} s" for name, times in cls.seconds.items()]
        sys.stderr.write(f"\n{', '.join(parts)}; upstream took {SECONDS_UPSTREAM:.0f} s for {len(GRID)}\n")

    @parameterized.expand([(case,) for case in GRID], name_func=_name)  # type: ignore[untyped-decorator]
    def test_bert_attention(self, case: GridCase) -> None:
        """Answer within upstream's tolerance of upstream's reference."""
        device = grid_device()
        try:
            provider, outcome = run_on_first(case, grid_providers(case, device), device, _SEED)
        except Refused as refusal:
            raise unittest.SkipTest(str(refusal)) from None
        self.seconds[provider.name].append(outcome.seconds)
        self.assertTrue(outcome.passed, f"{provider.name} on {device}: {outcome.describe()}")  # noqa: PT009
