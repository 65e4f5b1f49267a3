"""Arguments that several commands share, and the way they write their answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.errors import OptionError

if TYPE_CHECKING:
    import argparse

    from pytest_trtcheck.rules.load import Matrix

STDIN = "-"


def add_format(parser: argparse.ArgumentParser) -> None:
    """Declare ``--format``."""
    parser.add_argument("--format", choices=("text", "json"), default="text", help="What to print (default: text)")


def add_matrix(parser: argparse.ArgumentParser) -> None:
    """Declare ``--matrix``."""
    text = "Folder of site rows added to the version matrix; may be given several times"
    parser.add_argument("--matrix", dest="overlays", action="append", default=[], type=Path, metavar="DIR", help=text)


def add_from(parser: argparse.ArgumentParser) -> None:
    """Declare ``--from``."""
    from pytest_trtcheck.described.formats import AUTO, FORMS

    parser.add_argument(
        "--from", dest="form", choices=FORMS, default=AUTO, metavar="FORMAT",
        help=f"What the files are: {', '.join(FORMS)} (default: auto, by recognising it)",
    )  # fmt: skip


def matrix_of(options: argparse.Namespace) -> Matrix:
    """Return the matrix with the folders of ``--matrix`` laid over it."""
    from pytest_trtcheck.rules.load import load_matrix

    for folder in options.overlays:
        if not folder.is_dir():
            raise OptionError(f"--matrix: expected a folder of JSON files, found no folder at {folder}")
    return load_matrix(options.overlays)


def text_of(file: str) -> tuple[str, str]:
    """Return the text of a file or of standard input, and the name it goes by in messages."""
    from pytest_trtcheck.described.documents import MAX_BYTES, decode_text, read_text

    if file == STDIN:
        name = "standard input"
        return decode_text(sys.stdin.buffer.read(MAX_BYTES + 1), name), name
    return read_text(Path(file), file), file


def print_json(value: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(value, indent=1))
