"""Dataclasses of the model to JSON values and back, by their type hints alone.

What leaves the process is valid Unicode and finite numbers, so that any JSON reader and execnet accept it.
What comes in is held to the hints: unknown keys, wrong types and oversized values are refused with their path
in the document.

A field that is added to the model later needs a default: documents written before it are then still read.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NoReturn, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pytest_trtcheck.errors import ReportError

T = TypeVar("T")

MAX_TEXT_CHARACTERS = 65_536
MAX_ITEMS = 100_000
MAX_DEPTH = 20
"""Of values whose type is Any; all other nesting is bounded by the types."""

_MAX_SHOWN = 60
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}")
_WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a finite number"}


class _MisfitError(ReportError):
    """A value that does not fit; its path in the document grows as the refusal travels up."""

    def __init__(self, words: str, path: str = "") -> None:
        super().__init__(f"report {path or '(top level)'}: {words}")
        self.words = words
        self.path = path

    @classmethod
    def of(cls, expected: str, found: object) -> _MisfitError:
        return cls(f"expected {expected}, found {show(found)}")

    def below(self, key: object) -> _MisfitError:
        if isinstance(key, int):
            head = f"[{key}]"
        else:
            head = key if isinstance(key, str) and _PLAIN_KEY.fullmatch(key) else f"[{show(key)}]"
        return self.prefixed(head)

    def prefixed(self, head: str) -> _MisfitError:
        dot = "." if head and self.path and not self.path.startswith("[") else ""
        return _MisfitError(self.words, f"{head}{dot}{self.path}")


def valid_unicode(text: str) -> str:
    """Return the text with U+FFFD for each lone surrogate, as non-UTF-8 file names have them."""
    return text if text.isascii() else _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def encode(value: Any, *, text: Callable[[str], str] = valid_unicode) -> Any:
    """Return the JSON value of a dataclass of the model; every string goes through ``text``.

    Fields keep the order of the dataclass and mappings are sorted by key: equal values give equal documents.
    Tuples become lists. Raises ReportError for text that is too long, for NaN and infinity, and for what JSON
    has no word for.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return _bounded(text(value))
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, (tuple, list)):
        return [_encode_part(item, index, text) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {text(key): _encode_part(value[key], key, text) for key in sorted(value)}
    if dataclasses.is_dataclass(value):
        cls: type = type(value)
        return {name: _encode_part(getattr(value, name), name, text) for name in _field_names(cls)}
    raise _MisfitError.of("a JSON value", value)


def decode(cls: type[T], value: Any, pointer: str = "") -> T:
    """Return the object that a JSON value describes; raise ReportError naming the path that does not fit."""
    try:
        return cast("T", _decoder(cast("Any", cls))(value))
    except _MisfitError as refusal:
        raise refusal.prefixed(pointer) from None


def show(value: object) -> str:
    """Return a value of a document on one short line, safe to print."""
    if isinstance(value, Mapping):
        return f"an object of {len(value)}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        rest = len(value) - _MAX_SHOWN
        return f"{value[:_MAX_SHOWN]!r} and {rest} more characters" if rest > 0 else repr(value)
    shown = repr(value)
    return {"None": "null", "True": "true", "False": "false"}.get(shown, shown[:_MAX_SHOWN])


@cache
def _field_names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _encode_part(value: Any, key: object, text: Callable[[str], str]) -> Any:
    try:
        return encode(value, text=text)
    except _MisfitError as refusal:
        raise refusal.below(key) from None


@cache
def _decoder(hint: Any) -> Callable[[Any], Any]:
    """Return the function that reads a value of a type hint; made once for each hint, because reports are many."""
    origin = get_origin(hint)
    if hint is Any:
        return lambda value: _any(value, MAX_DEPTH)
    if origin in (Union, UnionType):
        # The model knows one kind of union: a type or None.
        (inner,) = (_decoder(arg) for arg in get_args(hint) if arg is not NoneType)
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        return _list_decoder(_decoder(get_args(hint)[0]))
    if origin is Mapping:
        value_decoder = _decoder(get_args(hint)[1])
        return lambda value: {key: _decode_part(value_decoder, item, key) for key, item in _object(value).items()}
    if dataclasses.is_dataclass(hint):
        return _dataclass_decoder(cast("type", hint))
    if issubclass(hint, Enum):
        members = {member.value: member for member in hint}
        return lambda value: members[value] if type(value) is str and value in members else _no_member(hint, value)
    return {str: _text, float: _number}.get(hint) or (
        lambda value: value if type(value) is hint else _scalar(hint, value)
    )


def _list_decoder(decoder: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        items = _list(value)
        try:
            return tuple(map(decoder, items))
        except _MisfitError:
            # Once more, to tell where: most lists fit, and to count along costs as much as to read them.
            return tuple([_decode_part(decoder, item, index) for index, item in enumerate(items)])

    return read


def _decode_part(decoder: Callable[[Any], Any], value: Any, key: object) -> Any:
    try:
        return decoder(value)
    except _MisfitError as refusal:
        raise refusal.below(key) from None


def _dataclass_decoder(cls: type) -> Callable[[Any], Any]:
    decoders = {name: _decoder(hint) for name, hint in _hints(cls).items()}
    required = {field.name for field in dataclasses.fields(cls) if is_required(field)}

    def read(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _MisfitError.of("an object", value)
        if not (value.keys() <= decoders.keys() and value.keys() >= required):
            raise _wrong_keys(cls, value)
        arguments, key = {}, ""
        try:
            for key, item in value.items():
                arguments[key] = decoders[key](item)
        except _MisfitError as refusal:
            raise refusal.below(key) from None
        try:
            return cls(**arguments)
        except ValueError as error:
            # An invariant of the model, in the words of its __post_init__.
            raise _MisfitError(f"expected values that agree, found {show(str(error))}") from error

    return read


def _wrong_keys(cls: type, document: Mapping[str, Any]) -> _MisfitError:
    """Return the refusal of an object that has a key too many or too few."""
    names = _field_names(cls)
    for key in _object(document):
        if key not in names:
            return _MisfitError(f"expected one of the keys {', '.join(names)}, found another").below(key)
    missing = next(field.name for field in dataclasses.fields(cls) if is_required(field) and field.name not in document)
    return _MisfitError("expected a value, found no such key").below(missing)


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Tell whether a document has to have this field."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _no_member(cls: type[Enum], value: Any) -> NoReturn:
    raise _MisfitError.of(f"one of {', '.join(str(member.value) for member in cls)}", value)


def _text(value: Any) -> str:
    if type(value) is str and len(value) <= MAX_TEXT_CHARACTERS:
        return value
    text: str = _scalar(str, value)
    return text


def _number(value: Any) -> float:
    # Finite: infinity less infinity is no number.
    if type(value) is float and value - value == 0:
        return value
    number: float = _scalar(float, value)
    return number


def _scalar(hint: type, value: Any) -> Any:
    if hint is str and isinstance(value, str):
        return _bounded(value)
    # bool is an int to Python and none to JSON.
    is_bool = isinstance(value, bool)
    if hint is float and isinstance(value, (int, float)) and not is_bool:
        return _finite(value)
    if isinstance(value, hint) and is_bool == (hint is bool):
        return value
    raise _MisfitError.of(_WORDS[hint], value)


def _any(value: Any, depth: int) -> Any:
    if depth == 0:
        raise _MisfitError(f"expected at most {MAX_DEPTH} levels of nesting, found more")
    if isinstance(value, Mapping):
        return {key: _any_part(item, key, depth - 1) for key, item in _object(value).items()}
    if isinstance(value, list):
        return [_any_part(item, index, depth - 1) for index, item in enumerate(_list(value))]
    if value is None:
        return None
    hint = next((hint for hint in (bool, str, int, float) if isinstance(value, hint)), str)
    return _scalar(hint, value)


def _any_part(value: Any, key: object, depth: int) -> Any:
    try:
        return _any(value, depth)
    except _MisfitError as refusal:
        raise refusal.below(key) from None


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _MisfitError.of("an object", value)
    _count(value)
    for key in value:
        _scalar(str, key)
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _MisfitError.of("a list", value)
    _count(value)
    return value


def _count(value: Mapping[str, Any] | list[Any]) -> None:
    if len(value) > MAX_ITEMS:
        raise _MisfitError.of(f"at most {MAX_ITEMS} entries", value)


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT_CHARACTERS:
        raise _MisfitError.of(f"at most {MAX_TEXT_CHARACTERS} characters", text)
    return text


def _finite(value: float) -> float:
    try:
        if math.isfinite(value):
            return float(value)
    except OverflowError:
        pass  # a whole number beyond the range of float
    raise _MisfitError.of(_WORDS[float], value)
