"""What a reader of pasted text notes down: values by key, the line of each, and what it had to leave out."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_LINES = 200_000
MAX_LINE_CHARACTERS = 1000
MAX_LEFT_OUT = 100

_NOTHING = frozenset({"", "n/a", "na", "none", "no cuda", "could not collect", "unknown", "err!", "[n/a]", "no", "-"})


@dataclass(frozen=True)
class Line:
    """One line of the text."""

    number: int
    """From 1."""
    text: str


def lines_of(text: str) -> list[Line]:
    """Return the lines that are not blank, cut at MAX_LINE_CHARACTERS, the quote signs of a mail or comment removed."""
    found = []
    for number, line in enumerate(text.splitlines()[:MAX_LINES], start=1):
        stripped = line[:MAX_LINE_CHARACTERS].lstrip("> ").rstrip() if line.startswith(">") else line.rstrip()
        if stripped.strip():
            found.append(Line(number, stripped[:MAX_LINE_CHARACTERS]))
    return found


@dataclass
class Notes:
    """Values in the stack vocabulary, each with its line."""

    values: dict[str, str | list[str]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def note(self, key: str, value: str | list[str], line: Line) -> None:
        """Note a value. The first one stays; one that disagrees with it is left out and told."""
        if isinstance(value, str):
            value = value.strip()
            if value.lower() in _NOTHING:
                return
        known = self.values.get(key)
        if known is None:
            self.values[key], self.numbers[key] = value, line.number
        elif known != value:
            self.leave_out(line, f"{key} {value}: line {self.numbers[key]} says {known}")

    def leave_out(self, line: Line, words: str) -> None:
        """Tell what was seen and not used."""
        if len(self.left_out) < MAX_LEFT_OUT:
            self.left_out.append(f"line {line.number}: {words}"[:300])

    def merge(self, other: Notes) -> None:
        """Take over what another reader noted, where this one has nothing."""
        for key, value in other.values.items():
            self.note(key, value, Line(other.numbers[key], ""))
        self.left_out += other.left_out[: MAX_LEFT_OUT - len(self.left_out)]
