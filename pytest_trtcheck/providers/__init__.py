"""What a site implements to have its own implementation judged: cases, the place they run in, the way to refuse.

Pure data, without torch: pytest's controlling process plans with it.
"""

from pytest_trtcheck.providers.attention import AttentionCase, AttentionProvider, Inputs
from pytest_trtcheck.providers.base import Refused, Where, component_of
from pytest_trtcheck.providers.engine import BuildRequest, Built, EngineCase, EngineProvider, EngineSession, Layer
from pytest_trtcheck.providers.llm import Completion, LlmBackend, LlmCase, LlmSession, Model, Request, Setup

__all__ = [
    "AttentionCase",
    "AttentionProvider",
    "BuildRequest",
    "Built",
    "Completion",
    "EngineCase",
    "EngineProvider",
    "EngineSession",
    "Inputs",
    "Layer",
    "LlmBackend",
    "LlmCase",
    "LlmSession",
    "Model",
    "Refused",
    "Request",
    "Setup",
    "Where",
    "component_of",
]
