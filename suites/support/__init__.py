"""What suites share: tolerances, comparison, pairwise choice of cases, providers found through hooks, proof.

No suite of its own: it says no NEEDS, so nothing here is collected.
"""
