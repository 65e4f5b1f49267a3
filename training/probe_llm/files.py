"""Files of the model folder that need no torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pytest_trtcheck._suites.probe_llm.checkpoint import LIST


def write_json(path: Path, value: Any) -> None:
    """JSON with a line feed at the end, keys in the order given."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_checksums(folder: Path) -> None:
    """SHA-256 and size of every file of the model."""
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != LIST):
        data = path.read_bytes()
        files[path.relative_to(folder).as_posix()] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    write_json(folder / LIST, files)
