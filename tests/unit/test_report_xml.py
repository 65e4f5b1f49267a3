"""XML that is read: nothing in it can grow, open a file or end in a traceback."""

from __future__ import annotations

import pytest

from pytest_trtcheck.errors import ReportError
from pytest_trtcheck.report.junit import render_junit
from pytest_trtcheck.report.xml import parse_xml
from tests.golden.sample import sample_report

LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 30))


@pytest.mark.parametrize(
    "data",
    [
        b'<!DOCTYPE a [<!ENTITY l0 "lol">' + LAUGHS + b"]><a>&l29;</a>",
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        b'<!DOCTYPE a SYSTEM "http://example.org/a.dtd"><a/>',
        b"<!DOCTYPE a><a/>",
    ],
)
def test_document_type_is_refused(data: bytes) -> None:
    with pytest.raises(ReportError, match=r"^expected XML without a document type, found one$"):
        parse_xml(data)


@pytest.mark.parametrize("data", [b"", b"<a", b"<a></b>", b"<a>&x;</a>", b"\xff\xfe\x00", b"<a/><b/>", b"{}"])
def test_what_is_no_xml_is_told_on_one_line(data: bytes) -> None:
    with pytest.raises(ReportError, match=r"^expected XML, found "):
        parse_xml(data)


def test_report_of_ours_is_read() -> None:
    root = parse_xml(render_junit(sample_report()).encode())
    assert root.tag == "testsuites"
    assert parse_xml(b"<a>&lt;&#65;</a>").text == "<A"
