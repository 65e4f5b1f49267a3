"""Crash-proof running on pytest-xdist workers: who runs what, for how long, and how a worker ended."""
