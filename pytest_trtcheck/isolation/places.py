"""Which workers a run has: one per visible GPU, one in all without a GPU, and what of the user's options stands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.model.facts import Gpu

ALL_GPUS = "all"


@dataclass(frozen=True)
class Place:
    """One worker: the GPUs that it sees."""

    name: str
    """``gpu0``, ``gpu0 mig1``, ``cpu`` or ``all``, for reports."""
    devices: tuple[str, ...] | None
    """UUIDs for CUDA_VISIBLE_DEVICES; None leaves the environment as it is."""

    @property
    def spec(self) -> str:
        """Return the xdist specification of the worker, environment included."""
        visible = "" if self.devices is None else f"//env:CUDA_VISIBLE_DEVICES={','.join(self.devices)}"
        return f"popen{visible}"


def visible_gpus(gpus: Sequence[Gpu], visible: str | None) -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES lets through, in its order; all of them when it is not set.

    As the driver does it, the list ends at the first entry that names nothing.
    """
    if visible is None:
        return tuple(gpus)
    chosen: list[Gpu] = []
    for entry in (part.strip() for part in visible.split(",")):
        match = [gpu for gpu in gpus if _is_named(gpu, entry)]
        if len(match) != 1 or match[0] in chosen:
            break
        chosen.append(match[0])
    return tuple(chosen)


def _is_named(gpu: Gpu, entry: str) -> bool:
    if entry.isdigit():
        return gpu.index == int(entry)
    return bool(entry) and (gpu.uuid.startswith(entry) or entry in gpu.mig_devices)


def select_gpus(gpus: Sequence[Gpu], wanted: str | None) -> tuple[Gpu, ...]:
    """Return the GPUs of ``--trtcheck-gpus 0,2``; OptionError for one that is not visible here."""
    if wanted is None:
        return tuple(gpus)
    if not re.fullmatch(r"\d{1,3}(,\d{1,3})*", wanted.replace(" ", "")):
        raise OptionError(f"--trtcheck-gpus: expected numbers such as 0,2, found {wanted!r}")
    numbers = list(dict.fromkeys(int(part) for part in wanted.split(",")))
    there = {gpu.index: gpu for gpu in gpus}
    missing = [number for number in numbers if number not in there]
    if missing:
        have = ", ".join(map(str, there)) or "none"
        raise OptionError(f"--trtcheck-gpus: GPU {missing[0]} is not visible here; visible: {have}")
    return tuple(there[number] for number in numbers)


def places(gpus: Sequence[Gpu], workers: int | None) -> tuple[Place, ...]:
    """Return the workers of a run.

    One for each GPU or MIG instance, or as many as the user asked for with ``-n``, dealt out over the GPUs in turn.
    With two GPUs or more, a last worker sees all of them, for checks that need several.
    """
    single = [place for gpu in gpus for place in _of_gpu(gpu)]
    if not single:
        return tuple(Place("cpu", None) for _ in range(workers or 1))
    dealt = [single[number % len(single)] for number in range(workers or len(single))]
    if len(gpus) > 1:
        dealt.append(Place(ALL_GPUS, tuple(gpu.uuid for gpu in gpus)))
    return tuple(dealt)


def _of_gpu(gpu: Gpu) -> tuple[Place, ...]:
    if gpu.mig_devices:
        return tuple(Place(f"gpu{gpu.index} mig{n}", (uuid,)) for n, uuid in enumerate(gpu.mig_devices))
    return (Place(f"gpu{gpu.index}", (gpu.uuid,)),)


def check_xdist_options(options: Mapping[str, object]) -> None:
    """Refuse what contradicts placing checks by GPU; OptionError with the reason."""
    dist = options.get("dist")
    if dist not in {None, "no", "load"}:
        why = "every worker would run every check" if dist == "each" else "checks are placed by the GPUs they need"
        raise OptionError(f"--dist {dist} does not go with --trtcheck: {why}; leave --dist out, or use -n0")
    if options.get("tx"):
        raise OptionError("--tx does not go with --trtcheck: workers are started by GPU on this machine; use -n")
