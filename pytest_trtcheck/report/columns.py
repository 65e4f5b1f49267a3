"""Text laid out in the columns of a terminal."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP = "  "
_UNLIMITED = 10_000


@dataclass(frozen=True)
class Column:
    """One column of a table and how far it may be squeezed."""

    title: str
    least: int
    """Narrowest width; the column is never wider than its content."""
    is_path: bool = False
    """Paths lose their middle, all other text its end."""


def display_width(text: str) -> int:
    """Return how many columns a clean text takes: wide East Asian characters two, combining marks none."""
    return len(text) if text.isascii() else sum(_width(char) for char in text)


def _width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def shorten(text: str, width: int) -> str:
    """Return the text within ``width`` columns, its end replaced by an ellipsis when it is longer."""
    if display_width(text) <= width:
        return text
    return f"{_take(text, width - 1)}…"


def shorten_middle(text: str, width: int) -> str:
    """Return the text within ``width`` columns; the end, a file name, gets two thirds of the room."""
    if display_width(text) <= width:
        return text
    tail = _take(text[::-1], (width - 1) * 2 // 3)[::-1]
    return f"{_take(text, width - 1 - display_width(tail))}…{tail}"


def _take(text: str, width: int) -> str:
    taken = 0
    for index, char in enumerate(text):
        taken += _width(char)
        if taken > width:
            return text[:index]
    return text


def pad(text: str, width: int) -> str:
    """Return the text filled up with spaces to ``width`` columns."""
    return text + " " * (width - display_width(text))


def fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Return header and rows, every cell shortened and padded so that a line takes at most ``width`` columns.

    The widest column gives way first, down to its least width. Where even the least widths do not fit, lines get
    longer than the terminal.
    """
    lines = [[column.title for column in columns], *rows]
    widths = [max(display_width(line[index]) for line in lines) for index in range(len(columns))]
    spare = width - len(GAP) * (len(columns) - 1)
    while sum(widths) > spare:
        squeezable = [index for index, column in enumerate(columns) if widths[index] > column.least]
        if not squeezable:
            break
        widths[max(squeezable, key=lambda index: widths[index])] -= 1
    return [[_cell(*part) for part in zip(columns, line, widths, strict=True)] for line in lines]


def _cell(column: Column, text: str, width: int) -> str:
    shortened = shorten_middle(text, width) if column.is_path else shorten(text, width)
    return pad(shortened, width)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table's lines at full width, for output that nobody shortens."""
    lines = fit([Column(title, len(title)) for title in titles], rows, _UNLIMITED)
    return [GAP.join(line).rstrip() for line in lines]
