"""Which launches can be tried here, and what that leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.parallel.launch import Launcher, mpirun, torchrun
from pytest_trtcheck.model.level import Level

if TYPE_CHECKING:
    from pytest_trtcheck.model.facts import Stack

COLLECTIVES = "pytest_trtcheck._suites.parallel.collectives"
MPI, TORCH, NCCL = "TRC-PAR-001", "TRC-PAR-002", "TRC-PAR-003"


@dataclass(frozen=True)
class Trial:
    """A launch to be tried."""

    check_id: str
    launcher: Launcher
    collective: str
    """``mpi4py``, ``gloo``, ``nccl``."""
    size: int
    needs: tuple[str, ...]
    """Components that must import."""
    gpus: int = 0

    @property
    def name(self) -> str:
        """Stable: ``mpirun-mpi4py-2``."""
        return f"{self.launcher.name}-{self.collective}-{self.size}"

    @property
    def kind(self) -> str:
        """The class behind the collective, as ranks import it."""
        return f"{COLLECTIVES}:{ {'mpi4py': 'Mpi4py', 'gloo': 'TorchGloo', 'nccl': 'TorchNccl'}[self.collective] }"


@dataclass(frozen=True)
class Plan:
    """What to launch."""

    trials: tuple[Trial, ...]
    left_out: tuple[str, ...]
    """In words, for the report."""


def make_plan(stack: Stack, level: Level, gpu_count: int) -> Plan:
    """Plan every launch that has what it needs: two ranks, from level standard on three as well.

    Three is no power of two: ranks that pair off then have one left over.
    """
    openmpi, has_torch = stack.get("openmpi"), stack.get("torch").is_found
    path = openmpi.details.get("launcher") if openmpi.is_found else None
    has_mpi4py = stack.get("mpi4py").is_found
    with_cuda = stack.get("torch_cuda").value not in {None, "none"}
    left_out: list[str] = []
    if has_mpi4py and not path:
        left_out.append("parallel: mpi4py is installed, and no mpirun was found to start ranks with")
    if path and not has_mpi4py:
        left_out.append(f"parallel: mpi4py is not installed; {path} was tried with torch.distributed only")
    if path and not has_mpi4py and not has_torch:
        left_out[-1] = f"parallel: neither mpi4py nor torch is installed: nothing to try {path} with"
    launchers = {"mpirun": mpirun(str(path))} if path else {}
    trials: list[Trial] = []
    for size in (2,) if level.rank < Level.STANDARD.rank else (2, 3):
        if path and has_mpi4py:
            trials.append(Trial(MPI, launchers["mpirun"], "mpi4py", size, ("mpi4py",)))
        if path and has_torch and not has_mpi4py:
            trials.append(Trial(MPI, launchers["mpirun"], "gloo", size, ("torch",)))
        if has_torch:
            trials.append(Trial(TORCH, torchrun(), "gloo", size, ("torch",)))
        if has_torch and with_cuda and gpu_count >= size:
            trials.append(Trial(NCCL, torchrun(), "nccl", size, ("torch",), gpus=size))
    if has_torch and with_cuda and gpu_count == 1:
        left_out.append("parallel: one GPU here; an all-reduce through NCCL needs two")
    return Plan(tuple(trials), tuple(left_out))
