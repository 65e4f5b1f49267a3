"""Suite ``quantization``: what each algorithm loses on the probe model, held against what a sound one loses."""

NATIVE = True
"""Checks run models in their own process, and so need workers."""
NEEDS = ("torch",)
"""Components without which there is nothing to run: torch reads the golden log-probabilities and computes layers."""
