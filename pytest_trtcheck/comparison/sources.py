"""Where reports are: files, folders, globs and addresses such as ``s3://bucket/runs``, each told by a short name."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.errors import OptionError, ReportError
from pytest_trtcheck.report.formats import ALL
from pytest_trtcheck.report.text import one_line
from pytest_trtcheck.session.journal import JOURNAL_NAME

if TYPE_CHECKING:
    from pytest_trtcheck.model.report import RunReport

REPORT_NAME = "report.json"
MAX_REPORTS = 20_000

_GLOB = frozenset("*?[")
_OTHER_FILES = frozenset(renderer.file_name for renderer in ALL) - {REPORT_NAME}


@dataclass(frozen=True)
class Source:
    """One report: a file, a folder of a run, or a file behind an address."""

    name: str
    """As it is told: the part of the place in which it differs from the others."""
    place: str
    is_remote: bool = False

    def read(self) -> RunReport:
        """Return the report; ReportError, one line that begins with the place, where there is none."""
        from pytest_trtcheck.report.json_report import read_report, report_of_bytes
        from pytest_trtcheck.session.rebuild import report_of

        if self.is_remote:
            return report_of_bytes(_download(self.place), self.place)
        path = Path(self.place)
        return report_of(path) if path.is_dir() else read_report(path).report


def find_sources(inputs: Sequence[str], mask: Callable[[str], str] = str) -> list[Source]:
    """Return the reports behind files, folders, globs and addresses, in order, each once.

    A folder stands for every report in it and below. ``mask`` is what places go through before they become names.
    OptionError for an input that leads to none.
    """
    places: dict[str, bool] = {}
    for text in inputs:
        is_remote = "://" in text
        found = _remote(text) if is_remote else _local(text)
        for place in found:
            places.setdefault(place, is_remote)
            if len(places) > MAX_REPORTS:
                raise OptionError(f"{one_line(text)}: expected at most {MAX_REPORTS} reports, found more")
    names = short_names(list(map(mask, places)))
    return [Source(name, place, is_remote) for name, (place, is_remote) in zip(names, places.items(), strict=True)]


def short_names(places: Sequence[str]) -> list[str]:
    """Return each place without what all begin with, and without the file name that all reports have."""
    shown = [place.removesuffix(f"/{REPORT_NAME}") for place in places]
    if len(shown) < 2:
        return [Path(place).name or place for place in shown]
    common = os.path.commonprefix(shown)  # noqa: RUF071 - of addresses too
    start = common.rfind("/") + 1
    return [place[start:] or place for place in shown]


def _local(text: str) -> Iterable[str]:
    path = Path(text)
    if path.is_dir():
        return _in_folder(text)
    if path.exists():
        return [text]
    if not _GLOB.intersection(text):
        raise OptionError(f"{one_line(text)}: expected a report, a folder or a glob, found no such file")
    matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    found = [place for match in matches for place in (_below(match) if Path(match).is_dir() else _if_report(match))]
    if not found:
        raise OptionError(f"{one_line(text)}: expected reports, found none that matches")
    return found


def _if_report(path: str) -> list[str]:
    name = path.rpartition("/")[2]
    return [path] if name.endswith(".json") and name not in _OTHER_FILES else []


def _in_folder(folder: str) -> list[str]:
    found = list(_below(folder))
    if not found:
        raise OptionError(f"{one_line(folder)}: expected {REPORT_NAME} in this folder or below it, found none")
    return found


def _below(folder: str) -> Iterator[str]:
    """Yield the reports below a folder; of a run that was killed, its folder."""
    for parent, folders, files in os.walk(folder):
        folders.sort()
        if REPORT_NAME in files:
            yield str(Path(parent, REPORT_NAME))
        elif JOURNAL_NAME in files:
            yield parent


def _fsspec(address: str) -> Any:
    try:
        import fsspec
    except ImportError:
        raise OptionError(
            f"{one_line(address)}: expected fsspec, to read addresses; found none: "
            "pip install fsspec and what it needs for this one, such as s3fs or gcsfs"
        ) from None
    return fsspec


def _remote(address: str) -> list[str]:
    """Return the addresses of the reports behind one: the file itself, what a glob matches, or all in a folder."""
    fsspec = _fsspec(address)
    try:
        system, path = fsspec.core.url_to_fs(address)
        if _GLOB.intersection(path):
            found = [place for match in sorted(system.glob(path)) for place in _if_report(str(match))]
        elif system.isfile(path):
            found = [path]
        else:
            found = sorted(str(place) for place in system.find(path) if str(place).rpartition("/")[2] == REPORT_NAME)
        addresses = [str(system.unstrip_protocol(place)) for place in found]
    except Exception as error:
        # Each file system has exceptions of its own: no credentials, no bucket, no network, no such protocol.
        raise OptionError(one_line(f"{address}: cannot be listed ({type(error).__name__}: {error})")) from error
    if not addresses:
        raise OptionError(f"{one_line(address)}: expected {REPORT_NAME} there or below, found none")
    return addresses


def _download(address: str) -> bytes:
    from pytest_trtcheck.report.json_report import MAX_DOCUMENT_CHARACTERS

    fsspec = _fsspec(address)
    try:
        with fsspec.open(address, "rb") as file:
            data: bytes = file.read(MAX_DOCUMENT_CHARACTERS + 1)
    except Exception as error:
        raise ReportError(one_line(f"{address}: cannot be read ({type(error).__name__}: {error})")) from error
    return data
