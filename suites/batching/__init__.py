"""Suite ``batching``: the same tokens alone and in any company, on every way to serve the probe model."""

NATIVE = True
"""Checks bring a model up in their own process, and so need workers."""
NEEDS = ("torch",)
"""Components without which there is nothing to run: torch computes the reference."""
