"""Make the report of a run that was killed from its journal."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_trtcheck.errors import ReportError, TrtcheckError
from pytest_trtcheck.model.codec import decode
from pytest_trtcheck.model.facts import ImportOutcome
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.model.report import Isolation, Location, RunReport, Unsupported, Waiver
from pytest_trtcheck.report.json_report import read_report, result_from_dict, stack_from_dict
from pytest_trtcheck.rules.catalogue import load_catalogue
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.rules.profiles import Profile
from pytest_trtcheck.session.assemble import RunFacts, assemble
from pytest_trtcheck.session.journal import JOURNAL_NAME, read_journal
from pytest_trtcheck.session.outcome import Planned, Results
from pytest_trtcheck.verdict.run import FailOn

KILLED_STATUS = 2
"""As pytest reports an interrupted run."""


def report_of(folder: Path) -> RunReport:
    """Return the report of a folder: the stored one of a finished run, else what the journal tells.

    ReportError, one line, for a folder without either, or with one that cannot be read.
    """
    journal = folder / JOURNAL_NAME
    if not journal.is_file():
        return _stored(folder)
    try:
        events = read_journal(journal)
    except (OSError, ValueError) as error:
        raise ReportError(f"{journal}: {error}") from error
    if events and events[-1]["event"] == "end" and (folder / "report.json").is_file():
        return _stored(folder)
    try:
        return _from_journal(events)
    except (KeyError, TypeError, ValueError, TrtcheckError) as error:
        raise ReportError(f"{journal}: not a journal of pytest --trtcheck ({type(error).__name__}: {error})") from error


def _stored(folder: Path) -> RunReport:
    path = folder / "report.json"
    if not path.exists():
        raise ReportError(f"{folder}: expected {JOURNAL_NAME} or report.json, found neither")
    return read_report(path).report


def _from_journal(events: list[dict[str, Any]]) -> RunReport:
    first = events[0] if events else {"event": ""}
    if first["event"] != "run":
        raise ReportError(f"expected the event 'run' first, found {first['event']!r}")
    results, imports = Results(), {}
    plan: dict[str, Any] = {}
    last = str(first["started"])
    for event in events[1:]:
        if event["event"] == "plan":
            results.plan(decode(Planned, entry) for entry in event["planned"].values())
            results.deselected.update(map(str, event["deselected"]))
            plan = event
        elif event["event"] == "start":
            last = str(event["time"])
            results.begin(str(event["nodeid"]), last)
        elif event["event"] == "result":
            if event["result"] is not None:
                results.restore(result_from_dict(event["result"]))
            imports.update({key: decode(ImportOutcome, outcome) for key, outcome in event["imports"].items()})
    began = RunFacts(
        started=str(first["started"]),
        level=Level(first["level"]),
        profile=decode(Profile, first["profile"]),
        fail_on=FailOn(first["fail_on"]),
        stack=stack_from_dict(first["stack"]),
        seed=plan.get("seed"),
        unsupported=tuple(decode(Unsupported, entry) for entry in plan.get("unsupported", ())),
        left_out=(*map(str, plan.get("left_out", ())), *_not_compared(first)),
        locations=tuple(decode(Location, entry) for entry in first.get("locations", ())),
        waivers=tuple(decode(Waiver, entry) for entry in first.get("waivers", ())),
    )
    isolation = decode(Isolation, first["isolation"])
    return assemble(
        began,
        load_matrix([Path(folder).expanduser() for folder in first["overlays"]]),
        load_catalogue(),
        results=results.all(),
        imports=imports,
        isolation=replace(isolation, notes=(*isolation.notes, "made from the journal of a run that was killed")),
        seconds=_seconds(str(first["started"]), last),
        exit_status=KILLED_STATUS,
    )


def _not_compared(first: dict[str, Any]) -> list[str]:
    baseline = first.get("baseline")
    return [f"baseline {baseline}: a run that was killed is not compared"] if baseline else []


def _seconds(started: str, last: str) -> float:
    """Return the time up to the last beginning of a check; when the run was killed, nobody knows."""
    return (datetime.fromisoformat(last) - datetime.fromisoformat(started)).total_seconds()
