"""Servers and models that are wrong on purpose, one mistake each, and a few sound ones that do it otherwise."""
