"""Derives the row files of the matrix from the sourced facts in matrix/sources. Not part of the wheel."""
