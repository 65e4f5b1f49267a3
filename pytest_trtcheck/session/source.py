"""Lines of a Dockerfile or a requirements file where components are chosen, for the formats that point into files."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.model.components import COMPONENTS
from pytest_trtcheck.model.report import Location

MAX_BYTES = 1024 * 1024

_FROM = re.compile(r"\s*FROM\s", re.IGNORECASE)
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_SEPARATORS = re.compile(r"[-_.]+")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def read_locations(path: Path) -> tuple[Location, ...]:
    """Return the lines of a file at which components are chosen, the file as a whole first.

    The file as a whole is its last FROM, in a Dockerfile, else its first line. OptionError where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode()
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or type(error).__name__
        raise OptionError(
            f"--trtcheck-source: expected a Dockerfile or a requirements file, found {path} ({words})"
        ) from error
    if len(data) > MAX_BYTES:
        raise OptionError(f"--trtcheck-source: expected a file of at most {MAX_BYTES} bytes, found more in {path}")
    name = _name_in_repository(path)
    lines = text.splitlines()
    bases = [number for number, line in enumerate(lines, 1) if _FROM.match(line)]
    whole = Location("", name, bases[-1] if bases else 1)
    return (whole, *(Location(component, name, line) for component, line in _chosen(lines).items()))


def _chosen(lines: list[str]) -> dict[str, int]:
    """Return the line of each component that is named by one of its distributions; the last mention counts."""
    keys = {name: component.key for component in COMPONENTS for name in component.distributions}
    found: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        for word in _NAME.findall(_COMMENT.sub("", line)):
            key = keys.get(_SEPARATORS.sub("-", word).lower())
            if key is not None:
                found[key] = number
    return found


def _name_in_repository(path: Path) -> str:
    """Return the path from the root of the repository that the file is in, else its name."""
    resolved = path.resolve()
    root = next((folder for folder in resolved.parents if (folder / ".git").exists()), resolved.parent)
    return resolved.relative_to(root).as_posix()
