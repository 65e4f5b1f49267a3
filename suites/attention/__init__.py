"""Suite ``attention``: each case on every implementation of attention that is here, against a reference in fp64."""

NATIVE = True
"""Checks run kernels in their own process, and so need workers."""
NEEDS = ("torch",)
"""Components without which there is nothing to run: torch computes the reference."""
