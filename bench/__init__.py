"""Benchmarks: paired with a peer in the same run, medians and ratios. Never asserted by a test."""
