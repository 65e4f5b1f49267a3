"""The planner: what is proposed, in which order, and what it says when nothing fits."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_trtcheck.described.describe import describe
from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.model.facts import Fact, Stack, State
from pytest_trtcheck.model.finding import Severity, Verdict
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.planning.plan import Plan, Planner, parse_wish, purpose_of
from pytest_trtcheck.planning.proposal import Change, draft, in_words
from pytest_trtcheck.planning.sets import IMAGE, WHEELS, KnownSet, known_sets
from pytest_trtcheck.rules.catalogue import load_catalogue
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.verdict import evaluate

HOST = {"gpu": "NVIDIA H100 80GB HBM3", "driver": "580.65.06", "arch": "x86_64"}
BROKEN = {
    **HOST, "python": "3.12.3", "tensorrt_llm": "0.20.0", "tensorrt": "10.5.0.18", "torch": "2.9.0+cu128",
    "transformers": "5.0.0",
}  # fmt: skip


@pytest.fixture(scope="module")
def planner() -> Planner:
    return Planner(load_matrix(), load_catalogue())


def stack(values: dict[str, Any]) -> Stack:
    return describe(values, "a", "a.yaml")


def plan(planner: Planner, values: dict[str, Any], want: str = "", **more: Any) -> Plan:
    return planner.plan(stack(values), want=[parse_wish(want)] if want else [], **more)


def known(**more: Any) -> KnownSet:
    fields: dict[str, Any] = {
        "title": "t", "route": WHEELS, "positions": {}, "values": {}, "serves": frozenset(), "rows": ("x/1",),
    }  # fmt: skip
    return KnownSet(**{**fields, **more})


def test_the_nearest_set_repairs_what_is_wrong_and_leaves_the_rest(planner: Planner) -> None:
    first = plan(planner, BROKEN).proposals[0]
    assert first.rows == ("tensorrt_llm/0.20.0",)
    assert [(change.key, change.after) for change in first.changes] == [
        ("tensorrt", "10.10.0.31"),
        ("torch", "2.7.0"),
        ("transformers", "~=4.51.1"),
    ]
    assert first.commands == ("pip install tensorrt==10.10.0.31 torch==2.7.0 'transformers~=4.51.1'",)


def test_no_proposal_has_an_error_finding(planner: Planner) -> None:
    for values in (BROKEN, HOST, {**HOST, "triton_container": "23.01-py3"}, {**HOST, "torch": "2.0.0"}):
        found = plan(planner, values, limit=50)
        assert found.proposals
        for proposal in found.proposals:
            assert proposal.verdict is not Verdict.INCOMPATIBLE
            assert all(finding.severity is not Severity.ERROR for finding in proposal.open_questions)


def test_proposals_come_with_fewest_changes_first_and_always_in_the_same_order(planner: Planner) -> None:
    one = plan(planner, BROKEN, limit=20)
    two = plan(planner, dict(reversed(BROKEN.items())), limit=20)
    assert [proposal.title for proposal in one.proposals] == [proposal.title for proposal in two.proposals]
    assert len(one.proposals) == 20
    counts = [len(proposal.changes) for proposal in one.proposals]
    assert counts[0] == min(counts)
    assert len(plan(planner, BROKEN, limit=3).proposals) == 3


def test_a_good_stack_needs_no_change(planner: Planner) -> None:
    first = plan(planner, {**HOST, "triton_container": "25.08-trtllm-python-py3", "tensorrt_llm": "0.21.0"}).proposals[
        0
    ]
    assert first.changes == ()
    assert first.commands == ()
    assert first.rows == ("triton_container/25.08",)


def test_driver_and_gpu_are_kept_and_the_way_out_is_told(planner: Planner) -> None:
    found = plan(planner, {**BROKEN, "driver": "535.104.05"}, "tensorrt_llm==1.2.1")
    assert found.proposals == ()
    assert found.considered > 0
    assert found.reasons[0].startswith("with --keep gpu ")
    assert found.reasons[0].endswith("update the driver on the host to 580.65.06 or newer")
    assert any("found driver 535.104.05" in reason for reason in found.reasons[1:])


def test_a_driver_that_may_change_is_part_of_the_proposal(planner: Planner) -> None:
    found = plan(planner, {**BROKEN, "driver": "535.104.05"}, "tensorrt_llm==1.2.1", keep=("gpu",))
    first = found.proposals[0]
    assert Change("driver", "535.104.05", "580.65.06") in first.changes
    assert first.commands[0] == "update the driver on the host to 580.65.06 or newer"


def test_a_gpu_that_no_set_supports_is_told(planner: Planner) -> None:
    values = {"gpu": "GeForce GTX 1080 Ti", "sm": "6.1", "driver": "580.65.06", "tensorrt_llm": "1.2.1"}
    found = plan(planner, values, "tensorrt_llm==1.2.1")
    assert found.proposals == ()
    assert found.reasons[0].startswith("with --keep driver ")
    assert found.reasons[0].endswith("use a GPU of compute capability 8.0")


def test_a_precision_that_the_gpu_lacks_asks_for_the_next_gpu_that_has_it(planner: Planner) -> None:
    values = {"gpu": "NVIDIA A100", "driver": "580.65.06", "tensorrt_llm": "1.2.1", "precision": "fp8"}
    found = plan(planner, values, "tensorrt_llm==1.2.1")
    assert found.proposals == ()
    assert found.reasons[0].endswith("use a GPU of compute capability 8.9")
    freed = plan(planner, values, "tensorrt_llm==1.2.1", keep=("driver",)).proposals[0]
    assert Change("sm", "", "8.9") in freed.changes


def test_no_server_is_brought_that_nobody_asked_for(planner: Planner) -> None:
    torch_only = plan(planner, {**HOST, "torch": "2.4.0"}, limit=100)
    assert not any("triton" in proposal.title or "LLM" in proposal.title for proposal in torch_only.proposals)
    asked = plan(planner, {**HOST, "torch": "2.4.0"}, "tensorrt_llm==1.2.1")
    assert asked.proposals


def test_what_is_wanted_is_in_every_proposal(planner: Planner) -> None:
    found = plan(planner, BROKEN, "tensorrt_llm>=1.1,<1.2", limit=20)
    assert found.proposals
    assert {row for proposal in found.proposals for row in proposal.rows if row.startswith("tensorrt_llm/")} == {
        "tensorrt_llm/1.1.0"
    }


def test_prereleases_are_proposed_only_to_those_who_run_or_want_one(planner: Planner) -> None:
    assert not any("rc" in proposal.title for proposal in plan(planner, BROKEN, limit=100).proposals)
    assert plan(planner, BROKEN, "tensorrt_llm==1.3.0rc22").considered > 0
    assert any("rc" in p.title for p in plan(planner, {**BROKEN, "tensorrt_llm": "1.3.0rc22"}, limit=100).proposals)


def test_a_wish_that_no_row_fulfils_is_told(planner: Planner) -> None:
    found = plan(planner, BROKEN, "tensorrt_llm==9.9.9")
    assert (found.considered, found.proposals) == (0, ())
    assert found.reasons[0].endswith("has no set that brings tensorrt_llm with tensorrt_llm==9.9.9")


def test_what_else_is_kept_limits_the_sets(planner: Planner) -> None:
    values = {**HOST, "torch": "2.7.0", "tensorrt_llm": "0.19.0"}
    found = plan(planner, values, keep=("driver", "gpu", "torch"), limit=50)
    assert found.proposals
    assert all("torch" not in {change.key for change in proposal.changes} for proposal in found.proposals)


@pytest.mark.parametrize("text", ["", "tensorrt_llm=1.2", "==1", "gpu==1", "driver==550", "a b"])
def test_a_wish_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="--want: expected"):
        parse_wish(text)


@pytest.mark.parametrize(
    ("values", "purpose"),
    [
        ({"driver": "550"}, {"tensorrt_llm"}),
        ({"torch": "2.9.0"}, {"torch"}),
        ({"torch": "2.9.0", "tensorrt": "unspecified"}, {"torch", "tensorrt"}),
        ({"torch": "2.9.0", "tensorrt_llm": "1.2.1"}, {"tensorrt_llm"}),
        ({"triton_container": "25.08-trtllm-python-py3"}, {"triton", "tensorrt_llm"}),
        ({"backend": "tensorrtllm"}, {"triton", "tensorrt_llm"}),
        ({"vllm": "0.11.0", "torch": "2.8.0"}, {"vllm", "torch"}),
    ],
)
def test_the_purpose_of_a_stack_follows_from_what_is_in_it(values: dict[str, Any], purpose: set[str]) -> None:
    assert purpose_of(stack(values)) == purpose


def test_a_new_python_means_a_new_environment_with_the_package_itself(planner: Planner) -> None:
    first = plan(planner, {**BROKEN, "python": "3.9.1"}, "tensorrt_llm==0.20.0").proposals
    wheel = next(proposal for proposal in first if "wheel" in proposal.title)
    assert wheel.commands[0] == "python3.12 -m venv .venv"
    assert wheel.commands[1].startswith("pip install tensorrt_llm==0.20.0 ")


def test_an_image_replaces_all_software_and_keeps_host_and_purpose() -> None:
    image = known(route=IMAGE, values={"container": "i:1", "torch": "2.9.0"}, image="i:1")
    found = draft(stack({**HOST, "torch": "2.1.0", "numpy": "2.0", "python": "3.8", "precision": "fp8"}), image)
    assert {key: fact.value for key, fact in found.stack.facts.items()} == {
        **HOST, "precision": "fp8", "container": "i:1", "torch": "2.9.0",
    }  # fmt: skip
    assert found.commands == ("docker pull i:1",)


def test_wheels_leave_what_they_do_not_name() -> None:
    wheels = known(values={"torch": "2.9.0", "cudnn": "9.10.2"}, heads=("torch",), pins={"numpy": "<2"})
    found = draft(stack({"torch": "2.9.0+cu128", "numpy": "1.26.4", "glibc": "2.35", "cudnn": "8.9"}), wheels)
    values = {key: fact.value for key, fact in found.stack.facts.items()}
    assert values == {"torch": "2.9.0+cu128", "numpy": "1.26.4", "glibc": "2.35", "cudnn": "9.10.2"}
    assert found.changes == ()
    changed = draft(stack({"torch": "2.9.0", "numpy": "2.1.0"}), wheels)
    assert [in_words(change) for change in changed.changes] == ["NumPy: 2.1.0 -> <2"]
    assert changed.commands == ("pip install 'numpy<2'",)
    assert "numpy" not in changed.stack.facts, "a requirement leaves the version open"


def test_bounds_and_versions_not_given_survive_as_they_are() -> None:
    wheels = known(values={"torch": "2.9.0"}, heads=("torch",))
    found = draft(stack({"driver": "<526", "torch": "unspecified", "numpy": "unspecified"}), wheels)
    assert found.stack.facts["driver"].details == {"bound": True}
    assert found.stack.facts["numpy"] == Fact("numpy", State.FOUND, None, "a.yaml", "described")
    assert found.changes == (Change("torch", "unspecified", "2.9.0"),)


def test_an_engine_of_other_versions_has_to_be_built_again() -> None:
    wheels = known(values={"tensorrt_llm": "0.20.0", "tensorrt": "10.10.0.31"}, heads=("tensorrt_llm",))
    stale = draft(stack({"tensorrt_llm": "0.20.0", "engine_built_with_tensorrt": "9.3.0.1"}), wheels)
    assert Change("engine_built_with_tensorrt", "9.3.0.1", "10.10.0.31") in stale.changes
    assert stale.commands[-1].startswith("build the engine again")
    kept = draft(stack({"tensorrt_llm": "0.20.0", "engine_built_with_tensorrt": "10.10.0.31"}), wheels)
    assert kept.changes == ()
    assert kept.stack.value("engine_built_with_tensorrt") == "10.10.0.31"


def test_an_engine_whose_number_the_runtime_does_not_read_has_to_be_built_again() -> None:
    wheels = known(values={"tensorrt_llm": "0.20.0", "tensorrt": "10.10.0.31"}, heads=("tensorrt_llm",))
    values = {"tensorrt_llm": "0.20.0", "engine_serialization": 237, "runtime_serialization": 228}
    stale = draft(stack(values), wheels)
    assert stale.changes == (Change("engine_serialization", "237", "built again"),)
    assert not {"engine_serialization", "runtime_serialization"} & stale.stack.facts.keys()
    assert stale.commands[-1].startswith("build the engine again")
    same = draft(stack({**values, "runtime_serialization": 237}), wheels)
    assert same.changes == ()
    assert same.stack.value("engine_serialization") == "237"


def test_every_known_set_names_rows_that_exist_and_is_unique() -> None:
    matrix = load_matrix()
    sets = list(known_sets(matrix))
    assert len({known_set.title for known_set in sets}) == len(sets)
    assert {known_set.serves for known_set in sets} >= {
        frozenset({"tensorrt_llm", "torch", "tensorrt"}),
        frozenset({"triton", "tensorrt_llm", "tensorrt", "torch"}),
        frozenset({"triton", "tensorrt"}),
        frozenset({"torch", "tensorrt"}),
        frozenset({"torch"}),
    }
    for known_set in sets:
        assert known_set.values
        for row_id in known_set.rows:
            product, _, version = row_id.partition("/")
            found = matrix.row(product, version)
            assert found is not None
            assert found.id == row_id


def test_a_proposed_stack_is_what_the_engine_judged(planner: Planner) -> None:
    values = {**BROKEN, "driver": "580.65.06"}
    first = plan(planner, values).proposals[0]
    after = {**values, **{change.key: change.after for change in first.changes}}
    result = stack({key: value for key, value in after.items() if value[0].isalnum()})
    findings = evaluate(result, planner.matrix, planner.catalogue, level=Level.STATIC).findings
    assert all(finding.severity is not Severity.ERROR for finding in findings)
