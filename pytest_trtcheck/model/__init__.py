"""Data model: what was read (facts), what it means (findings), what was run (results), and the report."""
