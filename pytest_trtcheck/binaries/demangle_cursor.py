"""What the two halves of the demangler share: the place in the symbol, types, and what was read before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

MAX_STEPS = 20_000
MAX_TEXT = 1 << 16
MAX_DEPTH = 64


class NotUnderstoodError(Exception):
    """The name uses what this module leaves out, or is none."""


class Type(NamedTuple):
    """A type in two halves: what stands before and after the name that it declares."""

    left: str
    right: str = ""
    kind: str = ""
    """``function`` and ``array`` need parentheses when something points at them."""

    @property
    def text(self) -> str:
        """The type alone."""
        return f"{self.left} {self.right}" if self.kind else self.left + self.right

    def pointed(self, mark: str) -> Type:
        """Return a pointer or reference to it."""
        if self.kind:
            space = " " if self.kind == "array" else ""
            return Type(f"{self.left} ({mark}", f"){space}{self.right}")
        if mark == "&&" and self.left.endswith("&"):
            return self
        if mark == "&" and self.left.endswith("&"):
            return Type(self.left.rstrip("&") + "&", self.right)
        return Type(self.left + mark, self.right)

    def qualified(self, words: str) -> Type:
        """Return it with qualifiers; those of a function stand behind its parameters."""
        if self.kind == "function":
            return Type(self.left, self.right + words, self.kind)
        if self.left.endswith(("&", words)):
            return self
        return Type(self.left + words, self.right, self.kind)


@dataclass
class Pack:
    """A pack of template arguments that is being written out."""

    at: int = 0
    size: int = -1
    """Negative until a member of it was met."""


PACK = Type("", kind="pack")
"""Stands for a pack that was written out: what refers to it is not understood."""

Argument: TypeAlias = "Type | tuple[Type, ...]"
"""A template argument; a pack is a tuple, and so is every Type, which is looked for first."""


def each(argument: Argument) -> tuple[Type, ...]:
    """Return the members of a pack; of any other argument, itself."""
    return (argument,) if isinstance(argument, Type) else argument


class Cursor:
    """A place in one symbol."""

    def __init__(self, symbol: str, at: int) -> None:
        self.symbol, self.at = symbol, at
        self.known: list[Type] = []
        """What a later ``S…_`` may stand for."""
        self.arguments: list[Argument] = []
        """Template arguments that a ``T…_`` may stand for."""
        self.is_naming = False
        """While the name of the function is read, whose template arguments these are."""
        self.pack: Pack | None = None
        """The pack that is written out just now."""
        self.depth = self.steps = 0
        self.last = ""
        """The last character of an operator: ``operator<<`` and its template arguments are kept apart."""

    def _qualifiers(self) -> str:
        words = ""
        for char, word in (("r", " restrict"), ("V", " volatile"), ("K", " const")):
            words = words if not self._take(char) else word + words
        return words

    def _sequence(self, base: int) -> int:
        """Read ``_``, ``0_`` and ``1_`` as 0, 1 and 2."""
        if self._take("_"):
            return 0
        end = self.symbol.index("_", self.at)
        number = int(self.symbol[self.at : end], base) + 1
        self.at = end + 1
        return number

    def _count(self) -> int:
        return self._sequence(10) + 1

    def _number(self) -> int:
        start = self.at
        while self.at < len(self.symbol) and self.symbol[self.at].isdigit():
            self.at += 1
        return int(self.symbol[start : self.at])

    def _keep(self, found: Type) -> Type:
        if len(found.text) > MAX_TEXT:
            raise NotUnderstoodError
        self.known.append(found)
        return found

    def _step(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS or self.depth > MAX_DEPTH:
            raise NotUnderstoodError

    def _peek(self, text: str) -> bool:
        return self.symbol.startswith(text, self.at)

    def _take(self, text: str) -> bool:
        if self._peek(text):
            self.at += len(text)
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise NotUnderstoodError
