"""Suite ``serving``: servers checked as clients use them: Triton, started here or running, and the OpenAI protocol."""

NATIVE = True
"""Its gRPC client is native code and a client may wait for ever: checks run on workers, which have deadlines."""
NEEDS = ("triton_server",)
"""Components without which there is nothing to run…"""
INSTEAD = ("triton_url", "model_repository", "openai_url")
"""…unless the user gave one of these settings."""
