"""From a mapping in the stack vocabulary to a Stack, held to the kind of every key."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from pytest_trtcheck.described.errors import DescribedError
from pytest_trtcheck.described.vocabulary import EXTRA, UNSPECIFIED, VOCABULARY, Entry, Kind
from pytest_trtcheck.model.facts import Fact, Stack, State
from pytest_trtcheck.model.versions import Capability, ContainerTag, DottedVersion, PackageVersion, Version

MAX_VALUE_CHARACTERS = 2000
MAX_VALUES = 1000
HOW = "described"

BOUND: Mapping[str, Any] = {"bound": True}
"""Details of a fact that is a bound such as ``<526``, not a version."""
FREE_TEXT: Mapping[str, Any] = {"free_text": True}
"""Details of a fact whose text is not of its kind, such as ``nightly`` for a version."""
_PLAIN: Mapping[str, Any] = {}

_BOUND = re.compile(r"(?:[<>]=?|[=!~]=)\s*\S")
_WORDS_ON = frozenset({"true", "on", "yes", "enabled"})
_WORDS_OFF = frozenset({"false", "off", "no", "disabled"})
_SEPARATORS = re.compile(r"[\s,;]+")
_VERSIONS: Mapping[Kind, type[Version]] = {
    Kind.DOTTED: DottedVersion,
    Kind.PACKAGE: PackageVersion,
    Kind.CAPABILITY: Capability,
    Kind.TAG: ContainerTag,
}


def describe(
    mapping: Mapping[str, Any],
    name: str,
    where: str,
    *,
    lines: Mapping[str, str] | None = None,
    how: str = HOW,
) -> Stack:
    """Return the stack that a mapping describes, every fact FOUND; DescribedError for the first key that cannot be.

    ``where`` is the file and the document in it; ``lines`` says for single keys where exactly they were read.
    A bound is kept as text with ``details["bound"]``, a list with all its values in ``details["all"]``.
    """
    lines = lines or {}
    facts: dict[str, Fact] = {}
    for key, value in mapping.items():
        entry = VOCABULARY.get(key) if isinstance(key, str) else None
        place = lines.get(key, where)
        if entry is None:
            facts[EXTRA] = _extra(key, value, place)
            continue
        text, details = _VALUES[entry.kind](entry, value, place)
        facts[key] = Fact(key, State.FOUND, None if text == UNSPECIFIED else text, place, how, details=details)
    return Stack("described", name, facts)


def _extra(key: object, value: object, where: str) -> Fact:
    """Return the fact that keeps what is under ``extra``; any other key here is unknown."""
    if key != EXTRA:
        raise DescribedError(where, "keys of the stack vocabulary", unknown_key(key))
    if not isinstance(value, Mapping):
        raise DescribedError(where, "a mapping under extra", shown(value))
    return Fact(EXTRA, State.FOUND, None, where, HOW, details=value)


def unknown_key(key: object) -> str:
    """Return an unknown key in words, with the known one it is nearest to."""
    near = get_close_matches(str(key).lower().replace("-", "_"), VOCABULARY, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{shown(key)}; {hint}what the vocabulary does not have goes under extra"


def shown(value: object) -> str:
    """Return a value of a document on one short line, safe to print."""
    if isinstance(value, Mapping):
        return f"a mapping of {len(value)}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _scalar(entry: Entry, value: object, where: str, expected: str = "") -> str:
    """Return the text of one value; numbers only where no digit of them can have been lost."""
    if isinstance(value, str):
        text = value.strip()
        if text and len(text) <= MAX_VALUE_CHARACTERS and text.isprintable():
            return text
    elif isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    elif isinstance(value, float):
        raise DescribedError(where, f"{entry.key} as a text such as '12.10'", f"the number {value}: put it in quotes")
    hint = f"; write {UNSPECIFIED} for what is there in an unknown version" if value is None or value == "" else ""
    expected = expected or f"a {entry.kind.value} such as {entry.example}"
    raise DescribedError(
        where, f"{entry.key} to be {expected}", f"{'nothing' if value is None else shown(value)}{hint}"
    )


def _typed(entry: Entry, value: object, where: str) -> tuple[str, Mapping[str, Any]]:
    """Return a version, capability or tag. What is not of the kind is kept, marked: ``nightly`` is an answer too."""
    if entry.many and isinstance(value, (list, tuple)):
        return _several(entry, value, where)
    text = _scalar(entry, value, where)
    if text.lower() in _WORDS_ON | _WORDS_OFF:
        raise DescribedError(where, f"{entry.key} to be a {entry.kind.value} such as {entry.example}", shown(text))
    return text, _typed_details(entry.kind, text)


@lru_cache(maxsize=10_000)
def _typed_details(kind: Kind, text: str) -> Mapping[str, Any]:
    if text == UNSPECIFIED:
        return _PLAIN
    if kind.is_version and _BOUND.match(text):
        return BOUND
    # An image name stands for its tag.
    candidate = text.rpartition(":")[2] if kind is Kind.TAG else text
    return _PLAIN if _VERSIONS[kind].try_parse(candidate) or DottedVersion.leading(candidate) else FREE_TEXT


def _several(entry: Entry, values: list[Any] | tuple[Any, ...], where: str) -> tuple[str, Mapping[str, Any]]:
    """Return the first of several values, with all of them in the details."""
    if not 1 <= len(values) <= MAX_VALUES:
        raise DescribedError(where, f"{entry.key} to have 1 to {MAX_VALUES} values", shown(values))
    texts = [_scalar(entry, value, where) for value in values]
    return texts[0], {"all": texts}


def _number(entry: Entry, value: object, where: str) -> tuple[str, Mapping[str, Any]]:
    text = _scalar(entry, value, where)
    if text != UNSPECIFIED and not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise DescribedError(where, f"{entry.key} to be a whole number such as {entry.example}", shown(value))
    return text, _PLAIN


def _flag(entry: Entry, value: object, where: str) -> tuple[str, Mapping[str, Any]]:
    assert entry.words
    word = str(value).strip().lower() if isinstance(value, (str, bool)) else ""
    if word in _WORDS_ON or word in _WORDS_OFF:
        return entry.words[word in _WORDS_OFF], _PLAIN
    if word == UNSPECIFIED:
        return word, _PLAIN
    raise DescribedError(where, f"{entry.key} to be {' or '.join(entry.words)}", shown(value))


def _text(entry: Entry, value: object, where: str) -> tuple[str, Mapping[str, Any]]:
    if entry.many and isinstance(value, (list, tuple)):
        return _several(entry, value, where)
    if entry.words and str(value).strip().lower() in _WORDS_ON | _WORDS_OFF:
        return _flag(entry, value, where)
    return _scalar(entry, value, where), _PLAIN


def _list(entry: Entry, value: object, where: str) -> tuple[str, Mapping[str, Any]]:
    """Return a list joined by blanks; a text is split at blanks, commas and semicolons, a mapping is name==version."""
    if isinstance(value, Mapping):
        value = [f"{_scalar(entry, name, where)}=={_scalar(entry, item, where)}" for name, item in value.items()]
    elif not isinstance(value, (list, tuple)):
        text = _scalar(entry, value, where, f"a list such as {entry.example}")
        if text == UNSPECIFIED:
            return text, _PLAIN
        value = [part for part in _SEPARATORS.split(text) if part]
    _, details = _several(entry, value, where)
    return " ".join(details["all"]), details


_VALUES: Mapping[Kind, Callable[[Entry, Any, str], tuple[str, Mapping[str, Any]]]] = {
    Kind.DOTTED: _typed,
    Kind.PACKAGE: _typed,
    Kind.CAPABILITY: _typed,
    Kind.TAG: _typed,
    Kind.GPU: _text,
    Kind.FLAG: _flag,
    Kind.INT: _number,
    Kind.LIST: _list,
    Kind.TEXT: _text,
}
