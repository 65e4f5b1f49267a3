"""Start ranks through a launcher, with a deadline, and say what was wrong with what they reported."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_trtcheck._suites.parallel.numbers import LENGTH, Sum
from pytest_trtcheck.probe.child import ChildEnd, run_child

_PARENT = str(Path(__file__).resolve().parents[2])
_RANK = "pytest_trtcheck._suites.parallel.rank"
_BOOT = (
    "import runpy, sys; sys.path.append(sys.argv[1]); del sys.argv[1]; "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)
_RECORD_BYTES = 4 * 1024 * 1024
_MOST_RECORDS = 64
_GRACE_SECONDS = 5

OPEN_MPI = {
    # Refused as root otherwise, which is what one is in a container: both names at once are asked for.
    # Source: mpirun(1), "Running as root"; prterun(1) for Open MPI 5.
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_ALLOW_RUN_AS_ROOT": "1",
    "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    # Two ranks on one core are enough to see whether they talk. Source: docs.open-mpi.org, "MCA parameter changes".
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    # All ranks are on this machine.
    "OMPI_MCA_btl_tcp_if_include": "lo",
    "OMPI_MCA_oob_tcp_if_include": "lo",
}
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}


@dataclass(frozen=True)
class Launcher:
    """How processes are started that shall find each other."""

    name: str
    before_size: tuple[str, ...]
    """The command up to the number of ranks."""
    after_size: tuple[str, ...] = ()
    """What stands between the number and the program."""
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def command(self, size: int, program: Sequence[str]) -> list[str]:
        """Return the command that starts ``size`` ranks of a program."""
        return [*self.before_size, str(size), *self.after_size, *program]


def mpirun(path: str) -> Launcher:
    """Return the launcher of an MPI."""
    return Launcher("mpirun", (path, "-n"), env=OPEN_MPI | LOOPBACK)


def torchrun() -> Launcher:
    """Return torch's launcher, by module: its script may be out of PATH."""
    before = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
    return Launcher("torchrun", before, ("--no-python",), LOOPBACK)


@dataclass(frozen=True)
class Launch:
    """What became of one launch."""

    problem: str
    """In words; empty for none."""
    text: str
    """What launcher and ranks printed."""
    library: str = ""


def launch(launcher: Launcher, collective: str, size: int, *, seed: int, deadline_seconds: float) -> Launch:
    """Start ``size`` ranks and judge what they reported; nothing of them is left when this returns."""
    with tempfile.TemporaryDirectory(prefix="trtcheck-ranks-") as folder:
        lifetime = int(deadline_seconds) + _GRACE_SECONDS
        rank = [sys.executable, "-c", _BOOT, _PARENT, _RANK, folder, str(seed), str(lifetime), collective]
        command = launcher.command(size, rank)
        end = run_child(
            "pytest_trtcheck._suites.parallel.become",
            command,
            deadline_seconds=deadline_seconds,
            env={**os.environ, **launcher.env},
        )
        records, unread = _read(Path(folder))
    problem = unread or judge(records, size, seed, tuple(_dtypes(collective)), end)
    library = next((str(record.get("library", "")) for record in records), "")
    return Launch(problem, end.stderr_tail, library)


def _dtypes(collective: str) -> Sequence[str]:
    """Return what a collective adds up; asked of its class, which loads no library until it is used."""
    import importlib

    module, _, kind = collective.partition(":")
    dtypes: Sequence[str] = getattr(importlib.import_module(module), kind).DTYPES
    return dtypes


def _read(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Return the ranks' records, and what could not be read."""
    records: list[dict[str, Any]] = []
    for path in sorted(folder.glob("rank-*.json"))[:_MOST_RECORDS]:
        try:
            with path.open("rb") as file:
                record = json.loads(file.read(_RECORD_BYTES))
        except (OSError, ValueError, RecursionError) as error:
            return records, f"the record of a rank could not be read: {type(error).__name__}"
        if not isinstance(record, dict) or not isinstance(record.get("sums"), dict):
            return records, "the record of a rank is none: expected an object with sums"
        records.append(record)
    return records, ""


def judge(records: Sequence[Mapping[str, Any]], size: int, seed: int, dtypes: Sequence[str], end: ChildEnd) -> str:
    """Return what is wrong with a launch in one line; empty for nothing."""
    return _incomplete(records, size, end) or _strangers(records, size) or _wrong_sums(records, size, seed, dtypes)


def _incomplete(records: Sequence[Mapping[str, Any]], size: int, end: ChildEnd) -> str:
    unfinished = [record for record in records if record["step"] != "done"]
    if end.ended_well and len(records) == size and not unfinished:
        return ""
    last = (line.strip() for line in reversed(end.stderr_tail.splitlines()))
    said = next((line for line in last if line.strip("-=* ")), "nothing was printed")[:300]
    how = end.describe().replace("the child process", "the launcher")
    if unfinished:
        steps = sorted({f"rank {record.get('rank', '?')}: {record['step']}" for record in unfinished})
        return f"{how}; {len(unfinished)} of {size} ranks did not finish ({'; '.join(steps)}); last words: {said}"
    if len(records) != size:
        return f"{how}; expected {size} ranks to report, found {len(records)}; last words: {said}"
    return f"{how}, though every rank finished; last words: {said}"


def _strangers(records: Sequence[Mapping[str, Any]], size: int) -> str:
    """Say whether ranks do not know each other."""
    ranks = sorted(record.get("rank") for record in records)  # type: ignore[type-var]
    sizes = sorted({record.get("size") for record in records})  # type: ignore[type-var]
    if ranks != list(range(size)) or sizes != [size]:
        words = f"expected ranks {list(range(size))} of {size}, found ranks {ranks} of {', '.join(map(str, sizes))}"
        alone = "; each process is alone: the library was built for another MPI than this launcher's"
        return words + (alone if sizes == [1] else "")
    for record in records:
        if record.get("gathered") != list(range(size)):
            return f"rank {record['rank']} gathered {record.get('gathered')}, expected {list(range(size))}"
    return ""


def _wrong_sums(records: Sequence[Mapping[str, Any]], size: int, seed: int, dtypes: Sequence[str]) -> str:
    for dtype in dtypes:
        expected = Sum.of(seed, size, dtype)
        first: list[Any] = records[0]["sums"].get(dtype, [])
        for record in records:
            words = _wrong_sum(record["sums"].get(dtype), expected)
            if not words and record["sums"][dtype] != first:
                words = f"differs from that of rank {records[0]['rank']}: ranks would go on with different numbers"
            if words:
                return f"rank {record['rank']} of {size}, sum of {dtype}: {words}"
    return ""


def _wrong_sum(found: Any, expected: Sum) -> str:
    if not isinstance(found, list) or len(found) != LENGTH:
        return f"expected {LENGTH} numbers, found {len(found) if isinstance(found, list) else type(found).__name__}"
    pairs = zip(found, expected.exact, expected.allowed, strict=True)
    wrong = [index for index, (one, right, allowed) in enumerate(pairs) if not abs(one - right) <= allowed]
    if not wrong:
        return ""
    at = wrong[0]
    bound = f" within {expected.allowed[at]:.3g}" if expected.allowed[at] else ""
    words = f"element {at}: expected {expected.exact[at]!r}{bound}, found {found[at]!r}"
    return f"{len(wrong)} of {LENGTH} elements wrong, first {words}"
