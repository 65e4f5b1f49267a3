"""Text that people paste: each reader takes what it understands, tells the line of each fact, and never guesses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytest_trtcheck.described.describe import describe
from pytest_trtcheck.described.errors import DescribedError
from pytest_trtcheck.described.formats import PASTED
from pytest_trtcheck.described.pasted import collect_env, issue_form, nvidia_smi, pip_list
from pytest_trtcheck.described.pasted.notes import Line, Notes, lines_of
from pytest_trtcheck.described.vocabulary import EXTRA
from pytest_trtcheck.model.facts import Stack


@dataclass(frozen=True)
class Reader:
    """How one kind of pasted text is told from others and read."""

    recognises: Callable[[str], bool]
    read: Callable[[Sequence[Line]], Notes]


_COLLECT_ENV = Reader(collect_env.recognises, collect_env.read)
_PIP = Reader(pip_list.recognises, pip_list.read)

READERS: Mapping[str, Reader] = {
    "nvidia-smi": Reader(nvidia_smi.recognises, nvidia_smi.read),
    "collect-env": _COLLECT_ENV,
    "vllm-collect-env": _COLLECT_ENV,
    "pip-list": _PIP,
    "pip-freeze": _PIP,
    "issue-form": Reader(issue_form.recognises, issue_form.read),
}


def recognise(text: str) -> tuple[str, ...]:
    """Return the names of the formats that a text has in it; a reader that two names share is named once."""
    found: dict[Reader, str] = {}
    for name in PASTED:
        reader = READERS[name]
        if reader not in found and reader.recognises(text):
            found[reader] = name
    return tuple(found.values())


def read_pasted(text: str, name: str, forms: Sequence[str]) -> Stack:
    """Return the stack that a pasted text tells of; DescribedError when nothing of it is understood.

    What was seen and not used stands in the details of the fact ``extra``, under ``left_out``.
    """
    lines = lines_of(text)
    notes = Notes()
    for form in forms:
        notes.merge(READERS[form].read(lines))
    titles = " and ".join(PASTED[form] for form in forms)
    if not notes.values:
        raise DescribedError(name, titles, "a text of which nothing was understood")
    values: dict[str, object] = {**notes.values}
    if notes.left_out:
        values[EXTRA] = {"left_out": notes.left_out}
    places = {key: f"{name}, line {number}" for key, number in notes.numbers.items()}
    return describe(values, name, name, lines=places, how=titles)
