"""Training scripts that are not part of the wheel."""
