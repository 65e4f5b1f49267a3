"""How much a run may look at, and for how long."""

from __future__ import annotations

from enum import Enum


class Level(str, Enum):
    """A level holds all that the ones before it hold."""

    STATIC = "static"
    """Files only: no GPU touched, nothing native loaded, no child process."""
    QUICK = "quick"
    STANDARD = "standard"
    FULL = "full"

    @property
    def rank(self) -> int:
        """Position in the order static, quick, standard, full."""
        return list(Level).index(self)

    @property
    def budget_seconds(self) -> int:
        """Time a run of this level should stay within on one GPU, with torch alone."""
        return {Level.STATIC: 1, Level.QUICK: 60, Level.STANDARD: 300, Level.FULL: 1800}[self]

    @property
    def check_deadline_seconds(self) -> int:
        """Time that a check has which declares none of its own."""
        return {Level.STATIC: 30, Level.QUICK: 60, Level.STANDARD: 300, Level.FULL: 1800}[self]

    @property
    def compile_seconds(self) -> int:
        """Time that one provider's library may spend compiling kernels, about."""
        return {Level.STATIC: 0, Level.QUICK: 4, Level.STANDARD: 15, Level.FULL: 600}[self]

    @property
    def import_deadline_seconds(self) -> int:
        """Time one library has to import in its child process."""
        return {Level.STATIC: 0, Level.QUICK: 45, Level.STANDARD: 120, Level.FULL: 300}[self]
