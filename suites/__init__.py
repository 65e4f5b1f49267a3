"""Bundled suites, collected by ``pytest --trtcheck``. Imported as ``pytest_trtcheck._suites``."""
