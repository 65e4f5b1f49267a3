"""Suite ``serving``: a real Triton Inference Server, started here or already running, checked as its clients use it."""

NATIVE = True
"""Its gRPC client is native code and a client may wait for ever: checks run on workers, which have deadlines."""
NEEDS = ("triton_server",)
"""Components without which there is nothing to run…"""
INSTEAD = ("triton_url", "model_repository")
"""…unless the user gave one of these settings."""
