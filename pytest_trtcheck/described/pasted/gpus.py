"""GPU names as several tools list them."""

from __future__ import annotations

import re

from pytest_trtcheck.described.pasted.notes import Line, Notes

# "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-…)" of nvidia-smi -L, without the UUID in collect_env.
GPU_LINE = re.compile(r"\s*(?:GPU models and configuration\s*:\s*)?GPU (\d{1,3}): ([^(]{2,80}?)\s*(?:\(UUID: .*)?")


def note_gpus(notes: Notes, names: list[tuple[Line, str]]) -> None:
    """Note the names and the number of the GPUs; one name once when all are equal."""
    if not names:
        return
    distinct = list(dict.fromkeys(name for _, name in names))
    notes.note("gpu", distinct[0] if len(distinct) == 1 else distinct, names[0][0])
    notes.note("gpu_count", str(len(names)), names[0][0])
