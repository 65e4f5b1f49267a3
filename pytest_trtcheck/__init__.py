"""Check that an NVIDIA LLM inference stack belongs together and really works."""

__version__ = "0.1.0"
