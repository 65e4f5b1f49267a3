"""Stand-ins for a library through which ranks talk, by leaving files for each other: one sound, the others broken."""

from __future__ import annotations

import json
import os
import signal
import struct
import time
from pathlib import Path
from typing import Any


def _single(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


class Files:
    """Sound: a file for each rank and message."""

    DTYPES = ("int64", "fp64", "fp32")
    library = "files, a stand-in"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rank, self.size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.messages = 0

    def exchange(self, value: Any) -> list[Any]:
        """Return what each rank gave, in the order of ranks."""
        self.messages += 1
        mine = self.folder / f"message-{self.messages}-{self.rank}"
        mine.with_suffix(".new").write_text(json.dumps(value))
        mine.with_suffix(".new").replace(mine)
        return [json.loads(self._wait(rank)) for rank in range(self.size)]

    def _wait(self, rank: int) -> str:
        path = self.folder / f"message-{self.messages}-{rank}"
        while not path.exists():
            time.sleep(0.005)
        return path.read_text()

    def gathered(self) -> list[int]:
        return self.exchange(self.rank)

    def summed(self, values: list[Any], dtype: str) -> list[Any]:
        given = self.exchange(values)
        if dtype != "fp32":
            return [sum(column) for column in zip(*given, strict=True)]
        totals: list[Any] = given[0]
        for others in given[1:]:
            totals = [_single(one + other) for one, other in zip(totals, others, strict=True)]
        return totals

    def close(self) -> None:
        self.exchange("bye")


class Mute(Files):
    """Ranks know who they are and do not talk."""

    def exchange(self, value: Any) -> list[Any]:
        return [value]

    def gathered(self) -> list[int]:
        return list(range(self.size))


class GathersOwnOnly(Mute):
    def gathered(self) -> list[int]:
        return [self.rank] * self.size


class OrderLost(Files):
    """What is gathered comes in the order of arrival."""

    def gathered(self) -> list[int]:
        return list(reversed(super().gathered()))


class Hangs(Files):
    """One rank never comes to the second sum."""

    def summed(self, values: list[Any], dtype: str) -> list[Any]:
        if self.rank == 1 and dtype == "fp64":
            time.sleep(1000)
        return super().summed(values, dtype)


class HangsDeaf(Files):
    """One rank hangs, and takes no orderly signal."""

    def gathered(self) -> list[int]:
        if self.rank == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(1000)
        return super().gathered()


class Crashes(Files):
    """One rank dies as it leaves, when the others have all they wait for."""

    def close(self) -> None:
        super().close()
        if self.rank == 1:
            os.kill(os.getpid(), signal.SIGSEGV)


class Raises(Files):
    def __init__(self, folder: Path) -> None:
        raise RuntimeError("libmpi.so.12: cannot open shared object file")


class LastBitWrong(Files):
    """The last element of fp32 sums is the next number."""

    def summed(self, values: list[Any], dtype: str) -> list[Any]:
        found = super().summed(values, dtype)
        if dtype == "fp32":
            found[-1] = _single(found[-1] * (1 + 2.0**-23))
        return found


class Truncates(Files):
    def summed(self, values: list[Any], dtype: str) -> list[Any]:
        return super().summed(values, dtype)[:1024]


class RestForgotten(Files):
    """What does not fill a block of 16 stays as it was."""

    def summed(self, values: list[Any], dtype: str) -> list[Any]:
        return super().summed(values, dtype)[:1024] + values[1024:]


class Averages(Files):
    def summed(self, values: list[Any], dtype: str) -> list[Any]:
        return [value / self.size for value in super().summed(values, dtype)]


class NotANumber(Files):
    def summed(self, values: list[Any], dtype: str) -> list[Any]:
        return [float("nan"), *super().summed(values, dtype)[1:]]


class RanksDiffer(Files):
    """Each rank adds up in its own order: within the bound, yet ranks go on with different numbers."""

    def exchange(self, value: Any) -> list[Any]:
        found = super().exchange(value)
        return found[self.rank :] + found[: self.rank] if isinstance(value, list) else found


class HalfSums(Files):
    """fp32 travels as fp16."""

    def summed(self, values: list[Any], dtype: str) -> list[Any]:
        if dtype == "fp32":
            values = [struct.unpack("e", struct.pack("e", value))[0] for value in values]
        return super().summed(values, dtype)
