"""Waivers: what they cover, what they do not, and what is wrong with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_trtcheck.errors import TrtcheckError
from pytest_trtcheck.model.facts import Stack
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.model.report import Isolation, RunVerdict, Waiver
from pytest_trtcheck.rules.catalogue import load_catalogue
from pytest_trtcheck.rules.profiles import Profile
from pytest_trtcheck.session.waivers import read_waivers
from pytest_trtcheck.verdict.families.waivers import judge_waivers
from pytest_trtcheck.verdict.run import FailOn, conclude, rejecting
from pytest_trtcheck.verdict.waivers import waive
from tests.reports import STARTED, result
from tests.stacks import gpu, stack

H200 = stack(torch="2.9.1+cu129", gpus=(gpu(),))
WAIVER = Waiver("TRC-ATT-001-a", "known", "serving@example.org", "2026-11-20")
PROFILE = Profile("p", "P", (), (), (), {})


def is_waived(waiver: Waiver, given: Stack = H200, *, started: str = STARTED, **fields: str) -> bool:
    (one,) = waive((waiver,), (result("a", fields.pop("ended", "failed"), **fields),), given, started)
    return one.waiver == waiver


@pytest.mark.parametrize("check", ["TRC-ATT-001-a", "TRC-ATT-001", "TRC-ATT-*", "TRC-ATT-001-[ab]"])
def test_waiver_names_a_check_its_id_or_a_glob(check: str) -> None:
    assert is_waived(replace(WAIVER, check=check))


@pytest.mark.parametrize(
    "waiver",
    [
        replace(WAIVER, check="TRC-ATT-001-b"),
        replace(WAIVER, check="trc-att-001-a"),
        replace(WAIVER, gpu="NVIDIA L40S"),
        replace(WAIVER, provider="torch_*"),
        replace(WAIVER, versions={"torch": ">=2.10"}),
        replace(WAIVER, versions={"tensorrt": ">=10"}),
        replace(WAIVER, versions={"torch": ">=2.9.1.1,<2.9.1.2"}),
        replace(WAIVER, expires="2026-11-19"),
    ],
    ids=["name", "case", "gpu", "provider", "version", "absent", "undecidable", "expired"],
)
def test_waiver_does_not_reach_beyond_its_scope(waiver: Waiver) -> None:
    assert not is_waived(waiver)


def test_scope_of_gpu_provider_and_versions() -> None:
    assert is_waived(
        replace(WAIVER, gpu="*H200", provider="flash*", versions={"torch": "==2.9.*"}), provider="flashinfer"
    )
    mixed = replace(H200, gpus=(gpu(), gpu("NVIDIA L40S", index=1)))
    assert not is_waived(replace(WAIVER, gpu="*H200"), mixed), "a check may have run on either"


def test_crash_can_be_waived_and_what_passed_or_did_not_run_is_not() -> None:
    assert is_waived(WAIVER, ended="error")
    assert not is_waived(WAIVER, ended="passed")
    assert not is_waived(WAIVER, ended="no_gpu")
    own = replace(result("a", "failed"), check_id="")
    assert waive((WAIVER,), (own,), H200, STARTED) == (own,), "a test of the site's own has marks of pytest for that"


def verdict(*results: str, waivers: tuple[Waiver, ...] = (WAIVER,)) -> tuple[RunVerdict, str]:
    checks = tuple(result(name, ended) for name, ended in zip("abc", results, strict=False))
    given = waive(waivers, checks, H200, STARTED)
    conclusion = conclude(H200, given, PROFILE, Isolation())
    return conclusion.verdict, conclusion.reasons[0]


def test_waived_failure_does_not_reject_and_is_told() -> None:
    assert verdict("failed", "passed") == (RunVerdict.ACCEPTED, "1 check ran and passed, 1 failure waived")
    assert verdict("error", "passed")[0] is RunVerdict.ACCEPTED
    assert verdict("failed", "passed", waivers=())[0] is RunVerdict.REJECTED
    assert verdict("failed", "failed") == (RunVerdict.REJECTED, "1 check failed: TRC-ATT-001-b")


def test_run_of_which_nothing_passed_is_not_accepted() -> None:
    assert verdict("failed") == (RunVerdict.INCONCLUSIVE, "what ran failed, and is waived; nothing passed")


def test_expired_waiver_rejects_as_if_it_were_not_there() -> None:
    assert verdict("failed", "passed", waivers=(replace(WAIVER, expires="2026-11-19"),))[0] is RunVerdict.REJECTED


def found(waiver: Waiver, *ended: str) -> list[tuple[str, str, str]]:
    checks = waive((waiver,), tuple(result(name, how) for name, how in zip("abc", ended, strict=False)), H200, STARTED)
    return [
        (finding.id, finding.severity.value, finding.found)
        for finding in judge_waivers((waiver,), checks, H200, STARTED, load_catalogue())
    ]


GLOB = replace(WAIVER, check="TRC-ATT-*")


@pytest.mark.parametrize(
    ("waiver", "ended", "expected"),
    [
        (WAIVER, ("failed",), []),
        (WAIVER, ("no_gpu",), []),
        (GLOB, ("passed", "failed"), []),
        (WAIVER, ("passed",), [("TRC-WVR-003", "warning", "TRC-ATT-001-a passes")]),
        (GLOB, ("passed", "passed", "no_gpu"), [("TRC-WVR-003", "warning", "all 2 checks that it names pass")]),
        (
            replace(WAIVER, check="TRC-ATT-009"), ("failed",),
            [("TRC-WVR-002", "warning", "no check of this run is called TRC-ATT-009")],
        ),
        (
            replace(WAIVER, gpu="*L40S"), ("failed",),
            [("TRC-WVR-002", "info", "GPU NVIDIA H200; the waiver is for *L40S")],
        ),
        (
            replace(WAIVER, expires="2026-11-19"), ("failed",),
            [("TRC-WVR-001", "warning", "expired on 2026-11-19; 1 of 1 checks that it names fail since")],
        ),
    ],
    ids=["needed", "not_run", "needed_once", "needless", "all_needless", "unmatched", "elsewhere", "expired"],
)  # fmt: skip
def test_faults_of_waivers_are_findings(
    waiver: Waiver, ended: tuple[str, ...], expected: list[tuple[str, str, str]]
) -> None:
    assert found(waiver, *ended) == expected


def test_fault_of_a_waiver_rejects_a_run_that_fails_on_warnings() -> None:
    checks = (result("a", "passed"),)
    faults = tuple(judge_waivers((WAIVER,), checks, H200, STARTED, load_catalogue()))
    assert rejecting(faults, FailOn.ERROR) == ()
    strict = rejecting(faults, FailOn.WARNING)
    assert [finding.severity for finding in strict] == [Severity.WARNING]
    conclusion = conclude(H200, checks, PROFILE, Isolation(), strict=strict)
    assert conclusion.verdict is RunVerdict.REJECTED
    assert conclusion.reasons[0] == "findings that this run fails on: TRC-WVR-003-1-TRC-ATT-001-a"


# The file.

PLAIN = """
- check: TRC-ATT-002-*
  provider: torch_cudnn
  gpu: "*H200*"
  versions: {torch: ">=2.9,<2.10", cudnn: ==9.24.*}
  reason: rounds once more than before
  owner: serving@example.org
  link: https://example.org/tickets/7
  expires: 2026-12-31
- {check: TRC-DRV-001, reason: r, owner: o, expires: "2027-01-01"}
"""


def test_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "waivers.yaml"
    path.write_text(PLAIN)
    one, other = read_waivers(path, "waivers.yaml")
    assert one.versions == {"torch": ">=2.9,<2.10", "cudnn": "==9.24.*"}
    assert one.scope == "GPU *H200*, provider torch_cudnn, torch >=2.9,<2.10, cudnn ==9.24.*"
    assert one.describe() == (
        "rounds once more than before (serving@example.org, until 2026-12-31, https://example.org/tickets/7)"
    )
    assert (other.check, other.expires) == ("TRC-DRV-001", "2027-01-01")
    path.write_text("")
    assert read_waivers(path, "waivers.yaml") == ()


BASE = "check: TRC-DRV-001, reason: r, owner: o, expires: 2026-12-31"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{check: x}", "waivers.yaml: expected a list of waivers, found dict"),
        ("[1]", "waiver 1: expected the keys check, reason, owner, expires, found no mapping"),
        ("[{check: TRC-DRV-001, reason: r, owner: o}]", "waiver 1: expected the key expires, found none"),
        (f"[{{{BASE}}}, {{{BASE}, until: 1}}]", "waiver 2: expected one of the keys check, reason"),
        ("[{check: TRC-DRV-001, reason: r, owner: o, expires: soon}]", "expires: expected a day such as 2026-12-31"),
        ("[{check: '*', reason: r, owner: o, expires: 2026-12-31}]", "expected at least the beginning of a check's id"),
        (f"[{{{BASE}, versions: {{torch: new}}}}]", "versions.torch: range: expected clauses like"),
        (f"[{{{BASE}, versions: {{pytroch: '>=2'}}}}]", "expected keys of the stack vocabulary"),
        (f"[{{{BASE}, gpu: [a]}}]", "gpu: expected a text of at most 500 characters, found list"),
        ("[{", "waivers.yaml: expected YAML or JSON"),
        ("- &a {x: *a}", "expected every value written out"),
    ],
)
def test_file_that_cannot_be_used_is_told_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "waivers.yaml"
    path.write_text(text)
    with pytest.raises(TrtcheckError) as caught:
        read_waivers(path, "waivers.yaml")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
