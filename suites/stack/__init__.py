"""Suite ``stack``: every question that the matrix puts to this stack, one test item each."""
