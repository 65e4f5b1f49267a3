"""Which characters may come next under a regular expression or a JSON schema: guided decoding, token by token.

A token of the probe model is a character, so an expression is walked by its derivatives: what is left of it after a
character. Python's own ``re`` cannot tell whether a text is the beginning of a match.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

ALPHABET = frozenset(map(chr, range(32, 127)))
"""What an answer can be made of; ``.`` and negated classes mean these."""

_CLASSES = {
    "d": frozenset("0123456789"),
    "w": frozenset(c for c in ALPHABET if c.isalnum() or c == "_"),
    "s": frozenset(" "),
}
_MOST_REPEATS = 256


class GuideError(ValueError):
    """An expression or a schema beyond what is understood here; the words say what."""


@dataclass(frozen=True)
class Node:
    """What is left to match."""

    kind: str
    """``nothing`` (no text), ``end`` (the empty text), ``chars``, ``seq``, ``alt`` or ``star``."""
    chars: frozenset[str] = frozenset()
    parts: tuple[Node, ...] = ()


_NOTHING = Node("nothing")
_END = Node("end")


def _seq(first: Node, second: Node) -> Node:
    if _NOTHING in (first, second):
        return _NOTHING
    if first == _END:
        return second
    return first if second == _END else Node("seq", parts=(first, second))


def _alt(first: Node, second: Node) -> Node:
    if first in (_NOTHING, second):
        return second
    return first if second == _NOTHING else Node("alt", parts=(first, second))


def _star(part: Node) -> Node:
    return _END if part in (_NOTHING, _END) else Node("star", parts=(part,))


@cache
def _may_end(node: Node) -> bool:
    if node.kind == "seq":
        return all(map(_may_end, node.parts))
    if node.kind == "alt":
        return any(map(_may_end, node.parts))
    return node.kind in {"end", "star"}


@cache
def _after(node: Node, char: str) -> Node:
    """Return what is left of an expression after a character."""
    if node.kind == "chars":
        return _END if char in node.chars else _NOTHING
    if node.kind == "alt":
        return _alt(*(_after(part, char) for part in node.parts))
    if node.kind == "star":
        return _seq(_after(node.parts[0], char), node)
    if node.kind == "seq":
        first, second = node.parts
        left = _seq(_after(first, char), second)
        return _alt(left, _after(second, char)) if _may_end(first) else left
    return _NOTHING


class Guide:
    """A regular expression that an answer has to match as a whole.

    Literals, escapes, ``.``, classes, groups, ``|``, ``*``, ``+``, ``?`` and counted repeats; GuideError for the rest.
    """

    def __init__(self, pattern: str) -> None:
        self._whole = _Parser(pattern).parse()

    def allowed(self, text: str) -> tuple[frozenset[str], bool]:
        """Return the characters that may follow a text, and whether the text may end there."""
        left = self._whole
        for char in text:
            left = _after(left, char)
        return frozenset(char for char in ALPHABET if _after(left, char) != _NOTHING), _may_end(left)


class _Parser:
    """Recursive descent over the pattern."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def parse(self) -> Node:
        """Return the whole pattern."""
        node = self._choice()
        if self.at < len(self.pattern):
            raise self._error("an end")
        return node

    def _error(self, expected: str) -> GuideError:
        found = self.pattern[self.at : self.at + 1] or "the end"
        return GuideError(f"regular expression {self.pattern!r:.80} at {self.at}: expected {expected}, found {found}")

    def _peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def _take(self, expected: str = "") -> str:
        char = self._peek()
        if not char or (expected and char != expected):
            raise self._error(expected or "a character")
        self.at += 1
        return char

    def _choice(self) -> Node:
        node = self._row()
        while self._peek() == "|":
            self.at += 1
            node = _alt(node, self._row())
        return node

    def _row(self) -> Node:
        parts = []
        while self._peek() not in {"", "|", ")"}:
            parts.append(self._repeated())
        node = _END
        for part in reversed(parts):
            node = _seq(part, node)
        return node

    def _repeated(self) -> Node:
        node = self._atom()
        while self._peek() and self._peek() in "*+?{":
            least, most = self._count()
            rest = _star(node) if most is None else _END
            for _ in range((most or least) - least):
                rest = _alt(_END, _seq(node, rest))
            for _ in range(least):
                rest = _seq(node, rest)
            node = rest
        return node

    def _count(self) -> tuple[int, int | None]:
        char = self._take()
        if char != "{":
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        found = re.compile(r"(\d{1,3})(,(\d{0,3}))?\}").match(self.pattern, self.at)
        if not found:
            raise self._error("a count such as {2} or {1,3}")
        self.at = found.end()
        least = int(found[1])
        most = least if found[2] is None else int(found[3]) if found[3] else None
        if max(least, most or 0) > _MOST_REPEATS or (most is not None and most < least):
            raise self._error(f"a count up to {_MOST_REPEATS}, the smaller first")
        return least, most

    def _atom(self) -> Node:
        char = self._take()
        if char == "(":
            if self.pattern.startswith("?:", self.at):
                self.at += 2
            node = self._choice()
            self._take(")")
            return node
        if char == "[":
            return Node("chars", self._class())
        if char == "\\":
            return Node("chars", self._escaped())
        if char == ".":
            return Node("chars", ALPHABET)
        if char in "*+?{^$":
            self.at -= 1
            raise self._error("something to match")
        return Node("chars", frozenset(char))

    def _escaped(self) -> frozenset[str]:
        char = self._take()
        if char in _CLASSES:
            return _CLASSES[char]
        if char.isalnum():
            self.at -= 1
            raise self._error("one of \\d, \\w, \\s or an escaped mark")
        return frozenset(char)

    def _class(self) -> frozenset[str]:
        negated = self._peek() == "^"
        self.at += negated
        chars: set[str] = set()
        while self._peek() != "]" or not chars:
            first = self._take()
            found = self._escaped() if first == "\\" else frozenset(first)
            if self._peek() == "-" and self.pattern[self.at + 1 : self.at + 2] not in {"]", ""} and len(found) == 1:
                self.at += 1
                found = frozenset(map(chr, range(ord(next(iter(found))), ord(self._take()) + 1)))
            chars |= found
        self._take("]")
        return ALPHABET - chars if negated else frozenset(chars)


def pattern_of_schema(schema: str) -> str:
    """Return the regular expression for the JSON texts of a schema, without white space, properties in their order.

    ``enum``, ``const``, and the types boolean, integer, string, array and object with all properties required;
    GuideError for the rest.
    """
    try:
        return _pattern(json.loads(schema))
    except json.JSONDecodeError as error:
        raise GuideError(f"JSON schema: expected JSON, found {error.msg!r} at {error.pos}") from None


def _pattern(schema: Any) -> str:
    if not isinstance(schema, dict):
        raise GuideError(f"JSON schema: expected an object, found {type(schema).__name__}")
    if "enum" in schema or "const" in schema:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        return f"({'|'.join(re.escape(json.dumps(value)) for value in values)})"
    kind = schema.get("type")
    if kind == "object":
        pairs = [f"{re.escape(json.dumps(key))}:{_pattern(part)}" for key, part in schema.get("properties", {}).items()]
        return rf"\{{{','.join(pairs)}\}}"
    if kind == "array":
        item, least = _pattern(schema.get("items")), int(schema.get("minItems", 0))
        most = int(schema.get("maxItems", _MOST_REPEATS))
        if most == 0:
            return r"\[\]"
        some = f"{item}(,{item}){{{max(least - 1, 0)},{most - 1}}}"
        return rf"\[{some}\]" if least else rf"\[({some})?\]"
    simple = {
        "boolean": "(true|false)",
        "integer": "(0|-?[1-9][0-9]{0,15})",
        "string": f'"[a-zA-Z0-9 ]{{{int(schema.get("minLength", 0))},{int(schema.get("maxLength", 32))}}}"',
    }
    if kind not in simple:
        raise GuideError(f"JSON schema: expected a type among {', '.join(simple)}, array, object; found {kind!r:.40}")
    return simple[kind]
