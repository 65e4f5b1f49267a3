"""Suite ``parallel``: several processes, started as a user starts them, find each other and add up right."""

NATIVE = False
"""Ranks are child processes of their own; the check itself loads nothing native."""
NEEDS = ()
"""What a launch needs is asked launch by launch, see ``plan``."""
