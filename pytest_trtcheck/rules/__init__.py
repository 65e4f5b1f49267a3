"""Load the matrix, the catalogue of checks and the profiles, and hold them to their schemas."""
