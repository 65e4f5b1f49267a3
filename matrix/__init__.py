"""Matrix data: rows with sources, the catalogue of checks, profiles and their schemas."""
