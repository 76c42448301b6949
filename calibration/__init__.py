"""Measured time -> efficiency factors, and the check of predictions against measurements."""
