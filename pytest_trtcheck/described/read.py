"""From files to described stacks: documents, lists of them, and pasted text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.described.describe import describe, shown
from pytest_trtcheck.described.errors import DescribedError
from pytest_trtcheck.described.formats import AUTO, DOCUMENTS
from pytest_trtcheck.described.vocabulary import VOCABULARY

if TYPE_CHECKING:
    from pytest_trtcheck.model.facts import Stack

MAX_LISTED = 100_000

_WRAPPERS = ("environment", "stack")
_LISTS = ("stacks", "cases")
_NAMES = ("name", "id")
_NAME_CHARACTERS = 200
_DOCUMENT_SUFFIXES = {".yaml", ".yml", ".json"}


def read_stacks(text: str, name: str, form: str = AUTO) -> Iterator[Stack | DescribedError]:
    """Yield the stacks of a text in order, and an error in the place of each that cannot be read.

    ``form`` is one of FORMS; with ``auto`` a text is what it is recognised as, and YAML otherwise. Files
    named .yaml, .yml or .json are never taken for pasted text.
    """
    from pytest_trtcheck.described.pasted import read_pasted, recognise

    if form == AUTO:
        pasted = () if PurePath(name).suffix.lower() in _DOCUMENT_SUFFIXES else recognise(text)
    else:
        pasted = () if form == DOCUMENTS else (form,)
    try:
        if pasted:
            yield read_pasted(text, name, pasted)
        else:
            yield from _read_documents(text, name)
    except DescribedError as error:
        yield error


def one_stack(text: str, name: str) -> Stack:
    """Return the only stack of a text; DescribedError when it cannot be read or is not alone."""
    first, *more = islice(read_stacks(text, name), 2)
    if isinstance(first, DescribedError):
        raise first
    if more:
        raise DescribedError(name, "one stack", "several; the command verdict judges many")
    return first


def _read_documents(text: str, name: str) -> Iterator[Stack | DescribedError]:
    from pytest_trtcheck.described.documents import read_documents

    count = 0
    for document in read_documents(text, name):
        count += 1
        if document.error:
            yield document.error
            continue
        where = f"{name}: document {document.number}, line {document.line}"
        usual = name if document.number == 1 else f"{name}#{document.number}"
        yield from _stacks(document.value, usual, where)
    if not count:
        raise DescribedError(name, "a described stack", "nothing: the file has no document")


def _stacks(value: Any, name: str, where: str) -> Iterator[Stack | DescribedError]:
    """Yield the stacks of one document: a mapping, a list of mappings, or a list under ``stacks`` or ``cases``."""
    under = next((key for key in _LISTS if isinstance(value, Mapping) and isinstance(value.get(key), list)), None)
    items = value[under] if under else value
    if not isinstance(items, list):
        yield _stack(value, name, where)
        return
    if not 1 <= len(items) <= MAX_LISTED:
        yield DescribedError(where, f"a list of 1 to {MAX_LISTED} stacks", shown(items))
        return
    for number, item in enumerate(items, start=1):
        yield _stack(item, name if len(items) == 1 else f"{name}[{number}]", f"{where}, entry {number}")


def _stack(value: Any, name: str, where: str) -> Stack | DescribedError:
    try:
        return describe(*_unwrapped(value, name, where), where)
    except DescribedError as error:
        return error


def _unwrapped(value: Any, name: str, where: str) -> tuple[Mapping[str, Any], str]:
    """Return the environment and its name. What stands beside ``environment`` is the author's own and not read."""
    if not isinstance(value, Mapping):
        raise DescribedError(where, "a mapping in the stack vocabulary", shown(value))
    wrapper = next((key for key in _WRAPPERS if key in value), None)
    given = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), "")
    if given.isprintable() and 0 < len(given) <= _NAME_CHARACTERS:
        name = given
    if wrapper is None:
        inner = {key: item for key, item in value.items() if key not in _NAMES}
    else:
        inner = value[wrapper]
        if not isinstance(inner, Mapping):
            raise DescribedError(where, f"a mapping under {wrapper}", shown(inner))
        astray = next((key for key in value if key in VOCABULARY), None)
        if astray:
            raise DescribedError(where, f"keys of the vocabulary under {wrapper}", f"{astray} beside it")
    if not inner:
        raise DescribedError(where, "at least one key of the stack vocabulary", "none")
    return inner, name
