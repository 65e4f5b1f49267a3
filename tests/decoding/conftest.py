"""No test of the decoding suite may open a connection."""

from __future__ import annotations

from tests.probe_llm.conftest import sockets_denied

__all__ = ["sockets_denied"]
