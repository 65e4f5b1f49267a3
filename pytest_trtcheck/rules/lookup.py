"""How an asked version finds its row: one way for each kind of key, and never another release."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from pytest_trtcheck.model.versions import Capability, ContainerTag, DottedVersion, PackageVersion
from pytest_trtcheck.rules.rows import Row

_NAME_PART = re.compile(r"[a-z0-9]+")
# Brand words that one tool prints and another leaves out; "quadro" stays, as Quadro RTX 6000 is not RTX 6000 Ada.
_BRANDS = frozenset({"nvidia", "geforce", "tesla"})


class Index(Protocol):
    """Finds the rows of one product."""

    def __init__(self, rows: Iterable[Row]) -> None: ...

    def canonical(self, text: str) -> str | None:
        """Return the version as a row would write it; None for a text that no look-up understands."""

    def exact(self, text: str) -> Row | None:
        """Return the row of that version."""

    def match(self, text: str) -> Row | None:
        """Return the row of the same release, the text being longer or shorter than the row's."""

    def candidates(self, text: str) -> tuple[Row, ...]:
        """Return every row that the text may mean."""


class KeyIndex:
    """Rows found by one normalised key."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = {self.key(row.version): row for row in rows}

    def key(self, text: str) -> str | None:
        """Return the normalised key, or None for a text that is none."""
        return text.strip()

    def canonical(self, text: str) -> str | None:
        """Return the key."""
        return self.key(text)

    def exact(self, text: str) -> Row | None:
        """Return the row with that key."""
        key = self.key(text)
        return self._rows.get(key) if key is not None else None

    match = exact

    def candidates(self, text: str) -> tuple[Row, ...]:
        """Return the row with that key, if any."""
        row = self.exact(text)
        return (row,) if row else ()


class PackageIndex(KeyIndex):
    """Python packages: the public version, so that 2.7.0+cu128 finds 2.7.0 and 2.10.0a0+b4e4 finds nothing.

    Rows write their version in its normal form, so that a plain text is found without the version parser.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = {row.version: row for row in rows}

    def key(self, text: str) -> str | None:
        """Return the normalised public version."""
        version = PackageVersion.try_parse(text)
        return version.public if version else None

    def exact(self, text: str) -> Row | None:
        """Return the row of that public version."""
        return self._rows.get(text) or super().exact(text)

    match = exact


class CapabilityIndex(KeyIndex):
    """Compute capabilities in any of their spellings."""

    def key(self, text: str) -> str | None:
        """Return the capability as 9.0."""
        capability = Capability.try_parse(text)
        return capability.dotted if capability else None


class MonthIndex(KeyIndex):
    """Container months, from a month, a tag or a whole image name."""

    def key(self, text: str) -> str | None:
        """Return the month."""
        tag = ContainerTag.try_parse(text.rpartition(":")[2])
        return tag.month if tag else None


class DottedIndex:
    """Dotted versions, where tools give more or fewer numbers than the row."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._written: dict[tuple[int, ...], Row] = {}
        self._equal: dict[DottedVersion, Row] = {}
        for row in rows:
            version = DottedVersion.leading(row.version)
            if version is not None:
                self._written[version.parts] = row
                self._equal[version] = row

    def canonical(self, text: str) -> str | None:
        """Return the text when it begins with a dotted version."""
        return text if DottedVersion.leading(text) else None

    def exact(self, text: str) -> Row | None:
        """Return the row of an equal version: 12.9 is 12.9.0, but 12 is a family and no 12.0.0."""
        version = DottedVersion.try_parse(text.removesuffix(".x"))
        return self._equals(version) if version else None

    def _equals(self, version: DottedVersion) -> Row | None:
        row = self._written.get(version.parts)
        if row is None and len(version.parts) > 1:
            row = self._equal.get(version)
            # 10.0 may be padded to 10.0.0, but neither may shrink to the family row 10.x.
            if row is not None and row.version.endswith(".x"):
                return None
        return row

    def match(self, text: str) -> Row | None:
        """Return the equal row, else the longest one that the text begins with, else the only one beginning with it."""
        version = DottedVersion.leading(text)
        if version is None:
            return None
        row = self._equals(version)
        if row is not None:
            return row
        parts = version.parts
        for length in range(len(parts) - 1, 0, -1):
            row = self._written.get(parts[:length])
            if row is not None:
                return row
        longer = self._longer(parts)
        return longer[0] if len(longer) == 1 else None

    def _longer(self, parts: tuple[int, ...]) -> tuple[Row, ...]:
        return tuple(row for written, row in self._written.items() if written[: len(parts)] == parts)

    def candidates(self, text: str) -> tuple[Row, ...]:
        """Return the rows that begin with the text, else the matching one: 10.13 may be 10.13.0, .2 or .3."""
        version = DottedVersion.leading(text)
        if version is None:
            return ()
        longer = self._longer(version.parts)
        if longer:
            return longer
        row = self.match(text)
        return (row,) if row else ()


class GpuIndex:
    """GPU names: NVML writes ``NVIDIA H100 80GB HBM3``, people write ``H100``, the row says ``NVIDIA H100``."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: dict[tuple[str, ...], Row] = {self._words(row.version): row for row in rows}

    def canonical(self, text: str) -> str | None:
        """Return the name when words are left of it."""
        return text if self._words(text) else None

    @staticmethod
    def _words(text: str) -> tuple[str, ...]:
        return tuple(word for word in _NAME_PART.findall(text.lower()) if word not in _BRANDS)

    def exact(self, text: str) -> Row | None:
        """Return the row of the same words, brand words aside."""
        return self._rows.get(self._words(text))

    def match(self, text: str) -> Row | None:
        """Return the row of the longest name that the text begins with, else the only one beginning with the text."""
        found = self.candidates(text)
        return found[0] if len(found) == 1 else None

    def candidates(self, text: str) -> tuple[Row, ...]:
        """Return the row of the longest name that the text begins with, else all that begin with the text."""
        words = self._words(text)
        for length in range(len(words), 0, -1):
            row = self._rows.get(words[:length])
            if row is not None:
                return (row,)
        return tuple(row for name, row in self._rows.items() if words and name[: len(words)] == words)


INDEXES: Mapping[str, type[Index]] = {
    "name": KeyIndex,
    "package": PackageIndex,
    "capability": CapabilityIndex,
    "month": MonthIndex,
    "dotted": DottedIndex,
    "gpu": GpuIndex,
}
