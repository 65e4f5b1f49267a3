"""Exceptions for wrong use and broken data. What a probe cannot read is a Fact, never an exception."""

from __future__ import annotations


class TrtcheckError(Exception):
    """Base of all errors meant for the user; the message is one line that names the next step."""


class MatrixError(TrtcheckError):
    """A matrix file, overlay or profile breaks its schema or contradicts another row."""

    def __init__(self, file: str, pointer: str, expected: str, found: str) -> None:
        """Name the file, the path inside the document, what was wanted and what is there."""
        super().__init__(f"matrix {file} {pointer or '(top level)'}: expected {expected}, found {found}")
        self.file = file
        self.pointer = pointer
        self.expected = expected
        self.found = found


class OptionError(TrtcheckError):
    """A command-line option or ini key has a value that cannot be used."""


class VersionError(TrtcheckError):
    """A text is not a version or a range of the kind that was asked for."""


class ReportError(TrtcheckError):
    """A stored report cannot be read, or a report cannot be written."""


class ProbeModelError(TrtcheckError):
    """A folder is not the probe model, or a file of it is missing, damaged or not its own."""


class ImageError(TrtcheckError):
    """An image or archive cannot be read: damaged, cut short, larger than it may be, or of a kind nobody knows."""

    def __init__(self, where: str, problem: str) -> None:
        """Name the file or the part of it, and what is wrong with it."""
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem
