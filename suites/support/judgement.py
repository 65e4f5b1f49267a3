"""What became of one check of one provider."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_trtcheck.model.report import Comparison

PASSED = "passed"
FAILED = "failed"
REFUSED = "refused"


@dataclass(frozen=True)
class Judgement:
    """What became of one case on one provider."""

    state: str
    """``passed``, ``failed`` or ``refused``."""
    message: str
    """One line: the comparison, what was wrong with the answer, or the words of the exception."""
    text: str = ""
    """Traceback of what the provider raised; empty when it returned."""
    comparison: Comparison | None = None
    """None where there was no answer to compare."""
    spoiled: bool = False
    """True when the inputs may have changed: nobody else may be given them, nor the reference made from them."""
