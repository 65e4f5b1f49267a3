"""Suite ``serving``: a real Triton Inference Server, started here or already running, checked as its clients use it."""

NATIVE = False
"""The server is a process of its own; what runs in the worker is its client."""
NEEDS = ("triton_server",)
"""Components without which there is nothing to run…"""
INSTEAD = ("triton_url", "model_repository")
"""…unless the user gave one of these settings."""
