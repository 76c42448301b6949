"""Timings of an API -> the times it would take with nobody else on it."""
