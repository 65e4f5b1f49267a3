"""``report.sarif`` in SARIF 2.1.0, for code scanning: one result for each thing that is wrong, one rule for each check.

GitHub shows a result only with a location in a file of the repository, which ``--trtcheck-source`` gives; without one
the results are valid and listed by other readers. Fingerprints are of the check and what it was asked of.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pytest_trtcheck.report.problems import OWN_TEST, Problem, problems_of, waived_problems
from pytest_trtcheck.report.text import find_urls, one_line, truncate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_trtcheck.model.report import CheckText, Location, RunReport, Waiver

MAX_RESULTS = 5000
"""GitHub takes 25,000 results of a run and shows the first 5,000."""
MAX_TEXT_BYTES = 4096
MAX_TEXT_LINES = 60

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = ("error", "warning", "note")


def render_sarif(report: RunReport) -> str:
    """Return the report as one SARIF run."""
    problems = problems_of(report)[:MAX_RESULTS]
    waived = waived_problems(report)[:MAX_RESULTS]
    rules = _rules([*problems, *(problem for problem, _ in waived)], {check.id: check for check in report.checks})
    places = {rule["id"]: index for index, rule in enumerate(rules)}
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "pytest-trtcheck",
                "version": one_line(report.tool_version),
                "rules": rules,
            }
        },
        "automationDetails": {"id": f"trtcheck/{_word(report.profile)}/{_word(report.level)}/"},
        "columnKind": "utf16CodeUnits",
        "invocations": [
            {
                # Whether the tool did its work; what it found is in the results.
                "executionSuccessful": report.exit_status in {0, 1, 10},
                "exitCode": report.exit_status,
                "exitCodeDescription": report.verdict.value,
            }
        ],
        "results": [
            *(_result(problem, places[_rule_id(problem.rule)]) for problem in problems),
            *(_suppressed(problem, waiver, places[_rule_id(problem.rule)]) for problem, waiver in waived),
        ],
        "properties": {
            "trtcheck.verdict": report.verdict.value,
            "trtcheck.matrix": one_line(f"{report.matrix.date} {report.matrix.digest}"),
        },
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule_id(text: str) -> str:
    return one_line(text, 200) or OWN_TEST


def _rules(problems: Iterable[Problem], checks: Mapping[str, CheckText]) -> list[dict[str, Any]]:
    """Return one rule for each check that some problem is of, in the order of the problems."""
    rules: dict[str, dict[str, Any]] = {}
    for problem in problems:
        identity = _rule_id(problem.rule)
        if identity not in rules:
            rules[identity] = _rule(identity, problem, checks.get(problem.rule))
        elif _LEVELS.index(problem.level) < _LEVELS.index(rules[identity]["defaultConfiguration"]["level"]):
            rules[identity]["defaultConfiguration"]["level"] = problem.level
    return list(rules.values())


def _rule(identity: str, problem: Problem, check: CheckText | None) -> dict[str, Any]:
    title = one_line(check.title if check else problem.title) or identity
    question = one_line(check.question) if check else title
    remedy = _text(check.remedy if check else problem.remedy) or "See the message of each result."
    source = one_line(check.source if check else problem.source)
    help_text = f"{question}\n\nRemedy: {remedy}" + (f"\n\nSource: {source}" if source else "")
    urls = find_urls(source)
    family = identity.split("-")[1].lower() if identity.count("-") == 2 else "own"
    return {
        "id": identity,
        "shortDescription": {"text": title},
        "fullDescription": {"text": question},
        # No markdown beside the text: what readers make of it differs, and remedies hold commands.
        "help": {"text": help_text},
        **({"helpUri": quote(urls[0][1], safe=":/?#[]@!$&'()*+,;=%~")} if urls else {}),
        "defaultConfiguration": {"level": problem.level},
        "properties": {"tags": ["trtcheck", _word(family)], "precision": "high"},
    }


def _result(problem: Problem, rule_index: int) -> dict[str, Any]:
    told = [
        one_line(problem.title),
        _text(problem.message),
        f"Remedy: {_text(problem.remedy)}" if problem.remedy else "",
    ]
    return {
        "ruleId": _rule_id(problem.rule),
        "ruleIndex": rule_index,
        "level": problem.level,
        "message": {"text": "\n".join(part for part in told if part) or problem.level},
        "locations": [_location(problem.location, one_line(problem.key, 200))],
        "partialFingerprints": {
            "trtcheckKey/v1": problem.fingerprint,
            # Given, so that GitHub does not hash the line, which moves with every edit of the file.
            "primaryLocationLineHash": f"{problem.fingerprint[:16]}:1",
        },
    }


def _suppressed(problem: Problem, waiver: Waiver, rule_index: int) -> dict[str, Any]:
    words = one_line(waiver.describe(), 1000)
    suppression = {"kind": "external", "status": "accepted", "justification": words}
    return {**_result(problem, rule_index), "suppressions": [suppression]}


def _location(location: Location | None, key: str) -> dict[str, Any]:
    logical = {"logicalLocations": [{"fullyQualifiedName": key or "unnamed", "kind": "member"}]}
    if location is None:
        return logical
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(one_line(location.file, 1000)), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": max(location.line, 1)},
        },
        **logical,
    }


def _text(text: str) -> str:
    return truncate(text, MAX_TEXT_BYTES, MAX_TEXT_LINES).strip()


def _word(text: str) -> str:
    """Return a word for an id or a tag."""
    return re.sub(r"[^\w.-]+", "-", one_line(text, 100)).strip("-") or "unnamed"
