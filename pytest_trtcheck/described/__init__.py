"""Stacks that are only written down: the vocabulary, files in YAML or JSON, and what other tools print."""
