"""Words of others, made fit for one line of a report."""

from __future__ import annotations


def first_line(error: BaseException, limit: int) -> str:
    """Return the first line of what an exception says, cut to so many characters, or that it says nothing."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # noqa: BLE001 - an exception may fail to tell itself
        lines = []
    return lines[0][:limit] if lines else "no words"
