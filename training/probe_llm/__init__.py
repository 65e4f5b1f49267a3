"""Trains the probe language model, its draft model and its adapter: ``python -m training.probe_llm``."""
