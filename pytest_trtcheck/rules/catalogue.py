"""The catalogue of checks: what each asks, how bad a failure is, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.rules.products import data_file
from pytest_trtcheck.rules.strict import Node, Readable, read_document

_ID = re.compile(r"TRC-[A-Z]{3}-\d{3}")


@dataclass(frozen=True)
class Check:
    """One check, by its stable id."""

    id: str
    title: str
    family: str
    severity: Severity
    """What a failure does to the run."""
    question: str
    remedy: str
    source: str
    since: str = ""
    """First version of this tool with the check; empty for the first release."""


def load_catalogue() -> Mapping[str, Check]:
    """Return all checks by id, in the order of the file."""
    return read_catalogue(data_file("checks.json"), "checks.json")


def read_catalogue(source: Readable, file: str) -> Mapping[str, Check]:
    """Return the checks of a catalogue file; MatrixError for the first fault in it."""
    top = read_document(source, file).expect(("schema_version", "checks"))
    top.child("schema_version").exactly(1)
    checks: dict[str, Check] = {}
    for node in top.child("checks").items():
        check = _check(node)
        if check.id in checks:
            raise node.child("id").fail("each id once")
        checks[check.id] = check
    return MappingProxyType(checks)


def _check(node: Node) -> Check:
    node.expect(("id", "family", "title", "severity", "question", "remedy", "source"), ("since",))
    identity = node.child("id")
    if not _ID.fullmatch(identity.text()):
        raise identity.fail("an id like TRC-DRV-001")
    return Check(
        identity.text(),
        node.child("title").text(),
        node.child("family").text(),
        Severity(node.child("severity").choice(*(severity.value for severity in Severity))),
        node.child("question").text(),
        node.child("remedy").text(),
        node.child("source").text(),
        node.child("since").text() if node.has("since") else "",
    )
