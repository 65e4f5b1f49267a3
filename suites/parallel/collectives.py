"""The libraries through which ranks talk: mpi4py, and torch.distributed with gloo or NCCL. Imported in ranks only."""

from __future__ import annotations

import array
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

_JOIN_SECONDS = 60
_RANK_AND_SIZE = (
    ("RANK", "WORLD_SIZE"),  # torchrun
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI
    ("SLURM_PROCID", "SLURM_NTASKS"),
)
"""Where launchers tell a process who it is."""


class Mpi4py:
    """mpi4py's all-reduce on buffers, as TensorRT-LLM's helpers use it."""

    DTYPES = ("int64", "fp64", "fp32")

    def __init__(self, folder: Path) -> None:  # noqa: ARG002 - ranks find each other through the launcher
        from mpi4py import MPI

        self._comm: Any = MPI.COMM_WORLD
        self._types = {"int64": ("q", MPI.INT64_T), "fp64": ("d", MPI.DOUBLE), "fp32": ("f", MPI.FLOAT)}
        self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()
        self.library = MPI.Get_library_version().partition("\n")[0].strip("\0 ")[:120]

    def gathered(self) -> list[int]:
        """Return every rank's number."""
        return list(self._comm.allgather(self.rank))

    def summed(self, values: list[Any], dtype: str) -> list[Any]:
        """Return the sum over all ranks."""
        code, kind = self._types[dtype]
        sent = array.array(code, values)
        received = array.array(code, bytes(len(sent) * sent.itemsize))
        self._comm.Allreduce([sent, kind], [received, kind])
        return received.tolist()

    def close(self) -> None:
        """Wait for the others; mpi4py leaves MPI at exit."""
        self._comm.Barrier()


class TorchGloo:
    """torch.distributed on the CPU."""

    DTYPES: tuple[str, ...] = ("int64", "fp64", "fp32")
    BACKEND = "gloo"

    def __init__(self, folder: Path) -> None:
        import torch
        from torch import distributed

        self._torch, self._distributed = torch, distributed
        self.rank, self.size = _who_am_i()
        self.device = self._device()
        # torchrun says where to meet; with other launchers the ranks of one machine meet at a file.
        method = "env://" if "MASTER_PORT" in os.environ else (folder / "meet").as_uri()
        distributed.init_process_group(
            self.BACKEND,
            init_method=method,
            rank=self.rank,
            world_size=self.size,
            timeout=timedelta(seconds=_JOIN_SECONDS),
        )
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.library = f"torch {torch.__version__}, {self.BACKEND}"
        self._dtypes = {
            "int64": torch.int64, "fp64": torch.float64, "fp32": torch.float32,
            "fp16": torch.float16, "bf16": torch.bfloat16,
        }  # fmt: skip

    def _device(self) -> Any:
        return self._torch.device("cpu")

    def gathered(self) -> list[int]:
        """Return every rank's number."""
        mine = self._torch.tensor([self.rank], device=self.device)
        found = [self._torch.full_like(mine, -1) for _ in range(self.size)]
        self._distributed.all_gather(found, mine)
        return [int(one) for one in found]

    def summed(self, values: list[Any], dtype: str) -> list[Any]:
        """Return the sum over all ranks."""
        tensor = self._torch.tensor(values, dtype=self._dtypes[dtype], device=self.device)
        self._distributed.all_reduce(tensor)
        found: list[Any] = tensor.cpu().tolist()
        return found

    def close(self) -> None:
        """Leave together."""
        self._distributed.barrier()
        self._distributed.destroy_process_group()


class TorchNccl(TorchGloo):
    """torch.distributed on one GPU for each rank."""

    DTYPES = ("int64", "fp64", "fp32", "fp16", "bf16")
    BACKEND = "nccl"

    def _device(self) -> Any:
        device = self._torch.device("cuda", self.rank)
        self._torch.cuda.set_device(device)
        return device


def _who_am_i() -> tuple[int, int]:
    for rank, size in _RANK_AND_SIZE:
        if rank in os.environ and size in os.environ:
            return int(os.environ[rank]), int(os.environ[size])
    names = ", ".join(rank for rank, _ in _RANK_AND_SIZE)
    raise RuntimeError(f"the launcher told this process no rank: none of {names} is in its environment")
