"""Whole grids of questions, answered at once, in chunks and in parts."""
