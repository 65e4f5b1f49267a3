"""What suites share: tolerances, comparison, pairwise choice of cases, providers found through hooks, proof."""

NATIVE = False
"""No suite of its own: nothing here is collected."""
