"""C++ names as people write them, from the names that the linker sees, without loading a C++ library.

Source: Itanium C++ ABI, section 5.1 (mangling); the spelling is that of binutils' c++filt. What is rare in exported
names (expressions, decltype) is not understood, and such a name stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, Union

from pytest_trtcheck.binaries.demangle_words import BUILTINS, BUILTINS_OF_D, LITERALS, OPERATORS, STANDARD

MAX_LENGTH = 4096
_MAX_STEPS = 20_000
_MAX_TEXT = 1 << 16
_MAX_DEPTH = 64


class _NotUnderstoodError(Exception):
    """The name uses what this module leaves out, or is none."""


class _Type(NamedTuple):
    """A type in two halves: what stands before and after the name that it declares."""

    left: str
    right: str = ""
    kind: str = ""
    """``function`` and ``array`` need parentheses when something points at them."""

    @property
    def text(self) -> str:
        return f"{self.left} {self.right}" if self.kind else self.left + self.right

    def pointed(self, mark: str) -> _Type:
        """Return a pointer or reference to it."""
        if self.kind:
            space = " " if self.kind == "array" else ""
            return _Type(f"{self.left} ({mark}", f"){space}{self.right}")
        if mark == "&&" and self.left.endswith("&"):
            return self
        if mark == "&" and self.left.endswith("&"):
            return _Type(self.left.rstrip("&") + "&", self.right)
        return _Type(self.left + mark, self.right)

    def qualified(self, words: str) -> _Type:
        """Return it with qualifiers; those of a function stand behind its parameters."""
        if self.kind == "function":
            return _Type(self.left, self.right + words, self.kind)
        if self.left.endswith(("&", words)):
            return self
        return _Type(self.left + words, self.right, self.kind)


_PACK = _Type("", kind="pack")
"""Stands for a pack that was written out: what refers to it is not understood."""

_Argument = Union[_Type, tuple[_Type, ...]]
"""A template argument; a pack is a tuple, and so is every _Type, which is looked for first."""


@lru_cache(maxsize=20_000)
def demangle(symbol: str) -> str:
    """Return ``at::Tensor::size(long) const`` for the symbol that stands for it; any other symbol as it is."""
    if not symbol.startswith("_Z") or len(symbol) > MAX_LENGTH:
        return symbol
    reader = _Reader(symbol, 2)
    try:
        text = reader.encoding(is_outer=True)
    except (_NotUnderstoodError, IndexError, ValueError, RecursionError):
        return symbol
    return text if reader.at == len(symbol) else symbol


class _Reader:
    """Reads one symbol from left to right."""

    def __init__(self, symbol: str, at: int) -> None:
        self.symbol, self.at = symbol, at
        self.known: list[_Type] = []
        """What a later ``S…_`` may stand for."""
        self.arguments: list[_Argument] = []
        """Template arguments that a ``T…_`` may stand for."""
        self.is_naming = False
        """While the name of the function is read, whose template arguments these are."""
        self.pack: int | None = None
        self.pack_size: int | None = None
        self.depth = self.steps = 0
        self.last = ""
        """The last character of an operator: ``operator<<`` and its template arguments are kept apart."""

    def encoding(self, *, is_outer: bool = False) -> str:
        """Read a function with its parameters, a variable, or what the compiler makes beside them.

        Only the outermost function is written with what it returns.
        """
        self._step()
        special = self._special()
        if special:
            return special
        before, depth = self.is_naming, self.depth
        self.is_naming, self.depth = True, 0
        name, qualifiers, is_template = self.name()
        self.is_naming = False
        text = self._signature(name, qualifiers, is_template, is_outer)
        self.is_naming, self.depth = before, depth
        return text

    def _signature(self, name: str, qualifiers: str, is_template: bool, is_outer: bool) -> str:
        if self.at >= len(self.symbol) or self.symbol[self.at] in "E.":
            return name
        result = _Type("")
        if is_template:
            result = self.type()
        parameters = self._parameters()
        if not is_outer or not result.left:
            return f"{name}({parameters}){qualifiers}"
        space = "" if result.right.startswith(")") else " "
        return f"{result.left}{space}{name}({parameters}){qualifiers}{result.right}"

    def _special(self) -> str:
        for code, words in (
            ("TV", "vtable for "), ("TI", "typeinfo for "), ("TS", "typeinfo name for "), ("TT", "VTT for "),
        ):  # fmt: skip
            if self._take(code):
                return words + self.type().text
        if self._take("GV"):
            return "guard variable for " + self.name()[0]
        for code, words in (("Th", "non-virtual thunk to "), ("Tv", "virtual thunk to ")):
            if self._take(code):
                for _ in range(len(code) if code == "Tv" else 1):
                    self._take("n")
                    self._number()
                    self._expect("_")
                return words + self.encoding()
        return ""

    def name(self) -> tuple[str, str, bool]:
        """Read a name; return it, the qualifiers of a member function, and whether it ends in template arguments."""
        if self._take("N"):
            return self._nested()
        if self._take("Z"):
            return self._local()
        if self._peek("S") and not self._peek("St"):
            text, is_new = self._substitution().text, False
        else:
            text, is_new = ("std::" if self._take("St") else "") + self._unqualified(""), True
        if self._peek("I"):
            if is_new:
                self._keep(_Type(text))
            return text + self._template(), "", True
        return text, "", False

    def _local(self) -> tuple[str, str, bool]:
        outer = self.encoding()
        self._expect("E")
        if self._take("s"):
            self._discriminator()
            return f"{outer}::string literal", "", False
        if self._peek("d"):
            raise _NotUnderstoodError
        name, qualifiers, is_template = self.name()
        self._discriminator()
        return f"{outer}::{name}", qualifiers, is_template

    def _discriminator(self) -> None:
        if self._take("_"):
            if self._take("_"):
                self._number()
                self._expect("_")
            else:
                self.at += 1

    def _nested(self) -> tuple[str, str, bool]:
        qualifiers = self._qualifiers()
        qualifiers += " &" if self._take("R") else " &&" if self._take("O") else ""
        text, is_template, is_made = "", False, False
        while not self._take("E"):
            self._step()
            if self._peek("S") and not self._peek("St"):
                text, is_template = self._substitution().text, False
                continue
            if self._take("St"):
                text = "std"
                continue
            if self._peek("T"):
                text, is_template = self._parameter().text, False
            elif self._peek("I"):
                text, is_template = text + self._template(), not is_made
            else:
                is_made = self.symbol[self.at] in "CD" and not self._peek("Dt")
                is_conversion = self._peek("cv")
                part = self._unqualified(text)
                text, is_template = f"{text}::{part}" if text else part, False
                if is_conversion:
                    raise _NotUnderstoodError
            if not self._peek("E"):
                self._keep(_Type(text))
        return text, qualifiers, is_template

    def _unqualified(self, outer: str) -> str:
        char, self.last = self.symbol[self.at], ""
        if char.isdigit():
            text = self._source_name()
        elif char == "L":
            self.at += 1
            text = self._source_name()
        elif char in "CD" and self.symbol[self.at + 1].isdigit():
            text = ("~" if char == "D" else "") + _last_name(outer)
            self.at += 2
        elif self._take("Ul"):
            inside = self._parameters(end="E")
            text = f"{{lambda({inside})#{self._count()}}}"
        elif self._take("Ut"):
            text = f"{{unnamed type#{self._count()}}}"
        else:
            text = self._operator()
        while self._take("B"):
            text += f"[abi:{self._source_name()}]"
        return text

    def _operator(self) -> str:
        code = self.symbol[self.at : self.at + 2]
        if code not in OPERATORS:
            raise _NotUnderstoodError
        self.at += 2
        self.last = OPERATORS[code][-1]
        return f"operator{OPERATORS[code]}"

    def _source_name(self) -> str:
        size = self._number()
        text = self.symbol[self.at : self.at + size]
        if not size or len(text) < size:
            raise _NotUnderstoodError
        self.at += size
        return "(anonymous namespace)" if text.startswith("_GLOBAL__N") else text

    def _template(self) -> str:
        """Read template arguments; the last ones of a name are those that its parameters refer to."""
        self._expect("I")
        last, self.last = self.last, ""
        self.depth += 1
        found: list[_Argument] = []
        while not self._take("E"):
            found.append(self._argument())
        self.depth -= 1
        if not self.depth and self.is_naming:
            self.arguments = found
        text = ", ".join(one.text for argument in found for one in _each(argument))
        before = " " if last == "<" else ""
        return f"{before}<{text}{' ' if text.endswith('>') else ''}>"

    def _argument(self) -> _Argument:
        self._step()
        if self._take("L"):
            return _Type(self._literal())
        if self._take("J"):
            found: list[_Type] = []
            while not self._take("E"):
                found += _each(self._argument())
            return tuple(found)
        if self._peek("X"):
            raise _NotUnderstoodError
        return self.type()

    def _literal(self) -> str:
        if self._take("_Z"):
            text = self.encoding()
            self._expect("E")
            return text
        code = self.symbol[self.at]
        kind = self.type().text
        minus = "-" if self._take("n") else ""
        end = self.symbol.index("E", self.at)
        digits, self.at = self.symbol[self.at : end], end + 1
        if not digits.isdigit():
            raise _NotUnderstoodError
        if code == "b":
            return {"0": "false", "1": "true"}[digits]
        return f"{minus}{digits}{LITERALS[code]}" if code in LITERALS else f"({kind}){minus}{digits}"

    def type(self) -> _Type:
        """Read one type."""
        self._step()
        char = self.symbol[self.at]
        if char in BUILTINS:
            self.at += 1
            return _Type(BUILTINS[char])
        if char == "D":
            return self._of_d()
        if char == "S" and not self._peek("St"):
            return self._substituted()
        return self._keep(self._compound(char))

    def _substituted(self) -> _Type:
        found = self._substitution()
        if not self._peek("I"):
            return found
        return self._keep(_Type(found.text + self._template()))

    def _compound(self, char: str) -> _Type:
        marks = {"P": "*", "R": "&", "O": "&&"}
        if char in marks:
            self.at += 1
            return self.type().pointed(marks[char])
        readers: dict[str, Callable[[], _Type]] = {"F": self._function, "A": self._array, "M": self._member}
        if char in readers:
            self.at += 1
            return readers[char]()
        if char in "rVK":
            words = self._qualifiers()
            return self.type().qualified(words)
        if char == "T":
            found = self._parameter()
            if self._peek("I"):
                self._keep(found)
                return _Type(found.text + self._template())
            return found
        if char.isdigit() or char in "NZS":
            return _Type(self.name()[0])
        raise _NotUnderstoodError

    def _of_d(self) -> _Type:
        code = self.symbol[self.at : self.at + 2]
        if code in BUILTINS_OF_D:
            self.at += 2
            return _Type(BUILTINS_OF_D[code])
        raise _NotUnderstoodError

    def _function(self) -> _Type:
        self._take("Y")
        result = self.type()
        if result.right:
            raise _NotUnderstoodError
        return _Type(result.left, f"({self._parameters(end='E')})", "function")

    def _array(self) -> _Type:
        size = str(self._number()) if self.symbol[self.at].isdigit() else ""
        self._expect("_")
        of = self.type()
        return _Type(of.left, f"[{size}]{of.right}", "array")

    def _member(self) -> _Type:
        outer, member = self.type().text, self.type()
        if member.kind == "function":
            return _Type(f"{member.left} ({outer}::*", f"){member.right}")
        return _Type(f"{member.left} {outer}::*", member.right)

    def _parameters(self, end: str = "") -> str:
        found: list[str] = []
        while self.at < len(self.symbol) and self.symbol[self.at] not in "E.":
            found += self._expansion() if self._take("Dp") else [self.type().text]
        if end:
            self._expect(end)
        return "" if found == ["void"] else ", ".join(found)

    def _expansion(self) -> Sequence[str]:
        """Read a pattern once for each member of the pack in it."""
        if self.pack is not None:
            raise _NotUnderstoodError
        start, before, found = self.at, len(self.known), list[str]()
        self.pack, self.pack_size = 0, None
        try:
            found.append(self.type().text)
            if self.pack_size is None:
                raise _NotUnderstoodError
            size, stop = self.pack_size, self.at
            for self.pack in range(1, size):
                self.at = start
                del self.known[before:]
                found.append(self.type().text)
            self.at = stop
        finally:
            self.pack = None
        self._keep(_PACK)
        return found[:size]

    def _parameter(self) -> _Type:
        self._expect("T")
        number = self._sequence(36)
        if number >= len(self.arguments):
            raise _NotUnderstoodError
        found = self.arguments[number]
        if isinstance(found, _Type):
            return found
        if self.pack is None:
            raise _NotUnderstoodError
        self.pack_size = len(found)
        return found[self.pack] if self.pack < len(found) else _Type("")

    def _substitution(self) -> _Type:
        self._expect("S")
        char = self.symbol[self.at]
        if char in STANDARD:
            self.at += 1
            short, whole = STANDARD[char]
            is_made = self.symbol[self.at : self.at + 2] in {"C1", "C2", "D0", "D1", "D2"}
            return _Type(whole if is_made else short)
        number = self._sequence(36)
        if number >= len(self.known):
            raise _NotUnderstoodError
        if self.known[number] is _PACK:
            raise _NotUnderstoodError
        return self.known[number]

    def _qualifiers(self) -> str:
        words = ""
        for char, word in (("r", " restrict"), ("V", " volatile"), ("K", " const")):
            words = words if not self._take(char) else word + words
        return words

    def _sequence(self, base: int) -> int:
        """Read ``_``, ``0_``, ``1_`` … as 0, 1, 2 …"""
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

    def _keep(self, found: _Type) -> _Type:
        if len(found.text) > _MAX_TEXT:
            raise _NotUnderstoodError
        self.known.append(found)
        return found

    def _step(self) -> None:
        self.steps += 1
        if self.steps > _MAX_STEPS or self.depth > _MAX_DEPTH:
            raise _NotUnderstoodError

    def _peek(self, text: str) -> bool:
        return self.symbol.startswith(text, self.at)

    def _take(self, text: str) -> bool:
        if self._peek(text):
            self.at += len(text)
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise _NotUnderstoodError


def _each(argument: _Argument) -> tuple[_Type, ...]:
    return (argument,) if isinstance(argument, _Type) else argument


def _last_name(text: str) -> str:
    """Return ``Tensor`` of ``at::Tensor<a::b>``: the name that its constructors bear."""
    depth, end = 0, len(text)
    for place in range(len(text) - 1, -1, -1):
        char = text[place]
        depth += (char in ">)}") - (char in "<({")
        if char == "<" and not depth:
            end = place
        elif char == ":" and not depth:
            return text[place + 1 : end]
    return text[:end]
