"""Everything in a root, so that two of them can be compared file by file."""

from __future__ import annotations

import hashlib

from pytest_trtcheck.probe.root import Kind, ReadError, Root


def listing(root: Root) -> dict[str, str]:
    """Return by path what lies there: kind, and the target of a link or size and digest of a file."""
    found: dict[str, str] = {}
    for folder, entries in root.walk():
        for name, kind in entries:
            path = f"{folder.rstrip('/')}/{name}"
            found[path] = kind.value
            if kind is Kind.LINK:
                found[path] += f" to {root.readlink(path)}"
            elif kind is Kind.FILE:
                found[path] += f" {root.size(path)} {_digest(root, path)}"
    return found


def _digest(root: Root, path: str) -> str:
    try:
        return hashlib.sha256(root.read_bytes(path, 1 << 30)).hexdigest()
    except ReadError as error:
        return error.reason
