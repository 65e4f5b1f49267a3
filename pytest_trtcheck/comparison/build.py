"""Sheets to the compatibility matrix: a column for each stack, whatever number of reports tells of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from sys import intern

from pytest_trtcheck import __version__
from pytest_trtcheck.comparison.sheet import Entry, Feature, Sheet, weight
from pytest_trtcheck.model.compatibility import Column, Compatibility, Conflict, Gap, Note, Row
from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.report import Reason, RunVerdict
from pytest_trtcheck.report.columns import shorten

MAX_NAME = 80

_FEATURE_STATES = {"fails": "failed", "works": "passed"}
_FEATURE_RANK = ("fails", "works", "refused", "not run", "not supported here")
_NO_GAP = frozenset({Reason.NOT_APPLICABLE.value})
_VERDICT_RANK = (RunVerdict.REJECTED, RunVerdict.INCONCLUSIVE, RunVerdict.ACCEPTED)


@dataclass
class _Draft:
    """A column while sheets come in."""

    sheet: Sheet
    """The first one; its entries are not used."""
    reports: list[str] = field(default_factory=list)
    verdicts: set[RunVerdict] = field(default_factory=set)
    reasons: dict[str, None] = field(default_factory=dict)
    matrices: dict[str, None] = field(default_factory=dict)
    entries: dict[tuple[str, str], tuple[Entry, int]] = field(default_factory=dict)
    """The answer that stands, with the number of its report."""
    told: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """Where reports disagree: what the first of each outcome says."""
    features: dict[tuple[str, str, str], Feature] = field(default_factory=dict)

    def add(self, sheet: Sheet) -> None:
        number = len(self.reports)
        self.reports.append(sheet.name)
        self.verdicts.add(RunVerdict(sheet.verdict))
        self.matrices.setdefault(sheet.matrix)
        if sheet.verdict != RunVerdict.ACCEPTED.value:
            self.reasons.update(dict.fromkeys(f"{sheet.name}: {reason}" for reason in sheet.reasons))
        for entry in sheet.entries:
            self._add_entry(entry, number)
        for cell in sheet.features:
            key = cell[:3]
            before = self.features.get(key)
            if before is None or _feature_rank(cell) < _feature_rank(before):
                self.features[key] = cell

    def _add_entry(self, entry: Entry, number: int) -> None:
        key = entry[:2]
        before = self.entries.get(key)
        if before is None:
            self.entries[key] = entry, number
            return
        if entry.state != before[0].state and "not_run" not in (entry.state, before[0].state):
            told = self.told.setdefault(key, {before[0].state: self._tell(*before)})
            told.setdefault(entry.state, self._tell(entry, number))
        if weight(entry.state, entry.reason) < weight(before[0].state, before[0].reason):
            self.entries[key] = entry, number

    def _tell(self, entry: Entry, number: int) -> str:
        return f"{self.reports[number]}: {entry.state}{f': {entry.message}' if entry.message else ''}"

    def state(self, key: tuple[str, str]) -> str:
        """Return what the cell of a check says."""
        if key in self.told:
            return "conflict"
        return self.entries[key][0].state if key in self.entries else ""

    def words(self, key: tuple[str, str]) -> str:
        """Return why the cell is not simply passed."""
        if key in self.told:
            return "; ".join(self.told[key].values())
        entry = self.entries[key][0]
        return ": ".join(filter(None, (entry.reason, entry.message)))

    @property
    def verdict(self) -> RunVerdict:
        """The worst of its reports: parts of a run that miss each other are judged together by --shards only."""
        return next(verdict for verdict in _VERDICT_RANK if verdict in self.verdicts)


class Builder:
    """Takes sheets one by one; keeps of each what the matrix shows."""

    def __init__(self) -> None:
        self._drafts: dict[object, _Draft] = {}
        self._seen: dict[str, str] = {}
        self._redacted = True
        self.left_out: list[str] = []

    def add(self, sheet: Sheet) -> None:
        """Take a sheet; a second copy of one report is noted and not counted."""
        first = self._seen.setdefault(sheet.fingerprint, sheet.name)
        if first is not sheet.name:
            self.left_out.append(f"{sheet.name}: the same report as {first}")
            return
        key = (sheet.kind, sheet.image, tuple(sorted(sheet.facts.items())))
        draft = self._drafts.setdefault(key, _Draft(sheet))
        draft.add(self._shared(sheet))
        self._redacted = self._redacted and sheet.redacted

    @staticmethod
    def _shared(sheet: Sheet) -> Sheet:
        """Return the sheet with one object for each text: a thousand reports name the same checks."""
        entries = tuple(Entry._make(map(intern, entry)) for entry in sheet.entries)
        return replace(sheet, entries=entries)

    def build(self, *, is_whole: bool = True) -> Compatibility:
        """Return the matrix of all sheets; one that is not whole, because some could not be read, is not accepted."""
        drafts = list(self._drafts.values())
        checks = dict.fromkeys(key for draft in drafts for key in draft.entries)
        features = dict.fromkeys(key for draft in drafts for key in draft.features)
        columns = _columns(drafts)
        verdicts = {column.verdict for column in columns} | (set() if is_whole else {RunVerdict.INCONCLUSIVE})
        check_rows = tuple(_check_row(key, drafts) for key in checks)
        return Compatibility(
            tool_version=__version__,
            verdict=next((verdict for verdict in _VERDICT_RANK if verdict in verdicts), RunVerdict.INCONCLUSIVE),
            columns=columns,
            checks=check_rows,
            suites=_suite_rows(check_rows, len(columns)),
            features=tuple(_feature_row(key, drafts) for key in sorted(features)),
            conflicts=tuple(
                Conflict(number, *key, told=tuple(told.values()))
                for number, draft in enumerate(drafts)
                for key, told in draft.told.items()
            ),
            gaps=tuple(_gaps(check_rows, drafts)),
            left_out=tuple(self.left_out),
            redacted=self._redacted,
        )


def _columns(drafts: Sequence[_Draft]) -> tuple[Column, ...]:
    names = _names([draft.sheet for draft in drafts])
    return tuple(
        Column(
            name=name,
            kind=draft.sheet.kind,
            image=draft.sheet.image,
            facts=draft.sheet.facts,
            reports=tuple(draft.reports),
            verdict=draft.verdict,
            verdict_reasons=tuple(draft.reasons),
            matrices=tuple(draft.matrices),
        )
        for name, draft in zip(names, drafts, strict=True)
    )


def _names(sheets: Sequence[Sheet]) -> list[str]:
    """Return a short name for each stack: the facts in which it differs from others, else its GPU or image."""
    keys = dict.fromkeys(key for sheet in sheets for key in sheet.facts)
    telling = [key for key in keys if len({sheet.facts.get(key) for sheet in sheets}) > 1] or ["gpu", "image"]
    given: dict[str, int] = {}
    names = []
    for sheet in sheets:
        name = _name(sheet, telling)
        given[name] = given.get(name, 0) + 1
        names.append(name if given[name] == 1 else f"{name} #{given[name]}")
    return names


def _name(sheet: Sheet, keys: Sequence[str]) -> str:
    parts = [sheet.image.rpartition("/")[2]] if sheet.image else []
    for key in keys:
        value = sheet.facts.get(key)
        if value and key != "image":
            parts.append(value if key == "gpu" else f"{title_of(key)} {value}")
    return shorten(", ".join(parts) or f"{sheet.kind} {sheet.name}", MAX_NAME)


def _check_row(key: tuple[str, str], drafts: Sequence[_Draft]) -> Row:
    states = tuple(draft.state(key) for draft in drafts)
    notes = tuple(
        Note(number, draft.words(key))
        for number, (draft, state) in enumerate(zip(drafts, states, strict=True))
        if state not in ("", "passed")
    )
    return Row(key[0], key[1], "", states, notes)


def _suite_rows(rows: Iterable[Row], width: int) -> tuple[Row, ...]:
    """Return a row for each suite: the worst of its checks, and how many passed."""
    by_suite: dict[str, list[Row]] = {}
    for row in rows:
        by_suite.setdefault(row.suite, []).append(row)
    return tuple(_suite_row(suite, members, width) for suite, members in by_suite.items())


def _suite_row(suite: str, members: Sequence[Row], width: int) -> Row:
    states, notes = [], []
    for number in range(width):
        counts: dict[str, int] = {}
        for row in members:
            counts[row.states[number]] = counts.get(row.states[number], 0) + 1
        order = ("conflict", "error", "failed", "waived", "passed", "not_run", "")
        states.append(next(state for state in order if counts.get(state)))
        told = [
            f"{counts[state]} {state.replace('_', ' ') or 'without an answer'}" for state in order if state in counts
        ]
        notes.append(Note(number, ", ".join(told)))
    return Row(suite, "", "", tuple(states), tuple(notes))


def _feature_rank(cell: Feature) -> int:
    return _FEATURE_RANK.index(cell.state) if cell.state in _FEATURE_RANK else len(_FEATURE_RANK)


def _feature_row(key: tuple[str, str, str], drafts: Sequence[_Draft]) -> Row:
    cells = [draft.features.get(key) for draft in drafts]
    states = tuple(_FEATURE_STATES.get(cell.state, "not_run") if cell else "" for cell in cells)
    notes = tuple(
        Note(number, ": ".join(filter(None, (cell.state, cell.words))))
        for number, cell in enumerate(cells)
        if cell is not None and cell.state != "works"
    )
    suite, provider, feature = key
    return Row(suite, feature, provider, states, notes)


def _gaps(rows: Sequence[Row], drafts: Sequence[_Draft]) -> Iterable[Gap]:
    """Tell for each stack what ran elsewhere and has no answer there."""
    ran = [row for row in rows if any(state not in ("", "not_run") for state in row.states)]
    for number, draft in enumerate(drafts):
        missing: dict[str, list[str]] = {}
        for row in ran:
            if row.states[number] in ("", "not_run"):
                reason = _why(draft.entries, (row.suite, row.name))
                if reason not in _NO_GAP:
                    missing.setdefault(reason, []).append(row.name)
        for reason, names in missing.items():
            yield Gap(number, reason, tuple(names))


def _why(entries: Mapping[tuple[str, str], tuple[Entry, int]], key: tuple[str, str]) -> str:
    return entries[key][0].reason if key in entries else "not planned"
