"""XML read with entity expansion off: a document type is refused before anything in it can take effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.errors import ReportError
from pytest_trtcheck.report.text import one_line

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def parse_xml(data: bytes) -> Element:
    """Return the root element; ReportError for what is no XML, and for XML with a document type of its own.

    Without a document type there are no entities but the five of XML itself, and none that grow or that name a file.
    """
    from xml.etree import ElementTree as ET

    builder = ET.TreeBuilder()
    parser = ET.XMLParser(target=_NoDoctype(builder))  # noqa: S314 - its target refuses what could be misused
    try:
        parser.feed(data)
        return parser.close()
    except ET.ParseError as error:
        raise ReportError(one_line(f"expected XML, found {error}")) from error


class _NoDoctype:
    """Builds the tree; refuses a document type."""

    def __init__(self, builder: object) -> None:
        for name in ("start", "end", "data", "close"):
            setattr(self, name, getattr(builder, name))

    def doctype(self, *_: object) -> None:
        """Refuse: the parser calls this before it reads what the document type declares."""
        raise ReportError("expected XML without a document type, found one")
