"""What is tried, by what is there; and the suite in a run."""

from __future__ import annotations

import pytest

from pytest_trtcheck._suites.parallel.plan import make_plan
from pytest_trtcheck.model.facts import Stack
from pytest_trtcheck.model.level import Level
from tests.parallel.test_launch import needs_mpi
from tests.plugin.conftest import Trtcheck, trtcheck  # noqa: F401 - a fixture
from tests.stacks import fact, stack

MPI = fact("openmpi", "4.1.4", details={"launcher": "/usr/bin/mpirun"})
NO_LAUNCHER = fact("openmpi", "4.1.4", details={"launcher": None})
CUDA = (fact("torch", "2.11.0"), fact("torch_cuda", "13.0"))


@pytest.mark.parametrize(
    ("given", "gpus", "names", "left_out"),
    [
        (stack(), 0, [], ""),
        (stack(MPI, mpi4py="4.1.2"), 0, ["mpirun-mpi4py-2"], ""),
        (stack(MPI), 0, [], "neither mpi4py nor torch is installed"),
        (stack(NO_LAUNCHER, mpi4py="4.1.2"), 0, [], "no mpirun was found"),
        (stack(MPI, torch="2.13.0"), 0, ["mpirun-gloo-2", "torchrun-gloo-2"], "mpi4py is not installed"),
        (stack(MPI, torch="2.13.0", mpi4py="4.1.2"), 0, ["mpirun-mpi4py-2", "torchrun-gloo-2"], ""),
        (stack(torch="2.13.0", torch_cuda="none"), 2, ["torchrun-gloo-2"], ""),
        (stack(*CUDA), 1, ["torchrun-gloo-2"], "one GPU here"),
        (stack(*CUDA), 2, ["torchrun-gloo-2", "torchrun-nccl-2"], ""),
    ],
)
def test_only_what_has_all_it_needs_is_tried(given: Stack, gpus: int, names: list[str], left_out: str) -> None:
    plan = make_plan(given, Level.QUICK, gpus)
    assert [trial.name for trial in plan.trials] == names
    assert (left_out in " ".join(plan.left_out)) if left_out else not plan.left_out


def test_three_ranks_from_level_standard_on_and_as_many_gpus_as_ranks() -> None:
    plan = make_plan(stack(MPI, *CUDA, mpi4py="4.1.2"), Level.STANDARD, 2)
    assert [trial.name for trial in plan.trials if trial.size == 3] == ["mpirun-mpi4py-3", "torchrun-gloo-3"]
    assert [trial.gpus for trial in plan.trials if trial.collective == "nccl"] == [2]


def test_without_mpi_and_torch_the_suite_is_not_planned(trtcheck: Trtcheck) -> None:  # noqa: F811
    trtcheck.judge(stack(python="3.11.7"))
    trtcheck.run()
    assert not [name for name in trtcheck.results() if name.startswith("TRC-PAR")]
    assert trtcheck.report["isolation"]["mode"] == "not_needed"


@pytest.mark.torch
def test_a_run_tells_what_became_of_the_ranks(pytester: pytest.Pytester) -> None:
    needs_mpi()
    checked = Trtcheck(pytester)
    checked.run("-p", "no:cacheprovider", "-n0", "-k", "mpirun or torchrun or TRC-DRV")
    found = {name: told for name, told in checked.results().items() if name.startswith("TRC-PAR") and "-2" in name}
    assert found
    assert set(found.values()) == {("passed", None)}
