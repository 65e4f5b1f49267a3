"""C++ names as people write them, from the names that the linker sees, without loading a C++ library.

Source: Itanium C++ ABI, section 5.1 (mangling); the spelling is that of binutils' c++filt. What is rare in exported
names (expressions, decltype) is not understood, and such a name stays as it is.
"""

from __future__ import annotations

from functools import lru_cache

from pytest_trtcheck.binaries.demangle_cursor import NotUnderstoodError, Type
from pytest_trtcheck.binaries.demangle_types import TypeReader
from pytest_trtcheck.binaries.demangle_words import OPERATORS

MAX_LENGTH = 4096


@lru_cache(maxsize=20_000)
def demangle(symbol: str) -> str:
    """Return ``at::Tensor::size(long) const`` for the symbol that stands for it; any other symbol as it is."""
    if not symbol.startswith("_Z") or len(symbol) > MAX_LENGTH:
        return symbol
    reader = _Reader(symbol, 2)
    try:
        text = reader.encoding(is_outer=True)
    except (NotUnderstoodError, IndexError, ValueError, RecursionError):
        return symbol
    return text if reader.at == len(symbol) else symbol


class _Reader(TypeReader):
    """Reads one symbol from left to right."""

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
        result = Type("")
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
                self._keep(Type(text))
            return text + self._template(), "", True
        return text, "", False

    def _local(self) -> tuple[str, str, bool]:
        outer = self.encoding()
        self._expect("E")
        if self._take("s"):
            self._discriminator()
            return f"{outer}::string literal", "", False
        if self._peek("d"):
            raise NotUnderstoodError
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
                    raise NotUnderstoodError
            if not self._peek("E"):
                self._keep(Type(text))
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
            raise NotUnderstoodError
        self.at += 2
        self.last = OPERATORS[code][-1]
        return f"operator{OPERATORS[code]}"

    def _source_name(self) -> str:
        size = self._number()
        text = self.symbol[self.at : self.at + size]
        if not size or len(text) < size:
            raise NotUnderstoodError
        self.at += size
        return "(anonymous namespace)" if text.startswith("_GLOBAL__N") else text


def _last_name(text: str) -> str:
    """Return ``Tensor`` of ``at::Tensor<a::b>``: the name that its constructors bear."""
    text = text.partition("[abi:")[0] if text.endswith("]") and text.count("[abi:") == 1 else text
    depth, end = 0, len(text)
    for place in range(len(text) - 1, -1, -1):
        char = text[place]
        depth += (char in ">)}") - (char in "<({")
        if char == "<" and not depth:
            end = place
        elif char == ":" and not depth:
            return text[place + 1 : end]
    return text[:end]
