"""The files of a report: which there are, and how they get into their folder whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pytest_trtcheck.errors import OptionError, ReportError
from pytest_trtcheck.report.formats import ALL, DEFAULT
from pytest_trtcheck.report.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_trtcheck.model.report import RunReport
    from pytest_trtcheck.report.formats import Renderer


class WriteError(ReportError):
    """Some files of a report were not written; ``written`` names those that were."""

    def __init__(self, directory: Path, failures: dict[str, str], written: dict[str, Path]) -> None:
        told = "; ".join(f"{file_name} is not written ({words})" for file_name, words in failures.items())
        rest = ", ".join(path.name for path in written.values()) or "no other"
        super().__init__(one_line(f"report folder {directory}: {told}; written: {rest}", 2000))
        self.written = written


def write_reports(report: RunReport, directory: Path, formats: Sequence[Renderer] = DEFAULT) -> dict[str, Path]:
    """Write the report in these formats; return the paths by name of the format.

    Every file is written aside and renamed: nobody reads half of one, and a killed run leaves none. One that fails
    does not lose the others; WriteError is raised at the end.
    """
    written: dict[str, Path] = {}
    failures: dict[str, str] = {}
    for renderer in formats:
        path = directory / renderer.file_name
        failure = _write(renderer, report, path)
        if failure:
            failures[renderer.file_name] = failure
        else:
            written[renderer.name] = path
    if failures:
        raise WriteError(directory, failures, written)
    return written


def remove_reports(directory: Path) -> None:
    """Remove the reports of an earlier run: should this one be killed, they would be taken for its own."""
    for renderer in ALL:
        with suppress(OSError):
            (directory / renderer.file_name).unlink()


def write_texts(files: Mapping[str, tuple[str, Callable[[], str]]], directory: Path) -> list[Path]:
    """Write files, each a name and the function that makes its text; return their paths.

    All texts are made and written aside before the first is renamed: a failure leaves what was there before. WriteError
    tells which file failed.
    """
    parts: dict[Path, Path] = {}
    name = ""
    try:
        for name, render in files.values():
            parts[directory / name] = _aside(directory / name, render())
        for path, part in parts.items():
            name = path.name
            part.replace(path)
    except BaseException as error:
        for part in parts.values():
            with suppress(OSError):
                part.unlink()
        if isinstance(error, OSError):
            raise WriteError(directory, {name: _words(error)}, {}) from error
        raise
    return list(parts)


def check_writable(directory: Path, option: str = "--trtcheck-report") -> None:
    """Create the folder if need be and prove that a file can be written there; raise OptionError where it cannot."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _aside(directory / "check", "writable\n").unlink()
    except (OSError, ValueError) as error:
        raise OptionError(
            one_line(
                f"{option}: expected a folder that can be written, found {directory} ({_words(error)}); "
                f"name another, such as {option} /tmp/trtcheck-report",
                2000,
            )
        ) from error


def _write(renderer: Renderer, report: RunReport, path: Path) -> str:
    """Write one file; return why it could not be, or an empty text."""
    try:
        part = _aside(path, renderer.render(report))
        with _removed_on_failure(part):
            part.replace(path)
    except Exception as error:  # noqa: BLE001 - a bug in one format must not cost the other files
        return _words(error)
    return ""


def _aside(path: Path, text: str) -> Path:
    """Write a text to a new file beside ``path``, under a name that nobody else uses; return its path."""
    part = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    # Not tempfile: its files can be read by their owner only, and CI collectors are another user.
    with _removed_on_failure(part), part.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
    return part


@contextmanager
def _removed_on_failure(part: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"
