"""Types and template arguments of mangled names."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from pytest_trtcheck.binaries.demangle_cursor import PACK, Argument, Cursor, NotUnderstoodError, Pack, Type, each
from pytest_trtcheck.binaries.demangle_words import BUILTINS, BUILTINS_OF_D, LITERALS, STANDARD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class TypeReader(Cursor):
    """Reads types; names in them are for who reads names."""

    @abstractmethod
    def name(self) -> tuple[str, str, bool]:
        """Read a name; return it, the qualifiers of a member function, and whether it ends in template arguments."""

    @abstractmethod
    def encoding(self, *, is_outer: bool = False) -> str:
        """Read a function with its parameters, or a variable."""

    def _template(self) -> str:
        """Read template arguments; the last ones of a name are those that its parameters refer to."""
        self._expect("I")
        last, self.last = self.last, ""
        self.depth += 1
        found: list[Argument] = []
        while not self._take("E"):
            found.append(self._argument())
        self.depth -= 1
        if not self.depth and self.is_naming:
            self.arguments = found
        text = ", ".join(one.text for argument in found for one in each(argument))
        before = " " if last == "<" else ""
        return f"{before}<{text}{' ' if text.endswith('>') else ''}>"

    def _argument(self) -> Argument:
        self._step()
        if self._take("L"):
            return Type(self._literal())
        if self._take("J"):
            found: list[Type] = []
            while not self._take("E"):
                found += each(self._argument())
            return tuple(found)
        if self._peek("X"):
            raise NotUnderstoodError
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
            raise NotUnderstoodError
        if code == "b":
            return {"0": "false", "1": "true"}[digits]
        return f"{minus}{digits}{LITERALS[code]}" if code in LITERALS else f"({kind}){minus}{digits}"

    def type(self) -> Type:
        """Read one type."""
        self._step()
        char = self.symbol[self.at]
        if char in BUILTINS:
            self.at += 1
            return Type(BUILTINS[char])
        if char == "D":
            return self._of_d()
        if char == "S" and not self._peek("St"):
            return self._substituted()
        return self._keep(self._compound(char))

    def _substituted(self) -> Type:
        found = self._substitution()
        if not self._peek("I"):
            return found
        return self._keep(Type(found.text + self._template()))

    def _compound(self, char: str) -> Type:
        marks = {"P": "*", "R": "&", "O": "&&"}
        if char in marks:
            self.at += 1
            return self.type().pointed(marks[char])
        readers: dict[str, Callable[[], Type]] = {"F": self._function, "A": self._array, "M": self._member}
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
                return Type(found.text + self._template())
            return found
        if char.isdigit() or char in "NZS":
            return Type(self.name()[0])
        raise NotUnderstoodError

    def _of_d(self) -> Type:
        code = self.symbol[self.at : self.at + 2]
        if code in BUILTINS_OF_D:
            self.at += 2
            return Type(BUILTINS_OF_D[code])
        raise NotUnderstoodError

    def _function(self) -> Type:
        self._take("Y")
        result = self.type()
        if result.right:
            raise NotUnderstoodError
        return Type(result.left, f"({self._parameters(end='E')})", "function")

    def _array(self) -> Type:
        size = str(self._number()) if self.symbol[self.at].isdigit() else ""
        self._expect("_")
        of = self.type()
        return Type(of.left, f"[{size}]{of.right}", "array")

    def _member(self) -> Type:
        outer, member = self.type().text, self.type()
        if member.kind == "function":
            return Type(f"{member.left} ({outer}::*", f"){member.right}")
        return Type(f"{member.left} {outer}::*", member.right)

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
            raise NotUnderstoodError
        start, before, found = self.at, len(self.known), list[str]()
        pack = self.pack = Pack()
        found.append(self.type().text)
        if pack.size < 0:
            raise NotUnderstoodError
        stop = self.at
        for member in range(1, pack.size):
            self.at, pack.at = start, member
            del self.known[before:]
            found.append(self.type().text)
        self.at, self.pack = stop, None
        self._keep(PACK)
        return found[: pack.size]

    def _parameter(self) -> Type:
        self._expect("T")
        number = self._sequence(36)
        if number >= len(self.arguments):
            raise NotUnderstoodError
        found = self.arguments[number]
        if isinstance(found, Type):
            return found
        if self.pack is None:
            raise NotUnderstoodError
        self.pack.size = len(found)
        return found[self.pack.at] if self.pack.at < len(found) else Type("")

    def _substitution(self) -> Type:
        self._expect("S")
        char = self.symbol[self.at]
        if char in STANDARD:
            self.at += 1
            short, whole = STANDARD[char]
            is_made = self.symbol[self.at : self.at + 2] in {"C1", "C2", "D0", "D1", "D2"}
            return Type(whole if is_made else short)
        number = self._sequence(36)
        if number >= len(self.known):
            raise NotUnderstoodError
        if self.known[number] is PACK:
            raise NotUnderstoodError
        return self.known[number]
