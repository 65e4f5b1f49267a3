"""Rule families. Each is a function from a context to answers; they know nothing of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.verdict.families.architecture import architecture
from pytest_trtcheck.verdict.families.cudnn import cudnn
from pytest_trtcheck.verdict.families.device import device
from pytest_trtcheck.verdict.families.driver import driver
from pytest_trtcheck.verdict.families.imports import imports
from pytest_trtcheck.verdict.families.libraries import libraries
from pytest_trtcheck.verdict.families.packages import packages
from pytest_trtcheck.verdict.families.tensorrt_llm import tensorrt_llm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.verdict.base import Context, Unasked

FAMILIES: tuple[Callable[[Context], Iterator[Finding | Unasked]], ...] = (
    driver,
    device,
    architecture,
    tensorrt_llm,
    cudnn,
    libraries,
    imports,
    packages,
)
