"""Suite ``stack``: every question that the matrix puts to this stack, one test item each."""

NATIVE = False
"""Whether checks run native GPU code in their own process, and so need workers; imports have child processes."""
NEEDS = ()
"""It judges whatever is there."""
