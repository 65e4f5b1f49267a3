"""Suite ``engine``: graphs built into engines, saved, loaded elsewhere, run, and held against a reference in fp64."""

NATIVE = True
"""Checks build and run engines in their own process, and so need workers."""
NEEDS = ("numpy",)
"""NumPy computes the reference; what builds engines is asked provider by provider."""
